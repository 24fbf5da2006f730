//! `starling backup create --salvage`: what can be read of a damaged vault, as a backup. The one command that opens the
//! vault of a node that does not run, because that node cannot: it reads, and changes nothing of what was said or of any
//! key. Who restores the backup is a new device, so that nothing is sealed with a key that was used.

use std::io::BufWriter;
use std::path::Path;

use starling_messenger::backup::Export;
use starling_messenger::messenger::{Messenger, Setup};
use starling_messenger::turn::{Command, Input, Output, Reply, RequestId};
use starling_relay::pool::MemoryPool;
use starling_store::backup::{BackupError, BackupFile, BackupWriter};
use starling_store::new_vault::has_vault;
use starling_store::seal_at_rest::{KeyError, KeyFile, MasterKey, PassphraseCost};
use starling_store::vault::Vault;
use starling_wire::network::NetworkParameters;

use super::{Create, Made, new_passphrase, words};
use crate::cli::connect::{Context, disk_failure};
use crate::cli::failure::{Exit, Failure};
use crate::cli::secret::Source;
use crate::cli::up;
use crate::config::{Config, Overrides};
use crate::core::bridge::Clock;
use crate::export::{self, Unfinished};

/// Writes the backup to `path`, not yet under its name.
pub(super) fn run(context: &Context, create: &Create, path: &Path) -> Result<Made, Failure> {
    let data = &context.data;
    if !has_vault(data) {
        return Err(Failure::new(Exit::NotFound, "no_vault", format!("There is no vault in {}.", data.display())));
    }
    let _lock = up::lock(data)?;
    let overrides = Overrides { network: create.network.clone(), ..Overrides::default() };
    let network = Config::load(data, None, &overrides).map_err(up::refused_config)?.network;
    let key = master_key(data, create)?;
    let (vault, image) = Vault::open(data, &key).map_err(|error| up::start_failure(&error.into()))?;
    let health = vault.health();
    let export = export(&network, image)?;
    let passphrase = new_passphrase(create)?;
    let text = str::from_utf8(passphrase.as_bytes()).unwrap_or_default();
    let mut file = BackupFile::create(path).map_err(|error| disk_failure(path, &error))?;
    let unwritten = |error: BackupError| words::refused(path, error);
    let out = BufWriter::new(&mut file);
    let writer = BackupWriter::new(out, text, PassphraseCost::STANDARD, &mut rand::rng()).map_err(unwritten)?;
    export::write(writer, &export, &vault.reader(), &network.name).map_err(|error| match error {
        Unfinished::Backup(error) => words::refused(path, error),
        Unfinished::Vault(error) => up::start_failure(&error.into()),
    })?;
    let bytes = std::fs::metadata(file.temporary()).map_or(0, |written| written.len());
    context.terminal.note(&left_out(health.damaged, health.records));
    Ok(Made { file, passphrase, bytes })
}

fn left_out(damaged: u64, records: u64) -> String {
    match damaged {
        0 => format!("All of {records} vault records pass their check."),
        damaged => format!("{damaged} of {records} vault records fail their check; what was in them is not in it."),
    }
}

/// The vault's key: from its file, or by the passphrase that protects it.
fn master_key(data: &Path, create: &Create) -> Result<MasterKey, Failure> {
    let keys = KeyFile::of(data);
    let unlocked = match keys.open_keyfile() {
        Err(KeyError::NeedsPassphrase) => {
            let source = Source::choose(create.vault_passphrase_file.as_deref());
            let passphrase = source.read("Passphrase of this computer's copy: ")?;
            keys.unlock(str::from_utf8(passphrase.as_bytes()).unwrap_or_default())
        }
        opened => opened,
    };
    unlocked.map_err(|error| match error {
        KeyError::WrongPassphrase => {
            Failure::new(Exit::Refused, words::WRONG_PASSPHRASE, "That passphrase does not open this vault.")
        }
        error => up::start_failure(&error.into()),
    })
}

/// What a messenger that starts from the records would put into a backup. It lives for this question alone.
fn export(network: &NetworkParameters, image: starling_messenger::record::VaultImage) -> Result<Export, Failure> {
    let lost = |what: String| Failure::new(Exit::Disk, "vault_failed", format!("The account cannot be read: {what}."));
    let setup = Setup { parameters: network.clone(), onion_secret: rand::random(), name: String::new() };
    let (clock, mut rng) = (Clock::new(), rand::rng());
    let pool = MemoryPool::new(network);
    let (mut messenger, _) =
        Messenger::restore(setup, image, pool, clock.now(), &mut rng).map_err(|error| lost(error.to_string()))?;
    let ask = Input::Command { id: RequestId(0), command: Command::Export };
    let turn = messenger.step(ask, clock.now(), &mut rng);
    turn.outputs
        .into_iter()
        .find_map(|output| match output {
            Output::Reply { reply: Reply::Export(export), .. } => Some(*export),
            _ => None,
        })
        .ok_or_else(|| lost("the messenger gave no answer".to_owned()))
}
