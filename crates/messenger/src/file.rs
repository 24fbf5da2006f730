//! Pictures, voice notes and other files, as contents and as people see them. SPEC.md, "Files".
//!
//! Whatever came from a peer is shown as what its bytes are, never as what their sender called them, and only when
//! showing it is harmless: a picture of a few kilobytes may claim more pixels than a computer has room for.

use std::fmt;

use imagesize::{ImageType, blob_size, image_type};
use serde::{Deserialize, Serialize};
use starling_wire::limits::{CAPTION_BYTES_MAX, FILE_NAME_BYTES_MAX, MESSAGE_BYTES_MAX, VOICE_MS_MAX, VOICE_PEAKS_MAX};

use crate::contact::steers;

/// Bytes of the largest file.
pub const FILE_BYTES_MAX: usize = MESSAGE_BYTES_MAX;
/// Pixels of a side, beyond which a picture is shown as a file.
const PICTURE_SIDE_MAX: u32 = 4_096;
/// Pixels in all: four bytes each when it is shown.
const PICTURE_PIXELS_MAX: u64 = 8 << 20;
/// Ogg's first page begins so (RFC 3533), and one of Opus goes on with its own name after 28 bytes (RFC 7845).
const OGG_MAGIC: &[u8] = b"OggS";
const OPUS_MAGIC: &[u8] = b"OpusHead";
const OPUS_MAGIC_AT: usize = 28;

/// How long a voice note is, and how loud. Its sender says so.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Voice {
    /// Milliseconds, at most 30,000.
    pub duration_ms: u32,
    /// At most 64 levels from its beginning to its end, 255 the loudest.
    pub peaks: Vec<u8>,
}

impl Voice {
    /// Whether a voice note may be so.
    pub fn is_within_limits(&self) -> bool {
        self.duration_ms <= VOICE_MS_MAX && self.peaks.len() <= VOICE_PEAKS_MAX
    }
}

/// Formats of pictures that are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum PictureFormat {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
    /// WebP.
    Webp,
}

/// What a file's bytes are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileKind {
    /// A picture of a size that can be shown.
    Picture {
        /// Its format.
        format: PictureFormat,
        /// Pixels.
        width: u32,
        /// Pixels.
        height: u32,
    },
    /// Opus in Ogg that was recorded to be heard.
    Voice(Voice),
    /// Anything else.
    Other,
}

/// A file that is to be sent.
#[derive(Clone, PartialEq, Eq)]
pub struct OutgoingFile {
    /// What it is called; cleaned of paths and what steers a terminal.
    pub name: String,
    /// Of a voice note: the bytes must be Opus in Ogg.
    pub voice: Option<Voice>,
    /// At most [`FILE_BYTES_MAX`], and not none.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for OutgoingFile {
    /// Its size alone: what people send does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OutgoingFile({} bytes)", self.bytes.len())
    }
}

/// A file as people see it, without its bytes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileView {
    /// What it is called: no path, nothing that steers a terminal; may be empty.
    pub name: String,
    /// What its sender wrote beside it; may be empty.
    pub text: String,
    /// Bytes.
    pub bytes: u32,
    /// What it is.
    pub kind: FileKind,
}

impl fmt::Debug for FileView {
    /// Without name and text: what people write does not belong in a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FileView({} bytes)", self.bytes)
    }
}

/// A file that is sent: content kind 6.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct File {
    /// The writer's count in this conversation and on this device, from 0, together with texts.
    pub(crate) sequence: u64,
    /// When it was written, by the writer's clock, ms since 1970.
    pub(crate) created_unix_ms: u64,
    /// Message id of the message that it answers.
    pub(crate) reply_to: Option<[u8; 16]>,
    /// Seconds after which it is to disappear; 0 is never.
    pub(crate) expires_s: u32,
    /// What its writer says about it, at most 1,024 bytes; may be empty.
    pub(crate) text: String,
    /// Its name, at most 255 bytes; may be empty.
    pub(crate) name: String,
    /// Of a voice note.
    pub(crate) voice: Option<Voice>,
    /// The file, 1 to 64,000 bytes.
    pub(crate) bytes: Vec<u8>,
}

impl FileView {
    /// What people see of a file with this name, this text beside it and these bytes, sent as a voice note or not.
    pub(crate) fn new(name: &str, text: String, voice: Option<&Voice>, bytes: &[u8]) -> Self {
        Self {
            name: clean_file_name(name),
            text,
            bytes: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            kind: kind_of(bytes, voice),
        }
    }
}

