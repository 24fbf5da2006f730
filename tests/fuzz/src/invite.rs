//! Fuzzes `starling_wire::invite`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_wire::invite::fuzz(data));
