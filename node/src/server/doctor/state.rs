//! The node itself: its state, vault, key, clock and disk.

use starling_api::doctor::{Check, CheckName, Verdict};
use starling_store::vault::SCHEMA;

use super::{CoreFacts, Facts, check, ok, phrase, then};
use crate::core::handle::{NodeState, Protection};
use crate::server::routes::status::{clock, clock_warning, disk_warning};
use crate::spans;

pub(super) fn checks(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![node(facts)];
    if let Some(core) = &facts.core {
        checks.push(vault(facts, core));
    }
    checks.push(protection(facts));
    if let Some(core) = &facts.core {
        checks.push(clock_check(core));
    }
    checks.push(disk(facts.free_bytes));
    checks
}

fn node(facts: &Facts) -> Check {
    let version = env!("CARGO_PKG_VERSION");
    match facts.state {
        NodeState::Locked => {
            let message = "the node is locked: it waits for its passphrase, and nothing comes or goes before";
            then(
                check(CheckName::Node, Verdict::Fail, message),
                [
                    "starling unlock",
                    "Forgotten? Nobody can reset it. With a backup: starling backup restore FILE. Without: starling wipe, \
                 then new invites.",
                ],
            )
        }
        NodeState::Starting => {
            then(check(CheckName::Node, Verdict::Warn, "the node is starting"), ["starling doctor, in a moment"])
        }
        NodeState::Stopping => {
            then(check(CheckName::Node, Verdict::Fail, "the node is stopping"), ["Start it again: starling"])
        }
        NodeState::Joining | NodeState::Alone | NodeState::Online => {
            if facts.core.as_ref().is_some_and(|core| core.status.replaced) {
                let message = "this account was restored from a backup elsewhere: contacts write to that device, and no \
                               longer hear this one";
                return then(check(CheckName::Node, Verdict::Fail, message), ["starling wipe"]);
            }
            ok(CheckName::Node, format!("node runs ({version}, up {})", spans::rough(facts.uptime)))
        }
    }
}

fn vault(facts: &Facts, core: &CoreFacts) -> Check {
    if facts.network.as_ref().is_some_and(|network| network.copied_back) {
        let message = "this data directory was older than what ran here last: messages since then are missing, and the \
                       node went on as a new device";
        return then(check(CheckName::Vault, Verdict::Warn, message), ["starling backup create FILE"]);
    }
    let recovered = match core.status.recovered {
        0 => String::new(),
        1 => "; recovered: 1 message was waiting and is sent again".to_owned(),
        waited => format!("; recovered: {waited} messages were waiting and are sent again"),
    };
    ok(CheckName::Vault, format!("vault opens (format {SCHEMA}){recovered}"))
}

fn protection(facts: &Facts) -> Check {
    match (facts.protection, facts.no_passphrase_accepted) {
        (Protection::Passphrase, _) => ok(CheckName::Protection, "protected by a passphrase"),
        (Protection::Keyfile, true) => ok(CheckName::Protection, "no passphrase, as chosen"),
        (Protection::Keyfile, false) => {
            let message = "not protected by a passphrase: anyone with this disk can read your messages";
            then(
                check(CheckName::Protection, Verdict::Warn, message),
                ["starling passphrase", "starling passphrase --none"],
            )
        }
    }
}

fn clock_check(core: &CoreFacts) -> Check {
    let Some(now) = clock(&core.status) else {
        let message = "this computer's clock could not be compared: no peer is linked";
        return then(check(CheckName::Clock, Verdict::Warn, message), ["Look whether it is right: date"]);
    };
    let peers = spans::counted(u64::from(now.samples), "peer");
    if let Some(warning) = clock_warning(&core.status) {
        let verdict = if core.status.clock_holds_sends { Verdict::Fail } else { Verdict::Warn };
        return then(check(CheckName::Clock, verdict, phrase(&warning.message)), warning.hint);
    }
    if is_far(now.offset_ms) {
        // Fewer than make an opinion: one of the two is wrong.
        let message = format!("this computer's clock and that of {peers} differ by {}", spans::offset(now.offset_ms));
        return then(check(CheckName::Clock, Verdict::Warn, message), ["Look whether it is right: date"]);
    }
    ok(CheckName::Clock, format!("clock {} ({peers})", spans::offset(now.offset_ms)))
}

/// More than the two minutes after which a person is told.
fn is_far(offset_ms: i64) -> bool {
    offset_ms.unsigned_abs() > crate::server::routes::status::CLOCK_WARN_MS
}

fn disk(free_bytes: u64) -> Check {
    match disk_warning(free_bytes) {
        None => ok(CheckName::Disk, format!("{} free", spans::bytes(free_bytes))),
        Some(warning) => {
            let full = warning.code == "disk_full";
            let verdict = if full { Verdict::Fail } else { Verdict::Warn };
            let message = format!("{} ({} free)", phrase(&warning.message), spans::bytes(free_bytes));
            let message = if full { phrase(&warning.message) } else { message };
            then(check(CheckName::Disk, verdict, message), warning.hint)
        }
    }
}
