//! How far it is, on one line of the terminal that is rewritten; nothing where nobody looks.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use super::words::size;
use crate::cli::terminal::Terminal;

/// Between two changes of the line.
const INTERVAL: Duration = Duration::from_millis(100);

/// The line.
pub(super) struct Progress {
    shown: bool,
    word: &'static str,
    next: Instant,
    length: usize,
}

impl Progress {
    /// Of bytes that are `word`: written, read.
    pub(super) fn new(terminal: &Terminal, word: &'static str) -> Self {
        let shown = !terminal.quiet && !terminal.json && io::stderr().is_terminal();
        Self { shown, word, next: Instant::now(), length: 0 }
    }

    /// So many bytes by now.
    pub(super) fn show(&mut self, bytes: u64) {
        if self.shown && Instant::now() >= self.next {
            self.next = Instant::now() + INTERVAL;
            self.write(&format!("{} {}...", size(bytes), self.word));
        }
    }

    /// Takes the line away.
    pub(super) fn end(&mut self) {
        if self.length > 0 {
            self.write("");
            let _ = write!(io::stderr().lock(), "\r");
        }
    }

    fn write(&mut self, text: &str) {
        // Its loss is no failure.
        let _ = write!(io::stderr().lock(), "\r{text:<width$}", width = self.length);
        self.length = text.len();
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.end();
    }
}