impl File {
    /// Whether it is one that may be sent.
    pub(crate) fn is_within_limits(&self) -> bool {
        (1..=FILE_BYTES_MAX).contains(&self.bytes.len())
            && self.text.len() <= CAPTION_BYTES_MAX
            && self.name.len() <= FILE_NAME_BYTES_MAX
            && self.voice.as_ref().is_none_or(Voice::is_within_limits)
    }

    /// What people see of it.
    pub(crate) fn view(&self) -> FileView {
        FileView::new(&self.name, self.text.clone(), self.voice.as_ref(), &self.bytes)
    }
}

/// What is left of a file's name: its last component, without what steers a terminal or means something to a file
/// system, and not hidden; at most 255 bytes, with its ending kept.
pub fn clean_file_name(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let turns = |char: char| matches!(char, '\u{200E}' | '\u{200F}' | '\u{061C}');
    let meant = |char: char| steers(char) || turns(char) || matches!(char, ':' | '*' | '?' | '"' | '<' | '>' | '|');
    let clean: String = last.chars().filter(|&char| !meant(char)).collect();
    let clean = clean.trim_matches(|char: char| char.is_whitespace() || char == '.');
    if clean.len() <= FILE_NAME_BYTES_MAX {
        return clean.to_owned();
    }
    let ending = clean.rfind('.').map_or("", |at| &clean[at..]);
    let ending = if ending.len() <= 16 { ending } else { "" };
    let stem = clean.floor_char_boundary(FILE_NAME_BYTES_MAX - ending.len());
    format!("{}{ending}", clean.get(..stem).unwrap_or_default())
}

/// What a file is, by its bytes.
fn kind_of(bytes: &[u8], voice: Option<&Voice>) -> FileKind {
    if let Some(voice) = voice.filter(|_| is_ogg_opus(bytes)) {
        return FileKind::Voice(voice.clone());
    }
    picture(bytes).unwrap_or(FileKind::Other)
}

/// Whether the bytes begin as Opus in Ogg does.
pub(crate) fn is_ogg_opus(bytes: &[u8]) -> bool {
    bytes.starts_with(OGG_MAGIC) && bytes.get(OPUS_MAGIC_AT..).is_some_and(|rest| rest.starts_with(OPUS_MAGIC))
}

