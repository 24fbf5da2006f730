//! `starling backup`: account, contacts and history in one sealed file; looking whether it is whole; and going on from
//! it on a computer without any. SPEC: product 2.1 and 3.
//!
//! `create` asks the running node and never opens a vault, but for `--salvage`, when that node cannot run. `check` needs no node. `restore` needs that none runs.

mod progress;
mod restore;
mod salvage;
mod words;

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use starling_api::node::MakeBackup;
use starling_api::{Passphrase, Versioned};
use starling_messenger::backup::{Import, Restored, Summary};
use starling_messenger::record::VaultWrite;
use starling_store::backup::{BackupError, BackupFile, BackupReader};

use super::connect::{Context, disk_failure};
use super::failure::{Exit, Failure};
use super::interrupt;
use super::secret::Source;
use progress::Progress;

/// Bytes copied at a time.
const COPY_BYTES: usize = 65_536;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write account, contacts and history into one sealed file.
    Create(Create),
    /// Look whether a backup is whole, and what is in it. Needs no node.
    Check(OneFile),
    /// Go on from a backup in an empty data directory, as a new device.
    Restore(OneFile),
}

#[derive(Debug, Args)]
struct Create {
    /// Where to write it.
    file: PathBuf,
    /// Replace the file if it is there.
    #[arg(long)]
    force: bool,
    /// File whose first line is the passphrase for this backup.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// Read what can be read of a damaged vault, whose node cannot run.
    #[arg(long)]
    salvage: bool,
    /// File whose first line is the passphrase that protects the damaged vault, if one does.
    #[arg(long, value_name = "FILE", requires = "salvage")]
    vault_passphrase_file: Option<PathBuf>,
    /// Name of the network of the damaged vault [default: that of its configuration, or main].
    #[arg(long, value_name = "NAME", requires = "salvage")]
    network: Option<String>,
}

/// A backup that is written, but not yet under its name.
struct Made {
    file: BackupFile,
    passphrase: Passphrase,
    bytes: u64,
}

#[derive(Debug, Args)]
struct OneFile {
    /// The backup.
    file: PathBuf,
    /// File whose first line is its passphrase.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    match &arguments.action {
        Action::Create(create) => make(context, create),
        Action::Check(check) => look(context, check),
        Action::Restore(from) => restore::run(context, &from.file, from.passphrase_file.as_deref()),
    }
}

fn make(context: &Context, create: &Create) -> Result<Exit, Failure> {
    let path = &create.file;
    let made = if create.salvage {
        refuse_to_replace(create)?;
        interrupt::leaves(Some(BackupFile::temporary_of(path)));
        salvage::run(context, create, path)?
    } else {
        ask_for(context, create)?
    };
    let Made { file, passphrase, bytes } = made;
    // Read back before it gets its name: a backup that does not open is worse than none.
    let summary = read_all(context, file.temporary(), path, &passphrase, |_| Ok(()))?.summary;
    file.keep(create.force).map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => words::exists(path),
        _ => words::not_written(path, &error),
    })?;
    interrupt::leaves(None::<PathBuf>);
    if context.terminal.json {
        context.terminal.object(&Versioned::new(words::object(path, bytes, &summary)))?;
    } else {
        context.terminal.line(&words::made(path, bytes, &summary))?;
        context.terminal.note("Nobody can open it without its passphrase. What comes after it is not in it.");
    }
    Ok(Exit::Ok)
}

fn refuse_to_replace(create: &Create) -> Result<(), Failure> {
    let is_there = !create.force && fs::symlink_metadata(&create.file).is_ok();
    if is_there { Err(words::exists(&create.file)) } else { Ok(()) }
}

