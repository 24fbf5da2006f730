//! Fuzzes a whole session of `starling_e2ee`: the fuzzer plays the network.
#![no_main]

mod session_play;

libfuzzer_sys::fuzz_target!(|data: &[u8]| session_play::play(data));
