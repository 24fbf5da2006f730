//! `starling backup restore`: a new device of an old account, in a data directory without a vault.

use std::path::{Path, PathBuf};

use starling_api::{Passphrase, Versioned};
use starling_messenger::backup::{Restored, Summary};
use starling_messenger::record::VaultWrite;
use starling_store::lock;
use starling_store::new_vault::{NewVault, NewVaultError, has_vault};
use starling_store::vault::VaultError;
use zeroize::Zeroizing;

use super::{open, read_all, words};
use crate::cli::connect::{Context, disk_failure};
use crate::cli::failure::{Exit, Failure};
use crate::cli::secret::Source;
use crate::cli::{counted, hints, interrupt, up};
use crate::core::node_records::peer_cache_key;

/// Network of which nothing need be said.
const MAIN_NETWORK: &str = "main";

pub(super) fn run(context: &Context, path: &Path, passphrase_file: Option<&Path>) -> Result<Exit, Failure> {
    let data = &context.data;
    // What can be refused is refused before a passphrase is asked for, and before anything is made.
    if lock::holder(data).ok().flatten().is_some() {
        return Err(up::lock(data).err().unwrap_or_else(|| occupied(data)));
    }
    if has_vault(data) {
        return Err(occupied(data));
    }
    let (passphrase, _) = open(context, path, Source::choose(passphrase_file))?;
    up::make_directory(data)?;
    let _lock = up::lock(data)?;
    let summary = fill(context, path, &passphrase)?;
    say(context, path, &summary)?;
    Ok(Exit::Ok)
}

/// The second reading: what was whole a moment ago becomes a vault, or nothing does.
fn fill(context: &Context, path: &Path, passphrase: &Passphrase) -> Result<Summary, Failure> {
    let data = &context.data;
    let failed = |error| not_made(data, error);
    let mut new = NewVault::create(data, &mut rand::rng()).map_err(failed)?;
    interrupt::leaves(Some(new.staging()));
    let checked = read_all(context, path, path, passphrase, |writes| new.write(writes).map_err(failed))?;
    let Restored { writes, summary, peers } = checked.finish(path)?;
    new.write(writes).map_err(failed)?;
    if let Some((network, bytes)) = peers {
        let value = Zeroizing::new(bytes);
        new.write([VaultWrite::Put { key: peer_cache_key(&network), value }]).map_err(failed)?;
    }
    // From here on it is put in its place, which an interrupt must not undo by half.
    interrupt::leaves(None::<PathBuf>);
    new.finish().map_err(failed)?;
    Ok(summary)
}

fn say(context: &Context, path: &Path, summary: &Summary) -> Result<(), Failure> {
    let terminal = &context.terminal;
    if terminal.json {
        let bytes = std::fs::metadata(path).map_or(0, |file| file.len());
        return terminal.object(&Versioned::new(words::object(path, bytes, summary)));
    }
    terminal.line(&words::restored(&context.data, summary))?;
    terminal.note("This is a new device of the account. Contacts learn of it by themselves; the old one is revoked.");
    if summary.open_invites > 0 {
        let invites = counted(summary.open_invites, "open invite");
        terminal.note(&format!("{invites} withdrawn, as no backup holds their keys. Make new ones: {}", hints::INVITE));
    }
    if summary.network == MAIN_NETWORK {
        terminal.note(&format!("Start it: {}", hints::UP));
    } else {
        terminal.note(&format!("Start it: {}", hints::up_on(&summary.network)));
    }
    Ok(())
}

/// There is an account already.
fn occupied(data: &Path) -> Failure {
    let message = format!("There is an account in {} already. Nothing was changed.", data.display());
    Failure::new(Exit::Refused, "vault_exists", message).hint("Another folder: --data DIR")
}

fn not_made(data: &Path, error: NewVaultError) -> Failure {
    match error {
        NewVaultError::Exists => occupied(data),
        NewVaultError::Io(error) | NewVaultError::Vault(VaultError::Io(error)) => disk_failure(data, &error),
        other => Failure::new(Exit::Disk, "disk", format!("{} cannot be written: {other}", data.display()))
            .hint("Free some space, then restore again."),
    }
}
