//! Fuzzes `starling_wire::descriptor`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_wire::descriptor::fuzz(data));
