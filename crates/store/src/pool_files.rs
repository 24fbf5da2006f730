//! The pool on disk.