fn picture(bytes: &[u8]) -> Option<FileKind> {
    let format = match image_type(bytes).ok()? {
        ImageType::Jpeg => PictureFormat::Jpeg,
        ImageType::Png => PictureFormat::Png,
        ImageType::Webp => PictureFormat::Webp,
        _ => return None,
    };
    let size = blob_size(bytes).ok()?;
    let (width, height) = (u32::try_from(size.width).ok()?, u32::try_from(size.height).ok()?);
    let sides = 1..=PICTURE_SIDE_MAX;
    let sane = sides.contains(&width) && sides.contains(&height);
    let fits = u64::from(width) * u64::from(height) <= PICTURE_PIXELS_MAX;
    (sane && fits).then_some(FileKind::Picture { format, width, height })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::content::Content;

    fn file(name: &str, bytes: Vec<u8>) -> File {
        File {
            sequence: 3,
            created_unix_ms: 5,
            reply_to: None,
            expires_s: 0,
            text: "hi".into(),
            name: name.into(),
            voice: None,
            bytes,
        }
    }

    /// A PNG's first chunk, which is all that says how large it is.
    fn png(width: u32, height: u32) -> Vec<u8> {
        let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
        bytes.extend(width.to_be_bytes());
        bytes.extend(height.to_be_bytes());
        bytes.extend([8, 6, 0, 0, 0, 1, 2, 3, 4]);
        bytes
    }

    fn opus() -> Vec<u8> {
        let mut bytes = b"OggS".to_vec();
        bytes.resize(OPUS_MAGIC_AT, 0);
        bytes.extend(b"OpusHead\x01\x01");
        bytes
    }

    #[test]
    fn a_file_keeps_its_byte_table() {
        let voice = Some(Voice { duration_ms: 9, peaks: vec![7, 8] });
        let file = File { voice, reply_to: Some([9; 16]), ..file("a.ogg", vec![1, 2, 3]) };
        let mut expected = vec![6, 0];
        expected.extend(3u64.to_le_bytes());
        expected.extend(5u64.to_le_bytes());
        expected.push(1);
        expected.extend([9; 16]);
        expected.extend(0u32.to_le_bytes());
        expected.extend(2u64.to_le_bytes());
        expected.extend(b"hi");
        expected.extend(5u64.to_le_bytes());
        expected.extend(b"a.ogg");
        expected.push(1);
        expected.extend(9u32.to_le_bytes());
        expected.extend(2u64.to_le_bytes());
        expected.extend([7, 8]);
        expected.extend(3u64.to_le_bytes());
        expected.extend([1, 2, 3]);
        assert_eq!(file.encode(), expected);
        assert_eq!(Content::decode(&expected), Ok(Content::File(Box::new(file))));
    }

    #[test]
    fn what_is_over_a_limit_is_malformed() {
        let is_read = |file: &File| Content::decode(&file.encode()).is_ok();
        let largest = File {
            text: "x".repeat(CAPTION_BYTES_MAX),
            name: "x".repeat(FILE_NAME_BYTES_MAX),
            voice: Some(Voice { duration_ms: VOICE_MS_MAX, peaks: vec![0; VOICE_PEAKS_MAX] }),
            reply_to: Some([1; 16]),
            ..file("", vec![0; FILE_BYTES_MAX])
        };
        assert!(is_read(&largest));
        for over in [
            File { bytes: Vec::new(), ..largest.clone() },
            File { bytes: vec![0; FILE_BYTES_MAX + 1], ..largest.clone() },
            File { text: "x".repeat(CAPTION_BYTES_MAX + 1), ..largest.clone() },
            File { name: "x".repeat(FILE_NAME_BYTES_MAX + 1), ..largest.clone() },
            File { voice: Some(Voice { duration_ms: VOICE_MS_MAX + 1, peaks: Vec::new() }), ..largest.clone() },
            File { voice: Some(Voice { duration_ms: 1, peaks: vec![0; VOICE_PEAKS_MAX + 1] }), ..largest },
        ] {
            assert!(!is_read(&over));
        }
    }

    #[test]
    fn a_file_is_what_its_bytes_are_and_no_picture_is_shown_that_is_too_large() {
        let kind = |bytes: Vec<u8>| file("holiday.png", bytes).view().kind;
        let picture = FileKind::Picture { format: PictureFormat::Png, width: 640, height: 480 };
        assert_eq!(kind(png(640, 480)), picture);
        assert_eq!(kind(png(640, 480)[..20].to_vec()), FileKind::Other, "cut");
        for (width, height) in [(100_000, 100_000), (4_097, 1), (4_096, 4_096), (0, 5), (u32::MAX, u32::MAX)] {
            assert_eq!(kind(png(width, height)), FileKind::Other, "{width} x {height}");
        }
        for other in [b"<svg onload=alert(1)>".to_vec(), b"GIF89a\x01\0\x01\0".to_vec(), b"MZ".to_vec(), vec![0]] {
            assert_eq!(kind(other), FileKind::Other);
        }
    }

    #[test]
    fn only_opus_in_ogg_is_a_voice_note_and_only_if_it_was_sent_as_one() {
        let voice = Voice { duration_ms: 900, peaks: vec![1] };
        let note = |voice, bytes| File { voice, ..file("", bytes) }.view().kind;
        assert_eq!(note(Some(voice.clone()), opus()), FileKind::Voice(voice.clone()));
        assert_eq!(note(None, opus()), FileKind::Other);
        assert_eq!(note(Some(voice.clone()), opus()[..30].to_vec()), FileKind::Other);
        assert!(matches!(note(Some(voice), png(5, 5)), FileKind::Picture { .. }));
    }

    #[test]
    fn names_lose_paths_and_what_steers() {
        for (name, expected) in [
            ("report.pdf", "report.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\x\\a.txt", "a.txt"),
            (".bashrc", "bashrc"),
            ("..", ""),
            ("gpj.\u{202e}exe", "gpj.exe"),
            ("a\u{1b}[2Jb\n.txt", "a[2Jb.txt"),
            ("nul?.txt ", "nul.txt"),
            ("", ""),
        ] {
            assert_eq!(clean_file_name(name), expected);
        }
        let long = clean_file_name(&format!("{}.tar.gz", "é".repeat(300)));
        assert!(long.len() <= FILE_NAME_BYTES_MAX && long.ends_with(".gz"));
    }

    proptest! {
        #[test]
        fn no_bytes_and_no_name_do_harm(mut bytes: Vec<u8>, magic in 0usize..5, name: String) {
            let magics: [&[u8]; 5] = [b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"RIFF\0\0\0\0WEBPVP8", b"OggS"];
            bytes.splice(0..0, magics[magic].iter().copied());
            let voice = Voice { duration_ms: 1, peaks: Vec::new() };
            let _ = (kind_of(&bytes, None), kind_of(&bytes, Some(&voice)));
            let clean = clean_file_name(&name);
            prop_assert!(clean.len() <= FILE_NAME_BYTES_MAX && !clean.contains(['/', '\\', '\0']) && clean != "..");
            prop_assert_eq!(clean_file_name(&clean), clean);
        }
    }
}
