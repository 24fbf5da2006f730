//! Tests of what strangers see, through the crate's public face alone.

mod properties;
mod vectors;
