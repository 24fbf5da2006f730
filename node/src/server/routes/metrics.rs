//! `GET /metrics`: the node's figures in Prometheus' text format, version 0.0.4. `docs/bots.md` lists them.

use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::IntoResponse as _;
use starling_api::node::{NodeState, Status};

use super::status::present;
use crate::server::answer::Answer;
use crate::server::app::App;

const STATES: [NodeState; 6] = [
    NodeState::Starting,
    NodeState::Locked,
    NodeState::Joining,
    NodeState::Alone,
    NodeState::Online,
    NodeState::Stopping,
];

pub(crate) async fn metrics(State(app): State<Arc<App>>) -> Answer {
    let status = present(&app).await?;
    let text = exposition(&status, app.newest_event(), process());
    Ok(([(CONTENT_TYPE, "text/plain; version=0.0.4"), (CACHE_CONTROL, "no-store")], text).into_response())
}

/// Figures of a process: resident bytes, and CPU seconds.
type Process = Option<(u64, f64)>;

fn exposition(status: &Status, newest_event: Option<u64>, process: Process) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}\n");
        }
    };
    let peers = status.peers;
    gauge("starling_uptime_seconds", "Seconds since the start.", Some(status.uptime_s as f64));
    gauge("starling_peers", "Connected peers.", peers.map(|peers| peers.connected.into()));
    gauge("starling_peers_in_shard", "Connected peers of the own shard.", peers.map(|peers| peers.in_shard.into()));
    gauge("starling_peers_known", "Peers known by address.", peers.map(|peers| peers.known.into()));
    let outbox = status.outbox;
    gauge("starling_outbox_queued", "Own messages that wait here.", outbox.map(|outbox| outbox.queued.into()));
    let undelivered = outbox.map(|outbox| outbox.undelivered.into());
    gauge("starling_outbox_undelivered", "Own messages that nobody confirmed yet.", undelivered);
    gauge("starling_requests", "People who wait for an answer.", status.requests.map(f64::from));
    let store = status.store;
    gauge("starling_pool_envelopes", "Envelopes kept.", store.map(|store| store.envelopes as f64));
    gauge("starling_pool_bytes", "Bytes of them.", store.map(|store| store.bytes as f64));
    gauge("starling_pool_limit_bytes", "Bytes they may take.", store.map(|store| store.limit_bytes as f64));
    gauge("starling_disk_free_bytes", "Bytes free.", store.map(|store| store.disk_free_bytes as f64));
    let traffic = status.traffic.as_ref();
    let sent = traffic.map(|today| today.sent_bytes as f64);
    let received = traffic.map(|today| today.received_bytes as f64);
    let budget = traffic.map(|today| today.budget_day_bytes as f64);
    gauge("starling_traffic_today_sent_bytes", "Bytes to peers on this day, UTC.", sent);
    gauge("starling_traffic_today_received_bytes", "Bytes from peers on this day, UTC.", received);
    gauge("starling_traffic_budget_bytes", "Sealed messages that the shard is planned to carry a day.", budget);
    let offset = status.clock.map(|clock| clock.offset_ms as f64 / 1_000.0);
    gauge("starling_clock_offset_seconds", "This clock before those of its peers.", offset);
    gauge("process_resident_memory_bytes", "Resident memory.", process.map(|(bytes, _)| bytes as f64));
    let mut line = |words: String| text.push_str(&words);
    if let Some(newest) = newest_event {
        line(format!(
            "# HELP starling_events_total Events ever logged.\n# TYPE starling_events_total counter\nstarling_events_total {newest}\n"
        ));
    }
    if let Some((_, seconds)) = process {
        line(format!(
            "# HELP process_cpu_seconds_total CPU time.\n# TYPE process_cpu_seconds_total counter\nprocess_cpu_seconds_total {seconds}\n"
        ));
    }
    let (version, network) = (label(&status.version), label(&status.network));
    line(format!(
        "# HELP starling_info Version and network.\n# TYPE starling_info gauge\nstarling_info{{version=\"{version}\",network=\"{network}\"}} 1\n"
    ));
    line("# HELP starling_state The state it is in.\n# TYPE starling_state gauge\n".to_owned());
    for state in STATES {
        let is_it = u8::from(state == status.state);
        line(format!("starling_state{{state=\"{}\"}} {is_it}\n", state.as_str()));
    }
    line("# HELP starling_warnings What a person should know.\n# TYPE starling_warnings gauge\n".to_owned());
    let mut codes: Vec<&str> = status.warnings.iter().map(|warning| warning.code.as_str()).collect();
    codes.dedup();
    codes.iter().for_each(|code| line(format!("starling_warnings{{code=\"{}\"}} 1\n", label(code))));
    text
}

/// A label's value: backslash, quote and line end are escaped.
fn label(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// From Linux's `/proc`; nothing elsewhere. proc(5).
fn process() -> Process {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may hold anything: user and system time are the 12th and 13th.
    let mut times = stat.rsplit_once(") ")?.1.split(' ').skip(11);
    let ticks = times.next()?.parse::<u64>().ok()? + times.next()?.parse::<u64>().ok()?;
    let page_bytes = rustix::param::page_size() as u64;
    Some((pages * page_bytes, ticks as f64 / rustix::param::clock_ticks_per_second() as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_cannot_break_out() {
        assert_eq!(label("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_process_knows_its_size() {
        let (bytes, seconds) = process().unwrap();
        assert!(bytes > 1_000_000 && seconds >= 0.0);
    }
}
