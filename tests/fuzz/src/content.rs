//! Fuzzes `starling_messenger::fuzz_content`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_messenger::fuzz_content(data));
