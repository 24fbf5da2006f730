//! A picture file with a QR code in it, as `--scan FILE` names it.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::clean;
use super::failure::{Exit, Failure};
use crate::picture::{self, FILE_BYTES_MAX};

/// The texts of all QR codes in the picture: one at least.
///
/// # Errors
/// The file cannot be read, is no such picture, is too large, or has no code that can be read.
pub(crate) fn texts(path: &Path) -> Result<Vec<String>, Failure> {
    let name = clean::line(&path.display().to_string());
    let bytes = read(path, &name)?;
    let texts = picture::codes(&bytes).map_err(|why| Failure::bad_input(format!("{name} cannot be read: {why}.")))?;
    if texts.is_empty() {
        let words =
            format!("No QR code could be read in {name}. Take the picture from the front, with all of the code in it.");
        return Err(Failure::bad_input(words));
    }
    Ok(texts)
}

fn read(path: &Path, name: &str) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        return Err(Failure::new(Exit::Usage, "bad_request", format!("{name} cannot be read: {error}.")));
    }
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(Failure::bad_input(format!("{name} is larger than {} MB.", FILE_BYTES_MAX >> 20)));
    }
    Ok(bytes)
}
