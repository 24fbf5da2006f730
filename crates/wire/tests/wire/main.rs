//! Tests of what strangers see, through the crate's public face alone.

mod corpus;
mod properties;
mod vectors;
