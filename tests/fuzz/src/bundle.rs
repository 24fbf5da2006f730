//! Fuzzes `starling_e2ee::prekey::fuzz_bundle`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_e2ee::prekey::fuzz_bundle(data));
