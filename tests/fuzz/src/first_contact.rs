//! Fuzzes `starling_e2ee::handshake::fuzz_first_contact`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| starling_e2ee::handshake::fuzz_first_contact(data));
