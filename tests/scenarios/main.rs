//! Whole stories on networks of real nodes: each test starts the shipped binary several times on loopback, in a
//! network of its own, and asks only what people would see. Slow, as processes start, die and find each other.

mod crashes;
mod crowd;
mod flock;
