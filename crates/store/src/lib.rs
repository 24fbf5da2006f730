//! The vault, the pool on disk, encryption at rest.
