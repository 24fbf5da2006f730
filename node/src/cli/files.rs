//! Files of messages on the command line: handed in, told of, saved.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use starling_api::file::{Attach, Attachment, AttachmentKind, FILE_BYTES_MAX, UPLOAD_BYTES_MAX};
use starling_api::message::Message;
use starling_api::{Client, MessageId, Versioned};
use starling_wire::limits::FILE_NAME_BYTES_MAX;

use super::clean;
use super::connect::{Context, disk_failure};
use super::failure::{Exit, Failure};

/// What a file is called that came without a name.
const NAMELESS: &str = "file";
/// Names that are tried when one is taken: `report (1).pdf` and so on.
const NAMES_TRIED: u32 = 1_000;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The message's id, as `starling log` shows it.
    message: MessageId,
    /// Where to: a new file, a folder, or '-' for stdout [default: this folder, under its own name].
    path: Option<PathBuf>,
}

/// `starling save MESSAGE [PATH]`: never over a file that is there.
pub(crate) fn save(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let client = context.client()?;
    let message = client.message(arguments.message)?;
    let Some(attached) = message.attachments.first() else {
        let words = format!("Message {} has no file.", message.id);
        return Err(Failure::new(Exit::NotFound, "no_such_file", words));
    };
    let bytes = client.file(attached.id)?;
    let terminal = &context.terminal;
    if arguments.path.as_deref() == Some(Path::new("-")) {
        let mut out = io::stdout().lock();
        out.write_all(&bytes).and_then(|()| out.flush()).map_err(|error| disk_failure(Path::new("stdout"), &error))?;
        return Ok(Exit::Ok);
    }
    let path = write(arguments.path.as_deref(), &file_name(attached), &bytes)?;
    if terminal.json {
        terminal.object(&Versioned::new(serde_json::json!({ "path": path, "bytes": bytes.len() })))?;
    } else {
        let shown = clean::line(&path.display().to_string());
        terminal.line(&format!("Saved {shown}, {}.", super::counted(bytes.len() as u64, "byte")))?;
    }
    Ok(Exit::Ok)
}

/// What a file is saved as: its own name, which the node has cleaned of paths, or one that says what it is.
fn file_name(attached: &Attachment) -> String {
    if !attached.name.is_empty() && !matches!(attached.name.as_str(), "." | "..") {
        return attached.name.replace(['/', '\0'], "");
    }
    let ending = match attached.media_type.as_str() {
        "image/jpeg" => ".jpg",
        "image/png" => ".png",
        "image/webp" => ".webp",
        "audio/ogg" => ".ogg",
        _ => "",
    };
    let stem = match attached.kind {
        AttachmentKind::Picture => "picture",
        AttachmentKind::Voice => "voice-note",
        AttachmentKind::File => NAMELESS,
    };
    format!("{stem}{ending}")
}

/// Writes into a new file: the one that was named, or one in a folder under `name`, numbered if that is taken.
fn write(path: Option<&Path>, name: &str, bytes: &[u8]) -> Result<PathBuf, Failure> {
    let folder = match path {
        None => PathBuf::new(),
        Some(path) if path.is_dir() => path.to_owned(),
        Some(path) => {
            return match create(path, bytes) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let shown = clean::line(&path.display().to_string());
                    let words = format!("{shown} is there already; nothing was written over it. Choose another name.");
                    Err(Failure::new(Exit::Conflict, "file_exists", words))
                }
                Err(error) => Err(disk_failure(path, &error)),
                Ok(()) => Ok(path.to_owned()),
            };
        }
    };
    for number in 0..NAMES_TRIED {
        let path = folder.join(numbered(name, number));
        match create(&path, bytes) {
            Ok(()) => return Ok(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(disk_failure(&path, &error)),
        }
    }
    Err(Failure::new(Exit::Conflict, "file_exists", "Too many files of that name are there. Choose another name."))
}

fn create(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        // Half a file is worse than none.
        let _ = std::fs::remove_file(path);
    }
    written
}

/// `report.pdf`, `report (1).pdf`
fn numbered(name: &str, number: u32) -> String {
    if number == 0 {
        return name.to_owned();
    }
    let (stem, ending) = match name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()) {
        Some((stem, ending)) => (stem, format!(" ({number}).{ending}")),
        None => (name, format!(" ({number})")),
    };
    // File systems take 255 bytes.
    let stem = &stem[..stem.floor_char_boundary(FILE_NAME_BYTES_MAX.saturating_sub(ending.len()))];
    format!("{stem}{ending}")
}

