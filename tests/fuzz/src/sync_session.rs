//! Fuzzes `starling_relay::sync`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_relay::sync::fuzz(data));
