//! Replays the fuzzers' corpus (`tests/fuzz/corpus/TARGET/*`) through the very functions they call, so that
//! what a fuzzer once found stays found without a fuzzer.

use std::path::Path;

use starling_wire::{codec, descriptor, envelope, invite, link_frame, push_cell, sync_frame};

type Target = (&'static str, fn(&[u8]));

const TARGETS: [Target; 7] = [
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
