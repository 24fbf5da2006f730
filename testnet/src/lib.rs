//! Starts, stops and breaks networks of real nodes.
