//! The fuzzers' corpus, without a fuzzer; and some networks that proptest draws.

#[path = "../../../tests/fuzz/src/corpus.rs"]
mod replayed;
#[path = "../../../tests/fuzz/src/session_play.rs"]
mod session_play;

use proptest::prelude::*;
use starling_e2ee::handshake::fuzz_first_contact;
use starling_e2ee::identity::fuzz_device_list;
use starling_e2ee::prekey::fuzz_bundle;
use starling_e2ee::record::fuzz_records;
use starling_e2ee::session::fuzz_header;

const TARGETS: [replayed::Target; 6] = [
    ("bundle", fuzz_bundle),
    ("device_list", fuzz_device_list),
    ("first_contact", fuzz_first_contact),
    ("header", fuzz_header),
    ("records", fuzz_records),
    ("session", session_play::play),
];

#[test]
fn the_corpus_of_every_parser_and_of_the_session_does_no_harm() {
    replayed::replay(env!("CARGO_MANIFEST_DIR"), &TARGETS);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_network_makes_a_session_lose_its_way(data in prop::collection::vec(any::<u8>(), 0..400)) {
        session_play::play(&data);
    }
}
