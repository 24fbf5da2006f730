//! Scenarios, simulation, vectors and the architecture test.

pub mod sim;
