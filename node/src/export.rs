//! A backup's contents, written: what the core knows, the history before it, and the peers that were met.

use std::io;

use starling_messenger::backup::{Export, end_record, message_records, peers_record};
use starling_messenger::record::FileRecord;
use starling_messenger::view::MessageView;
use starling_store::backup::{BackupError, BackupWriter};
use starling_store::reader::Reader;
use starling_store::vault::VaultError;

use crate::core::node_records::peer_cache_key;

/// Why a backup was not finished.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unfinished {
    /// It could not be written.
    #[error(transparent)]
    Backup(#[from] BackupError),
    /// The vault could not be read.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

/// Writes all of it. Messages that cannot be read are counted and left out.
///
/// # Errors
/// [`Unfinished`], after which what was written is no backup.
pub(crate) fn write<W: io::Write>(
    mut writer: BackupWriter<W>,
    export: &Export,
    reader: &Reader,
    network: &str,
) -> Result<(), Unfinished> {
    let (mut records, mut unreadable) = (0, 0);
    for record in &export.records {
        writer.record(record.kind, &record.bytes)?;
        records += 1;
    }
    reader.each_message(export.before, |message| -> Result<(), Unfinished> {
        match message {
            Ok(message) => {
                let MessageView { contact, number, .. } = message.message;
                let is_file = message.message.body.file().is_some();
                // A file that cannot be read is left out; what was said beside it stays.
                let file = if is_file { reader.file(contact, number) } else { Ok(None) };
                unreadable += u64::from(matches!(file, Err(VaultError::Damaged(_))));
                let file =
                    file.or_else(|error| if matches!(error, VaultError::Damaged(_)) { Ok(None) } else { Err(error) })?;
                for record in message_records(&message, file.map(|bytes| FileRecord { number, bytes })) {
                    writer.record(record.kind, &record.bytes)?;
                    records += 1;
                }
            }
            Err(_) => unreadable += 1,
        }
        Ok(())
    })?;
    match reader.get(&peer_cache_key(network)) {
        Ok(Some(peers)) => {
            let record = peers_record(network, &peers);
            writer.record(record.kind, &record.bytes)?;
            records += 1;
        }
        // They are met again.
        Ok(None) | Err(VaultError::Damaged(_)) => {}
        Err(error) => return Err(error.into()),
    }
    let end = end_record(records, unreadable);
    writer.record(end.kind, &end.bytes)?;
    writer.finish()?;
    Ok(())
}
