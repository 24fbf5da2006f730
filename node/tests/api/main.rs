//! The local API of the real node: who may ask, what bad requests get, sends that are safe to repeat, and
//! events that survive kill -9. SPEC: product 4 and 10.

mod abuse;
mod bad_requests;
mod events;
mod files;
mod guard;
#[path = "../cli/harness.rs"]
#[allow(dead_code, reason = "the command line's tests use the rest")]
mod harness;
mod http;
mod openapi;
mod page;
mod people;
mod sends;
mod traffic;
