//! Fuzzes `starling_wire::envelope`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_wire::envelope::fuzz(data));
