//! The network with real nodes on loopback: one process, real QUIC and TCP.

mod calls;
mod converge;
mod hostile;
mod pair;
mod support;
