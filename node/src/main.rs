//! The Starling node daemon and its command line.
fn main() {}
