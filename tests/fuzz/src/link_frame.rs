//! Fuzzes `starling_wire::link_frame`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_wire::link_frame::fuzz(data));
