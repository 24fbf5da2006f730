//! The whole node without input and output.
