//! Replays the fuzzers' corpus (`corpus/TARGET/*`) through the very functions they call, so that what a fuzzer once found
//! stays found without a fuzzer. A file of its own, because the tests of several packages do it.

use std::path::Path;

/// A fuzz target's name, and what it calls.
pub(crate) type Target = (&'static str, fn(&[u8]));

/// Replays the corpus of each; `package` is the caller's folder, two below the repository's.
pub(crate) fn replay(package: &str, targets: &[Target]) {
    for (target, fuzz) in targets {
        let folder = Path::new(package).join("../../tests/fuzz/corpus").join(target);
        let files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|file| file.unwrap().path())
            .collect();
        assert!(!files.is_empty(), "{target} has no corpus");
        files.iter().for_each(|file| fuzz(&std::fs::read(file).unwrap()));
    }
}
