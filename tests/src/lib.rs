//! Scenarios, simulation, vectors and the architecture test.
