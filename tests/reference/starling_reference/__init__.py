"""A second implementation of Starling's end-to-end encryption, written from crates/e2ee/SPEC.md alone.

It exists to prove that the specification says enough, and that the Rust crate does what it says. It is slow,
keeps its secrets in plain Python objects and compares them in no constant time: never use it to talk to anybody.
"""
