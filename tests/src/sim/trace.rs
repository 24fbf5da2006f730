//! What happened, line by line: the same seed writes the same bytes.

use std::fmt::Write as _;

/// Lines of a run, kept only when somebody wants to read them: making them costs more than the run.
#[derive(Debug, Default)]
pub struct Trace {
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A trace that keeps its lines if `kept`.
    pub fn new(kept: bool) -> Self {
        Self { lines: kept.then(Vec::new) }
    }

    /// Whether lines are kept, so that nobody need make one in vain.
    pub fn is_kept(&self) -> bool {
        self.lines.is_some()
    }

    /// Writes what `who` did at `at_ms` of virtual time.
    pub fn line(&mut self, at_ms: u64, who: &str, what: impl FnOnce() -> String) {
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{} {who:>5}  {}", clock(at_ms), what()));
        }
    }

    /// All lines so far.
    pub fn into_lines(self) -> Vec<String> {
        self.lines.unwrap_or_default()
    }
}

/// `2d 03:04:05.678`.
pub fn clock(at_ms: u64) -> String {
    let (days, ms) = (at_ms / 86_400_000, at_ms % 86_400_000);
    let (hours, ms) = (ms / 3_600_000, ms % 3_600_000);
    let (minutes, ms) = (ms / 60_000, ms % 60_000);
    let mut text = String::new();
    // Writing to a string cannot fail.
    let _ = write!(text, "{days:>2}d {hours:02}:{minutes:02}:{:02}.{:03}", ms / 1_000, ms % 1_000);
    text
}
