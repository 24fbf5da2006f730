//! Replays the fuzzers' corpus (`tests/fuzz/corpus/TARGET/*`) through the very functions they call, so that what a
//! fuzzer once found stays found without a fuzzer; and plays some networks that proptest draws.

#[path = "../../../tests/fuzz/src/session_play.rs"]
mod session_play;

use std::path::Path;

use proptest::prelude::*;
use starling_e2ee::handshake::fuzz_first_contact;
use starling_e2ee::identity::fuzz_device_list;
use starling_e2ee::prekey::fuzz_bundle;
use starling_e2ee::record::fuzz_records;
use starling_e2ee::session::fuzz_header;

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 6] = [
    ("bundle", fuzz_bundle),
    ("device_list", fuzz_device_list),
    ("first_contact", fuzz_first_contact),
    ("header", fuzz_header),
    ("records", fuzz_records),
    ("session", session_play::play),
];

#[test]
fn the_corpus_of_every_parser_and_of_the_session_does_no_harm() {
    for (target, fuzz) in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
        let files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|file| file.unwrap().path())
            .collect();
        assert!(!files.is_empty(), "{target} has no corpus");
        files.iter().for_each(|file| fuzz(&std::fs::read(file).unwrap()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_network_makes_a_session_lose_its_way(data in prop::collection::vec(any::<u8>(), 0..400)) {
        session_play::play(&data);
    }
}
