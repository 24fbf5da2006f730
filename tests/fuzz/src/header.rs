//! Fuzzes `starling_e2ee::session::fuzz_header`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_e2ee::session::fuzz_header(data));
