//! Passphrases: from a prompt that does not show them, from a file, or from a pipe; never from the arguments, which
//! every user of a machine can read.

use std::fs::File;
use std::io::{self, ErrorKind, IsTerminal as _, Read};
use std::path::Path;

use starling_api::Passphrase;
use zeroize::Zeroizing;

use super::failure::{Exit, Failure};
use super::interrupt;

/// Bytes of a passphrase that are read at the most: one more than is allowed, so that the node says it is too long.
const PASSPHRASE_BYTES_READ: u64 = 1_025;

/// Where a passphrase comes from.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Source<'path> {
    /// `--passphrase-file`
    File(&'path Path),
    /// Typed, unseen.
    Prompt,
    /// The first line of stdin.
    Pipe,
}

impl<'path> Source<'path> {
    /// The file if one is named, else stdin: a prompt if it is a terminal.
    pub(crate) fn choose(file: Option<&'path Path>) -> Self {
        match file {
            Some(path) => Self::File(path),
            None if io::stdin().is_terminal() => Self::Prompt,
            None => Self::Pipe,
        }
    }

    /// Whether a wrong one can be typed again.
    pub(crate) fn can_repeat(self) -> bool {
        matches!(self, Self::Prompt)
    }

    /// Reads one passphrase, the line end not included.
    ///
    /// # Errors
    /// The file or the terminal cannot be read, there is nothing in it, or it is not text.
    pub(crate) fn read(self, prompt: &str) -> Result<Passphrase, Failure> {
        let passphrase = match self {
            Self::File(path) => {
                let failed = |error| Failure::bad_input(format!("{} cannot be read: {error}", path.display()));
                first_line(File::open(path).map_err(failed)?).map_err(failed)?
            }
            Self::Pipe => first_line(io::stdin().lock())
                .map_err(|error| Failure::bad_input(format!("No passphrase on stdin: {error}")))?,
            Self::Prompt => typed(prompt)?,
        };
        if passphrase.as_bytes().is_empty() {
            return Err(Failure::bad_input("No passphrase was given"));
        }
        Ok(passphrase)
    }
}

fn typed(prompt: &str) -> Result<Passphrase, Failure> {
    interrupt::remember_terminal();
    let typed = rpassword::prompt_password(prompt).map(Passphrase::new);
    interrupt::restore_terminal();
    typed.map_err(|error| match error.kind() {
        ErrorKind::Interrupted => Failure::new(Exit::Interrupted, "interrupted", "Interrupted"),
        _ => Failure::bad_input(format!("No passphrase could be read: {error}")),
    })
}

/// The first line, at most what is ever needed of it.
fn first_line(reader: impl Read) -> io::Result<Passphrase> {
    // Reserved at once: growing would leave copies behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2_048));
    let mut reader = reader.take(PASSPHRASE_BYTES_READ);
    let mut byte = [0];
    // Byte by byte: what follows the line stays for the next reader, and no buffer keeps a copy.
    while reader.read(&mut byte)? == 1 && byte != *b"\n" {
        bytes.extend_from_slice(&byte);
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    let text = std::str::from_utf8(&bytes).map_err(|_| io::Error::from(ErrorKind::InvalidData))?;
    Ok(Passphrase::new(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_is_read_and_no_more_than_fits() {
        assert_eq!(first_line(&b"correct horse\r\nnext"[..]).unwrap().as_bytes(), b"correct horse");
        assert_eq!(first_line(&b" spaces stay "[..]).unwrap().as_bytes(), b" spaces stay ");
        assert_eq!(first_line(&b""[..]).unwrap().as_bytes(), b"");
        assert_eq!(first_line(io::repeat(b'x')).unwrap().as_bytes().len(), 1_025);
        assert!(first_line(&b"\xff\xfe"[..]).is_err());
    }
}
