//! Looks for words in files as they lie on the disk: the proof that texts, names and keys are sealed.
//!
//! The same search must find a marker planted in clear, else it proves nothing.

use std::fs;
use std::path::{Path, PathBuf};

use memchr::memmem;

/// Where a word was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hit {
    /// In which file.
    pub file: PathBuf,
    /// Which word, by its label.
    pub label: String,
}

/// A secret and the forms in which it might leak: as it is, in hex, in base32 and base64.
pub struct Needle {
    label: String,
    forms: Vec<Vec<u8>>,
}

impl Needle {
    /// A secret of at least six bytes; shorter ones would be found by chance.
    pub fn new(label: &str, secret: &[u8]) -> Option<Self> {
        use data_encoding::{BASE32_NOPAD, BASE64_NOPAD, HEXLOWER, HEXUPPER};
        if secret.len() < 6 {
            return None;
        }
        let base32 = BASE32_NOPAD.encode(secret);
        let forms = vec![
            secret.to_vec(),
            HEXLOWER.encode(secret).into_bytes(),
            HEXUPPER.encode(secret).into_bytes(),
            base32.to_ascii_lowercase().into_bytes(),
            base32.into_bytes(),
            BASE64_NOPAD.encode(secret).into_bytes(),
        ];
        Some(Self { label: label.to_owned(), forms })
    }
}

/// Every file at or below `places` in which any form of any needle stands.
///
/// # Errors
/// When a file or folder cannot be read: what was not read was not searched.
pub fn search(places: &[PathBuf], needles: &[Needle]) -> std::io::Result<Vec<Hit>> {
    let mut hits = Vec::new();
    for place in places {
        search_place(place, needles, &mut hits)?;
    }
    Ok(hits)
}

fn search_place(place: &Path, needles: &[Needle], hits: &mut Vec<Hit>) -> std::io::Result<()> {
    let kind = fs::symlink_metadata(place)?.file_type();
    if kind.is_dir() {
        for entry in fs::read_dir(place)? {
            search_place(&entry?.path(), needles, hits)?;
        }
    } else if kind.is_file() {
        let content = fs::read(place)?;
        for needle in needles {
            if needle.forms.iter().any(|form| memmem::find(&content, form).is_some()) {
                hits.push(Hit { file: place.to_owned(), label: needle.label.clone() });
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_every_form_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("a/b");
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("plain"), b"xx Guten Morgen yy").unwrap();
        fs::write(deep.join("hex"), b"4775742e6e 477574656e204d6f7267656e").unwrap();
        fs::write(deep.join("near"), b"Guten Morge").unwrap();
        let needles = [Needle::new("text", b"Guten Morgen").unwrap()];
        let mut found: Vec<_> = search(&[folder.path().to_owned()], &needles)
            .unwrap()
            .into_iter()
            .map(|hit| hit.file.file_name().unwrap().to_string_lossy().into_owned())
            .collect();
        found.sort();
        assert_eq!(found, ["hex", "plain"]);
    }

    #[test]
    fn a_place_that_cannot_be_read_is_an_error_and_not_a_clean_result() {
        let needles = [Needle::new("text", b"Guten Morgen").unwrap()];
        assert!(search(&[PathBuf::from("/no/such/folder")], &needles).is_err());
    }

    #[test]
    fn short_words_are_refused() {
        assert!(Needle::new("text", b"hi").is_none());
    }
}
