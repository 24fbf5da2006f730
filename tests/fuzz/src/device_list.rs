//! Fuzzes `starling_e2ee::identity::fuzz_device_list`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_e2ee::identity::fuzz_device_list(data));
