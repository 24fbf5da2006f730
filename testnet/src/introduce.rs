//! Introduces the nodes of a testnet to each other, by invites as people would.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{bail, ensure};

use crate::net::Net;
use crate::talk::Party;

/// How long two nodes may take until they can write to each other.
const READY_DEADLINE: Duration = Duration::from_secs(60);

/// Who becomes whose contact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contacts {
    /// Everyone knows everyone.
    All,
    /// Each knows the next, the last the first.
    Ring,
    /// Nobody knows anybody.
    None,
}

/// Makes the contacts and waits until all are ready.
///
/// # Errors
/// When a node refuses, when a contact is not ready in time, or when interrupted.
pub fn introduce(net: &Net, contacts: Contacts, interrupted: &AtomicBool) -> anyhow::Result<()> {
    let names: Vec<_> = net.running().map(|node| node.plan.name.clone()).collect();
    let parties: Vec<_> =
        net.running().map(|node| Party::at(&node.plan.name, &node.plan.data())).collect::<anyhow::Result<_>>()?;
    for (party, name) in parties.iter().zip(&names) {
        party.set_name(name)?;
    }
    let pairs = pairs(names.len(), contacts);
    for &(one, other) in &pairs {
        if interrupted.load(Ordering::SeqCst) {
            bail!("interrupted");
        }
        let link = parties[one].invite(&names[other])?;
        parties[other].add(&link, &names[one])?;
    }
    for (one, other) in pairs {
        for (from, to) in [(one, other), (other, one)] {
            let ready = parties[from].wait_ready(&names[to], READY_DEADLINE)?;
            ensure!(ready, "{} and {} did not become contacts within {READY_DEADLINE:?}", names[from], names[to]);
        }
    }
    Ok(())
}

/// Pairs of indices, each once.
fn pairs(nodes: usize, contacts: Contacts) -> Vec<(usize, usize)> {
    match contacts {
        Contacts::None => Vec::new(),
        Contacts::All => (0..nodes).flat_map(|one| (one + 1..nodes).map(move |other| (one, other))).collect(),
        Contacts::Ring if nodes < 2 => Vec::new(),
        Contacts::Ring if nodes == 2 => vec![(0, 1)],
        Contacts::Ring => (0..nodes).map(|one| (one, (one + 1) % nodes)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_closes_and_names_no_pair_twice() {
        assert_eq!(pairs(1, Contacts::Ring), []);
        assert_eq!(pairs(2, Contacts::Ring), [(0, 1)]);
        assert_eq!(pairs(4, Contacts::Ring), [(0, 1), (1, 2), (2, 3), (3, 0)]);
        assert_eq!(pairs(4, Contacts::All).len(), 6);
    }
}
