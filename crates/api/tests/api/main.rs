//! The crate as others use it: the JSON of the specification, and the client.

mod client;
mod golden;
