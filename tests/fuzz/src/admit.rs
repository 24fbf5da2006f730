//! Fuzzes `starling_relay::admit`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_relay::admit::fuzz(data));
