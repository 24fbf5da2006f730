//! The fuzzers' corpus, without a fuzzer.

#[path = "../../../tests/fuzz/src/corpus.rs"]
mod corpus;

#[test]
fn the_corpus_of_every_content_does_no_harm() {
    corpus::replay(env!("CARGO_MANIFEST_DIR"), &[("content", starling_messenger::fuzz_content)]);
}
