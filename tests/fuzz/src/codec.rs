//! Fuzzes `starling_wire::codec`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_wire::codec::fuzz(data));
