//! The fuzzers' corpus, without a fuzzer.

#[path = "../../../../tests/fuzz/src/corpus.rs"]
mod replayed;

use starling_wire::{codec, descriptor, envelope, invite, link_frame, push_cell, sync_frame};

const TARGETS: [replayed::Target; 7] = [
    ("codec", codec::fuzz),
    ("descriptor", descriptor::fuzz),
    ("envelope", envelope::fuzz),
    ("invite", invite::fuzz),
    ("link_frame", link_frame::fuzz),
    ("push_cell", push_cell::fuzz),
    ("sync_frame", sync_frame::fuzz),
];

#[test]
fn the_corpus_of_every_decoder_does_no_harm() {
    replayed::replay(env!("CARGO_MANIFEST_DIR"), &TARGETS);
}
