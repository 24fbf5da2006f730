//! Everybody writes to everybody at the same time.

use starling_testnet::talk::Sent;

use crate::flock::Flock;

const NODES: usize = 5;
const TEXTS: usize = 6;

#[test]
fn everybody_hears_everybody_once_and_in_order() {
    let mut flock = Flock::of(NODES);
    let mut sent: Vec<(usize, Sent)> = Vec::new();
    for text in 0..TEXTS {
        for from in 1..=NODES {
            for to in (1..=NODES).filter(|&to| to != from) {
                let contact = flock.contact(from, to);
                let message = flock.party(from).send(&contact, &format!("{from} to {to}: {text}")).unwrap();
                sent.push((from, message));
            }
        }
    }
    for (from, message) in &sent {
        flock.assert_delivered(*from, message);
    }
    for from in 1..=NODES {
        for to in (1..=NODES).filter(|&to| to != from) {
            let contact = flock.contact(to, from);
            let expected: Vec<String> = (0..TEXTS).map(|text| format!("{from} to {to}: {text}")).collect();
            assert_eq!(flock.party(to).received(&contact).unwrap(), expected);
        }
    }
    flock.down();
}
