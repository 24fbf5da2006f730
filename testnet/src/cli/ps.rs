//! `ps` and `status`: the nodes one by one, and the net as a whole.

use std::io::Write;

use starling_testnet::process::resident_bytes;
use starling_testnet::run_folder::NetState;
use starling_testnet::talk::{NodeHealth, health};

use super::{EXIT_OK, Outcome};

struct Row {
    number: usize,
    name: String,
    pid: Option<u32>,
    health: Option<NodeHealth>,
    rss_bytes: Option<u64>,
    url: Option<String>,
}

fn rows(state: &NetState) -> Vec<Row> {
    let row = |node: &starling_testnet::run_folder::NodeState| {
        let process = node.process.filter(|mark| mark.is_alive());
        Row {
            number: node.number,
            name: node.name.clone(),
            pid: process.map(|mark| mark.pid),
            health: process.and_then(|_| health(&node.data).ok()),
            rss_bytes: process.and_then(|mark| resident_bytes(mark.pid)),
            url: process.and(node.url.clone()),
        }
    };
    state.nodes.iter().map(row).collect()
}

/// A line a node.
pub(crate) fn ps(state: &NetState, json: bool) -> Outcome {
    let rows = rows(state);
    let mut out = std::io::stdout().lock();
    if json {
        let nodes: Vec<_> = rows.iter().map(json_row).collect();
        writeln!(out, "{}", serde_json::json!({ "v": 1, "name": state.name, "seed": state.seed, "nodes": nodes }))?;
        return Ok(EXIT_OK);
    }
    for row in rows {
        let state = row.health.as_ref().map_or("down", |health| health.state.as_str());
        let peers = row.health.as_ref().map_or(0, |health| health.connected);
        let pid = row.pid.map_or_else(|| "-".to_owned(), |pid| pid.to_string());
        let rss = row.rss_bytes.map_or_else(|| "-".to_owned(), |bytes| format!("{} MB", bytes / 1_000_000));
        let url = row.url.as_deref().unwrap_or("-");
        writeln!(out, "{:<3} {:<10} {pid:<8} {state:<9} {peers:>3} peers  {rss:>6}  {url}", row.number, row.name)?;
    }
    Ok(EXIT_OK)
}

fn json_row(row: &Row) -> serde_json::Value {
    serde_json::json!({
        "number": row.number,
        "name": row.name,
        "pid": row.pid,
        "state": row.health.as_ref().map(|health| health.state.clone()),
        "connected": row.health.as_ref().map(|health| health.connected),
        "in_shard": row.health.as_ref().map(|health| health.in_shard),
        "reach": row.health.as_ref().map(|health| health.reach.clone()),
        "undelivered": row.health.as_ref().map(|health| health.undelivered),
        "rss_bytes": row.rss_bytes,
        "url": row.url,
    })
}

/// The net in six lines.
pub(crate) fn status(state: &NetState, json: bool) -> Outcome {
    let rows = rows(state);
    let healths: Vec<_> = rows.iter().filter_map(|row| row.health.as_ref()).collect();
    let online = healths.iter().filter(|health| health.state == "online").count();
    let up = rows.iter().filter(|row| row.pid.is_some()).count();
    let fewest = healths.iter().map(|health| health.connected).min().unwrap_or(0);
    let undelivered: u64 = healths.iter().map(|health| u64::from(health.undelivered)).sum();
    let rss_max = rows.iter().filter_map(|row| row.rss_bytes).max().unwrap_or(0);
    let warnings: usize = healths.iter().map(|health| health.warnings).sum();
    let mut out = std::io::stdout().lock();
    if json {
        let value = serde_json::json!({
            "v": 1, "name": state.name, "seed": state.seed, "nodes": rows.len(), "up": up, "online": online,
            "fewest_peers": fewest, "undelivered": undelivered, "rss_bytes_max": rss_max, "warnings": warnings,
        });
        writeln!(out, "{value}")?;
        return Ok(EXIT_OK);
    }
    writeln!(out, "Testnet      {} · seed {} · owner pid {}", state.name, state.seed, state.owner.pid)?;
    writeln!(out, "Nodes        {up} of {} up, {online} online", rows.len())?;
    writeln!(out, "Peers        {fewest} at the node with the fewest")?;
    writeln!(out, "Undelivered  {undelivered} messages")?;
    writeln!(out, "Memory       {} MB at the largest node", rss_max / 1_000_000)?;
    writeln!(out, "Warnings     {warnings}")?;
    Ok(EXIT_OK)
}
