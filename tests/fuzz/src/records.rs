//! Fuzzes `starling_e2ee::record::fuzz_records`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_e2ee::record::fuzz_records(data));
