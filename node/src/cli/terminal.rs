//! Where a command's words go: results to stdout, everything else to stderr; with `--json` one object each.

use std::io::{self, ErrorKind, IsTerminal as _, Write as _};

use serde::Serialize;

use super::failure::{Exit, Failure};

/// How to speak.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terminal {
    /// Objects instead of text.
    pub(crate) json: bool,
    /// Results and errors only.
    pub(crate) quiet: bool,
    /// Stdout may be coloured.
    color: bool,
    /// Stdout is a terminal: a line may be rewritten.
    pub(crate) rewrites: bool,
}

/// What a colour means.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Paint {
    /// Good.
    Good,
    /// Needs attention.
    Attention,
    /// Beside the point.
    Aside,
}

fn written(outcome: io::Result<()>) -> Result<(), Failure> {
    outcome.map_err(|error| match error.kind() {
        ErrorKind::BrokenPipe => Failure::reader_gone(),
        _ => Failure::new(Exit::Disk, "output", format!("The result could not be written: {error}")),
    })
}

impl Terminal {
    /// As the flags and `NO_COLOR` say.
    pub(crate) fn new(json: bool, quiet: bool, no_color: bool) -> Self {
        let rewrites = io::stdout().is_terminal();
        let forbidden = no_color || std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { json, quiet, color: rewrites && !forbidden && !json, rewrites }
    }

    /// Whether colours are wanted.
    pub(crate) fn colors(&self) -> bool {
        self.color
    }

    /// A line of the result.
    ///
    /// # Errors
    /// The reader has gone, or the file behind stdout is full.
    pub(crate) fn line(&self, text: &str) -> Result<(), Failure> {
        self.part(text)?;
        self.part("\n")
    }

    /// A part of a line of the result, shown at once.
    ///
    /// # Errors
    /// As [`Terminal::line`].
    pub(crate) fn part(&self, text: &str) -> Result<(), Failure> {
        let mut stdout = io::stdout().lock();
        written(stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()))
    }

    /// The result as one line of JSON.
    ///
    /// # Errors
    /// As [`Terminal::line`].
    pub(crate) fn object(&self, value: &impl Serialize) -> Result<(), Failure> {
        let text = serde_json::to_string(value).map_err(|error| Failure::unexpected(error.to_string()))?;
        self.line(&text)
    }

    /// A remark that is not part of the result. Its loss is no failure.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            let _ = writeln!(io::stderr().lock(), "{text}");
        }
    }

    /// The failure of the command, on stderr.
    pub(crate) fn failure(&self, failure: &Failure) {
        if failure.is_silent() {
            return;
        }
        let mut stderr = io::stderr().lock();
        let _ = if self.json {
            writeln!(stderr, "{}", failure.to_json())
        } else {
            match failure.next_step() {
                Some(hint) => writeln!(stderr, "{}\n  {hint}", failure.message),
                None => writeln!(stderr, "{}", failure.message),
            }
        };
    }

    /// `text` in a colour, where colours are wanted.
    pub(crate) fn paint(&self, paint: Paint, text: &str) -> String {
        if !self.color {
            return text.to_owned();
        }
        let code = match paint {
            Paint::Good => 32,
            Paint::Attention => 33,
            Paint::Aside => 2,
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}

impl Terminal {
    /// A line of a QR code: white blocks on black, whatever the terminal's own colours are.
    pub(crate) fn paper(&self, line: &str) -> String {
        if self.color { format!("\u{1b}[97;40m{line}\u{1b}[0m") } else { line.to_owned() }
    }
}

/// Columns of a table, each as wide as its widest cell; the last one is not padded. Widths are counted in
/// characters: good enough for names, and never wrong by more than a shifted column.
pub(crate) fn table(rows: &[Vec<String>]) -> Vec<String> {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}", width = *width));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_line_up() {
        let rows = [vec!["Ana".to_owned(), "ready".to_owned()], vec!["Zoë B".to_owned(), "x".to_owned()]];
        assert_eq!(table(&rows), ["Ana    ready", "Zoë B  x"]);
        assert!(table(&[]).is_empty());
    }
}
