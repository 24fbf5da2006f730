//! Replays the fuzzers' corpus (`tests/fuzz/corpus/TARGET/*`) through the very functions they call, so that
//! what a fuzzer once found stays found without a fuzzer.

use std::path::Path;

use starling_relay::{admit, sync};

struct Target {
    name: &'static str,
    fuzz: fn(&[u8]),
}

const TARGETS: [Target; 3] = [
    Target { name: "admit", fuzz: admit::fuzz },
    Target { name: "negentropy", fuzz: sync::negentropy::fuzz },
    Target { name: "sync_session", fuzz: sync::fuzz },
];

#[test]
fn the_corpus_of_every_decoder_does_no_harm() {
    for Target { name, fuzz } in TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(name);
        let files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|file| file.unwrap().path())
            .collect();
        assert!(!files.is_empty(), "{name} has no corpus");
        files.iter().for_each(|file| fuzz(&std::fs::read(file).unwrap()));
    }
}
