//! A backup as the client receives it: sealed bytes, of whose meaning nothing is known here.

use std::io::{self, Read};

use ureq::{Body, BodyReader};

/// The bytes of a backup, as the node seals them. An error before the end means that what came is no backup.
pub struct BackupStream {
    reader: BodyReader<'static>,
}

impl std::fmt::Debug for BackupStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BackupStream")
    }
}

impl BackupStream {
    pub(crate) fn new(body: Body) -> Self {
        Self { reader: body.into_with_config().limit(u64::MAX).reader() }
    }
}

impl Read for BackupStream {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.reader.read(bytes)
    }
}
