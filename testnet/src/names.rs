//! Names of nodes: those that people of this field use for the parties of a protocol.

const NAMES: [&str; 20] = [
    "alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi", "ivan", "judy", "kim", "leo", "mallory",
    "nina", "olivia", "peggy", "quinn", "rupert", "sybil", "trent",
];

/// The name of the node with this number, from 1: `alice`, `bob`, ..., then `node-21` and so on.
pub fn name_of(number: usize) -> String {
    match number.checked_sub(1).and_then(|index| NAMES.get(index)) {
        Some(name) => (*name).to_owned(),
        None => format!("node-{number}"),
    }
}