/// Has the running node make it.
fn ask_for(context: &Context, create: &Create) -> Result<Made, Failure> {
    let client = context.client()?;
    // Asked first, so that nobody types a passphrase for a node that could not use it.
    client.settings()?;
    refuse_to_replace(create)?;
    let path = &create.file;
    let passphrase = new_passphrase(create)?;
    let mut source = client.backup(&MakeBackup { passphrase: passphrase.clone() })?;
    interrupt::leaves(Some(BackupFile::temporary_of(path)));
    let mut file = BackupFile::create(path).map_err(|error| disk_failure(path, &error))?;
    let mut progress = Progress::new(&context.terminal, "written");
    let mut out = BufWriter::new(&mut file);
    let mut piece = vec![0; COPY_BYTES];
    let mut bytes: u64 = 0;
    loop {
        let count = match source.read(&mut piece) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) => return Err(words::broken(path, &error)),
        };
        let read = piece.get(..count).unwrap_or_default();
        out.write_all(read).map_err(|error| words::not_written(path, &error))?;
        bytes += count as u64;
        progress.show(bytes);
    }
    out.flush().map_err(|error| words::not_written(path, &error))?;
    drop(out);
    progress.end();
    Ok(Made { file, passphrase, bytes })
}

/// Typed twice; from a file or a pipe, once.
fn new_passphrase(create: &Create) -> Result<Passphrase, Failure> {
    let source = Source::choose(create.passphrase_file.as_deref());
    let new = source.read("Passphrase for this backup: ")?;
    if source.can_repeat() && source.read("Once more: ")? != new {
        return Err(Failure::bad_input("The two are not the same. Nothing was written."));
    }
    Ok(new)
}

fn look(context: &Context, check: &OneFile) -> Result<Exit, Failure> {
    let path = &check.file;
    let (_, checked) = open(context, path, Source::choose(check.passphrase_file.as_deref()))?;
    let bytes = fs::metadata(path).map_or(0, |file| file.len());
    if context.terminal.json {
        context.terminal.object(&Versioned::new(words::object(path, bytes, &checked.summary)))?;
    } else {
        for line in words::contents(path, bytes, &checked.summary) {
            context.terminal.line(&line)?;
        }
    }
    Ok(Exit::Ok)
}

/// Reads and checks all of a backup; its passphrase, at a prompt asked for until it is right.
fn open(context: &Context, path: &Path, source: Source<'_>) -> Result<(Passphrase, Checked), Failure> {
    // Before anybody types anything.
    File::open(path).map_err(|error| words::not_read(path, &error))?;
    loop {
        let passphrase = source.read("Passphrase of this backup: ")?;
        match read_all(context, path, path, &passphrase, |_| Ok(())) {
            Err(failure) if failure.code == words::WRONG_PASSPHRASE && source.can_repeat() => {
                context.terminal.note(&failure.message);
            }
            result => return Ok((passphrase, result?)),
        }
    }
}

/// A backup that was read to its end.
struct Checked {
    /// What takes up the rest.
    import: Import,
    /// What is in it.
    summary: Summary,
}

impl Checked {
    /// The new device, and the rest of its vault.
    fn finish(self, path: &Path) -> Result<Restored, Failure> {
        let now = super::times::now().0;
        self.import.finish(now, &mut rand::rng()).map_err(|error| words::contents_refused(path, error))
    }
}

/// Reads all of the backup at `place`, checks every piece and record, and gives what they make to `take`; `name` is
/// what its user calls it.
fn read_all(
    context: &Context,
    place: &Path,
    name: &Path,
    passphrase: &Passphrase,
    mut take: impl FnMut(Vec<VaultWrite>) -> Result<(), Failure>,
) -> Result<Checked, Failure> {
    let refused = |error: BackupError| words::refused(name, error);
    let text = str::from_utf8(passphrase.as_bytes()).unwrap_or_default();
    let file = File::open(place).map_err(|error| words::not_read(name, &error))?;
    let mut reader = BackupReader::open(BufReader::new(file), text).map_err(refused)?;
    let mut progress = Progress::new(&context.terminal, "read");
    let mut import = Import::new();
    while let Some(record) = reader.next_record().map_err(refused)? {
        let writes = import.take(record.kind, &record.bytes).map_err(|error| words::contents_refused(name, error))?;
        take(writes)?;
        progress.show(reader.position_bytes());
    }
    progress.end();
    if !import.is_whole() {
        return Err(words::contents_refused(name, starling_messenger::backup::ImportError::Damaged));
    }
    let summary = import.summary().clone();
    Ok(Checked { import, summary })
}