/// Hands the file at `path` in, to be sent under its own name.
///
/// # Errors
/// It cannot be read, is no file, is empty or too large; as any call.
pub(crate) fn hand_in(context: &Context, client: &Client, path: &Path) -> Result<Attach, Failure> {
    let shown = clean::line(&path.display().to_string());
    let unreadable = |error: &io::Error| Failure::bad_input(format!("{shown} cannot be read: {error}."));
    let file = File::open(path).map_err(|error| unreadable(&error))?;
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    if metadata.is_dir() {
        return Err(Failure::bad_input(format!("{shown} is a folder. Pack it into one file, then send that.")));
    }
    let mut bytes = Vec::new();
    file.take(UPLOAD_BYTES_MAX as u64 + 1).read_to_end(&mut bytes).map_err(|error| unreadable(&error))?;
    if bytes.len() > UPLOAD_BYTES_MAX {
        let size = metadata.len().max(bytes.len() as u64);
        let words = format!(
            "{shown} has {}; at most {} go through the network, as every node of a shard carries them.",
            super::counted(size, "byte"),
            super::counted(FILE_BYTES_MAX as u64, "byte"),
        );
        return Err(Failure::new(Exit::Usage, "too_large", words).hint(
            "Make it smaller, or send it another way. The page makes pictures smaller by itself: starling open",
        ));
    }
    let blob = client.upload(bytes)?;
    if blob.removed_bytes > 0 {
        let words = "what the picture said beside itself was taken out: place, time, camera";
        context.terminal.note(&format!("{shown}: {words} ({}).", super::counted(blob.removed_bytes.into(), "byte")));
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    Ok(Attach { blob: blob.id, name, voice: None })
}

/// `[picture holiday.webp, 34,120 bytes]`; nothing of a text.
pub(crate) fn told(message: &Message) -> Option<String> {
    let attached = message.attachments.first()?;
    let name = if attached.name.is_empty() { String::new() } else { format!(" {}", clean::line(&attached.name)) };
    let size = super::counted(attached.bytes.into(), "byte");
    Some(match (attached.kind, &attached.voice) {
        (AttachmentKind::Voice, Some(voice)) => format!("[voice note, {}]", length(voice.duration_ms)),
        (AttachmentKind::Picture, _) => format!("[picture{name}, {size}]"),
        _ => format!("[file{name}, {size}]"),
    })
}

/// `0:12`
fn length(ms: u32) -> String {
    let seconds = Duration::from_millis(ms.into()).as_secs_f64().round() as u64;
    format!("{}:{:02}", seconds / 60, seconds % 60)
}

/// How the parts of a message stand that waits or travels: `2 of 4 stamps made`; nothing when that says no more than
/// its state.
pub(crate) fn parts(state: &starling_api::message::MessageState) -> Option<String> {
    use starling_api::message::StateName;
    let parts = state.parts?;
    match state.name {
        StateName::Queued if parts.stamped > 0 => Some(format!("{} of {} stamps made", parts.stamped, parts.of)),
        StateName::Queued | StateName::Sent if parts.held > 0 => {
            Some(format!("{} of {} parts held", parts.held, parts.of))
        }
        StateName::Held if parts.delivered > 0 => Some(format!("{} of {} parts arrived", parts.delivered, parts.of)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use starling_api::BlobId;

    use super::*;

    fn attached(name: &str, kind: AttachmentKind, media_type: &str) -> Attachment {
        Attachment {
            id: BlobId::new(7),
            name: name.to_owned(),
            bytes: 5,
            kind,
            media_type: media_type.to_owned(),
            width: None,
            height: None,
            voice: None,
        }
    }

    #[test]
    fn files_get_names_that_stay_in_their_folder() {
        for (name, kind, media_type, expected) in [
            ("a.pdf", AttachmentKind::File, "application/octet-stream", "a.pdf"),
            ("", AttachmentKind::Picture, "image/webp", "picture.webp"),
            ("", AttachmentKind::Voice, "audio/ogg", "voice-note.ogg"),
            ("..", AttachmentKind::File, "application/octet-stream", "file"),
            ("../x", AttachmentKind::File, "application/octet-stream", "..x"),
        ] {
            assert_eq!(file_name(&attached(name, kind, media_type)), expected);
        }
        assert_eq!(
            (numbered("a.tar.gz", 2), numbered("a", 1), numbered(".a", 1)),
            ("a.tar (2).gz".into(), "a (1)".into(), ".a (1)".into())
        );
    }

    #[test]
    fn nothing_is_written_over() {
        assert_eq!(numbered(&"x".repeat(255), 7).len(), 255);
        let folder = tempfile::tempdir().unwrap();
        for (number, expected) in [(1u8, "a.txt"), (2, "a (1).txt"), (3, "a (2).txt")] {
            assert_eq!(write(Some(folder.path()), "a.txt", &[number]).unwrap(), folder.path().join(expected));
        }
        let taken = folder.path().join("a.txt");
        let failure = write(Some(&taken), "b", &[9]).unwrap_err();
        assert_eq!((failure.exit, failure.code.as_str()), (Exit::Conflict, "file_exists"));
        assert_eq!(std::fs::read(taken).unwrap(), [1]);
    }

    #[test]
    fn lengths_are_as_on_a_watch() {
        assert_eq!([length(0), length(12_400), length(59_600)], ["0:00", "0:12", "1:00"]);
    }
}
