//! Tests of what a peer or another room of the node notices of this crate, through its public face alone.

mod admission;
mod catch_up;
mod corpus;
mod hostile;
mod keep_rule;
mod oracle;
mod sessions;
mod stamps;
mod support;
mod vectors;
