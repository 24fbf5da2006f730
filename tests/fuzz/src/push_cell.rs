//! Fuzzes `starling_wire::push_cell`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_wire::push_cell::fuzz(data));
