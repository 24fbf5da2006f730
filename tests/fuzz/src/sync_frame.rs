//! Fuzzes `starling_wire::sync_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_wire::sync_frame::fuzz(data));
