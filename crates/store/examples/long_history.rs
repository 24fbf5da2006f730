//! Adds a long history to a backup, so that a node restored from it has one: for looking at long conversations and for
//! measuring search. The texts are drawn from a list, the same at each run.
//!
//! ```text
//! cargo run --release -p starling-store --example long_history -- IN OUT PASSPHRASE_FILE CONTACT_NUMBER MESSAGES
//! ```

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use anyhow::{Context as _, ensure};
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng as _, SeedableRng as _};
use starling_messenger::backup::{end_record, message_records};
use starling_messenger::record::HistoryRecord;
use starling_messenger::turn::{ContactNumber, MessageNumber};
use starling_messenger::view::{DeliveryStage, DeliveryState, MessageBody, MessageView};
use starling_store::backup::{BackupFile, BackupReader, BackupWriter};
use starling_store::seal_at_rest::PassphraseCost;

/// Between two messages, ms.
const APART_MS: u64 = 17 * 60 * 1_000;
/// Number of the first one: above those of a conversation that has just begun.
const FIRST: u64 = 1_000;
const WORDS: &[&str] = &[
    "and", "the", "train", "late", "again", "coffee", "tomorrow", "at", "seven", "no", "yes", "maybe", "bridge",
    "where", "are", "you", "photos", "from", "lake", "thanks", "for", "dinner", "it", "was", "lovely", "keys", "under",
    "mat", "call", "me", "when", "home", "rain", "all", "day", "here", "book", "you", "lent", "me", "is", "great",
    "see",
];

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, passphrase, contact, messages] = arguments.as_slice() else {
        anyhow::bail!("IN OUT PASSPHRASE_FILE CONTACT_NUMBER MESSAGES");
    };
    let passphrase = std::fs::read_to_string(passphrase).context("the passphrase file")?;
    let passphrase = passphrase.lines().next().unwrap_or_default();
    let (contact, messages) = (ContactNumber(contact.parse()?), messages.parse::<u64>()?);
    ensure!(messages > 0, "no messages");
    let mut reader = BackupReader::open(BufReader::new(File::open(from)?), passphrase)?;
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut file = BackupFile::create(Path::new(to))?;
    let mut writer = BackupWriter::new(&mut file, passphrase, PassphraseCost::STANDARD, &mut rng)?;
    let (mut records, end_kind) = (0, end_record(0, 0).kind);
    while let Some(record) = reader.next_record()? {
        if record.kind != end_kind {
            writer.record(record.kind, &record.bytes)?;
            records += 1;
        }
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_millis();
    let first_ms = u64::try_from(now)?.saturating_sub(messages * APART_MS);
    for index in 0..messages {
        for record in message_records(&message(contact, index, first_ms + index * APART_MS, &mut rng), None) {
            writer.record(record.kind, &record.bytes)?;
            records += 1;
        }
    }
    let end = end_record(records, 0);
    writer.record(end.kind, &end.bytes)?;
    writer.finish()?;
    file.keep(true)?;
    Ok(())
}

fn message(contact: ContactNumber, index: u64, at: u64, rng: &mut ChaCha20Rng) -> HistoryRecord {
    let own = rng.next_u32().is_multiple_of(2);
    let words = 2 + rng.next_u32() % 30;
    let mut drawn = || WORDS[rng.next_u32() as usize % WORDS.len()];
    let text = (0..words).map(|_| drawn()).collect::<Vec<_>>().join(" ");
    let state = DeliveryState { attempts: 1, ..DeliveryState::new(DeliveryStage::Delivered, at) };
    let mut message_id = [0; 16];
    message_id[..8].copy_from_slice(&(FIRST + index).to_le_bytes());
    let message = MessageView {
        number: MessageNumber(FIRST + index),
        contact,
        own,
        sequence: FIRST + index,
        body: MessageBody::Text(text),
        created_unix_ms: at,
        received_unix_ms: (!own).then_some(at),
        reply_to: None,
        client_id: None,
        state,
        expires_s: 0,
        expires_unix_ms: None,
        revision: 0,
        edited_unix_ms: None,
        deleted: false,
        reactions: Vec::new(),
    };
    HistoryRecord { message, message_id }
}
