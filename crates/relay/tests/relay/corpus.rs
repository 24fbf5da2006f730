//! The fuzzers' corpus, without a fuzzer.

#[path = "../../../../tests/fuzz/src/corpus.rs"]
mod replayed;

use starling_relay::{admit, sync};

const TARGETS: [replayed::Target; 3] =
    [("admit", admit::fuzz), ("negentropy", sync::negentropy::fuzz), ("sync_session", sync::fuzz)];

#[test]
fn the_corpus_of_every_decoder_does_no_harm() {
    replayed::replay(env!("CARGO_MANIFEST_DIR"), &TARGETS);
}
