//! The vault as its callers see it: what was committed is there, nothing is readable, damage is counted.

use std::collections::BTreeMap;
use std::fs;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use starling_messenger::change::{Change, Wording};
use starling_messenger::record::{
    FileRecord, HistoryRecord, MessageIndexRecord, RecordKind, TraceRecord, encode_record, file_key, history_key,
    message_index_key, trace_key,
};
use starling_messenger::turn::{ContactNumber, MessageNumber};
use starling_messenger::view::{DeliveryStage, DeliveryState, MessageBody, MessageView};
use tempfile::TempDir;

use super::*;

fn master(seed: u64) -> MasterKey {
    MasterKey::generate(&mut ChaCha20Rng::seed_from_u64(seed))
}

fn put(key: VaultKey, value: &[u8]) -> VaultWrite {
    VaultWrite::Put { key, value: Zeroizing::new(value.to_vec()) }
}

fn contact(name: &str) -> VaultKey {
    VaultKey::named(RecordKind::Contact, name)
}

fn event(unix_ms: u64, text: &str) -> EventBytes {
    EventBytes { unix_ms, bytes: Zeroizing::new(text.as_bytes().to_vec()) }
}

fn open(directory: &TempDir) -> (Vault, VaultImage) {
    Vault::open(directory.path(), &master(1)).unwrap()
}

fn get(vault: &Vault, key: &VaultKey) -> Option<Vec<u8>> {
    vault.reader().get(key).unwrap().map(|value| value.to_vec())
}

fn image_of(image: VaultImage) -> Vec<(RecordKind, Vec<u8>)> {
    let mut records: Vec<_> = image.records.into_iter().map(|(kind, value)| (kind, value.to_vec())).collect();
    records.sort();
    records
}

fn all_files(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = BTreeMap::new();
    for file in fs::read_dir(directory).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            files.extend(all_files(&path));
        } else {
            files.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    files
}

fn message(number: u64, text: &str) -> HistoryRecord {
    let state = DeliveryState::new(DeliveryStage::Delivered, 5);
    let message = MessageView {
        number: MessageNumber(number),
        contact: ContactNumber(7),
        own: true,
        sequence: number,
        body: MessageBody::Text(text.to_owned()),
        created_unix_ms: 5,
        received_unix_ms: None,
        reply_to: None,
        client_id: None,
        state,
        expires_s: 0,
        edited_unix_ms: None,
        revision: 0,
        deleted: false,
        reactions: Vec::new(),
        expires_unix_ms: None,
    };
    HistoryRecord { message, message_id: [9; 16] }
}

fn put_message(number: u64, text: &str) -> [VaultWrite; 2] {
    let index = MessageIndexRecord { number: MessageNumber(number), contact: ContactNumber(7) };
    [
        put(history_key(ContactNumber(7), MessageNumber(number)), &encode_record(&message(number, text))),
        put(message_index_key(MessageNumber(number)), &encode_record(&index)),
    ]
}

#[test]
fn a_commit_survives_and_only_what_a_messenger_starts_from_is_loaded() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, image) = open(&directory);
    assert!(image.records.is_empty());
    let mut writes = vec![
        put(contact("Ana"), b"ana"),
        put(contact("Bob"), b"bob"),
        put(VaultKey::single(RecordKind::Identity), b"identity"),
        put(VaultKey::ordered(RecordKind::Outbox, Vec::new(), 3), b"waits"),
    ];
    writes.extend(put_message(1, "hi"));
    assert_eq!(vault.commit(&writes, Vec::new()).unwrap(), 1);
    vault.commit(&[VaultWrite::Delete { key: contact("Bob") }], Vec::new()).unwrap();
    vault.put_node("network key", b"secret").unwrap();
    drop(vault);

    let (vault, image) = open(&directory);
    let expected = vec![
        (RecordKind::Identity, b"identity".to_vec()),
        (RecordKind::Contact, b"ana".to_vec()),
        (RecordKind::Outbox, b"waits".to_vec()),
    ];
    assert_eq!(image_of(image), expected);
    assert_eq!(vault.health(), VaultHealth { records: 3, damaged: 0, first_damaged: 0 });
    assert_eq!(get(&vault, &contact("Bob")), None);
    assert_eq!(vault.get_node("network key").unwrap().unwrap().as_slice(), b"secret");
    assert_eq!(vault.get_node("other").unwrap(), None);
}

#[test]
fn turns_that_are_committed_together_count_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    let writes = [
        put(contact("a"), b"first"),
        put(contact("b"), b"first"),
        put(contact("a"), b"second"),
        VaultWrite::Delete { key: contact("b") },
        VaultWrite::Delete { key: contact("c") },
        put(contact("c"), b"only"),
    ];
    vault.commit(&writes, Vec::new()).unwrap();
    assert_eq!(get(&vault, &contact("a")), Some(b"second".to_vec()));
    assert_eq!(get(&vault, &contact("b")), None);
    assert_eq!(get(&vault, &contact("c")), Some(b"only".to_vec()));
}

#[test]
fn records_of_every_size_come_back_and_a_shorter_one_leaves_nothing_of_the_longer() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    let sizes = [0, 1, 4_066, 4_067, 4_068, 8_163, 70_000, VALUE_BYTES_MAX, 5_000, 3, VALUE_BYTES_MAX];
    for (turn, size) in sizes.into_iter().enumerate() {
        let value = vec![turn as u8; size];
        vault.commit(&[put(contact("a"), &value)], Vec::new()).unwrap();
        assert_eq!(get(&vault, &contact("a")), Some(value));
    }
    vault.commit(&[put(contact("b"), b"beside")], Vec::new()).unwrap();
    vault.commit(&[VaultWrite::Delete { key: contact("a") }], Vec::new()).unwrap();
    assert_eq!(get(&vault, &contact("a")), None);
    drop(vault);
    assert_eq!(image_of(open(&directory).1), [(RecordKind::Contact, b"beside".to_vec())]);
}

#[test]
fn no_page_ever_leaves_the_file_that_is_synced() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    for round in 0..6_u64 {
        let writes: Vec<VaultWrite> = (0..12)
            .map(|number| put(VaultKey::ordered(RecordKind::Outbox, Vec::new(), number * 7 + round), &[1; 60_000]))
            .collect();
        vault.commit(&writes, Vec::new()).unwrap();
    }
    let blobs = directory.path().join(VAULT_DIRECTORY).join(RECORDS_DIRECTORY).join("blobs");
    assert_eq!(fs::read_dir(blobs).unwrap().count(), 0);
}

#[test]
fn a_failed_commit_ends_the_vault_until_the_next_start() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    vault.commit(&[put(contact("a"), b"before")], Vec::new()).unwrap();
    let too_large = put(contact("b"), &vec![0; VALUE_BYTES_MAX + 1]);
    let refused = vault.commit(&[put(contact("a"), b"with it"), too_large], vec![event(1, "with it")]);
    assert!(matches!(refused, Err(VaultError::TooLarge { bytes }) if bytes == VALUE_BYTES_MAX + 1));
    assert!(matches!(vault.commit(&[], Vec::new()), Err(VaultError::Failed)));
    drop(vault);
    let (vault, _) = open(&directory);
    assert_eq!(get(&vault, &contact("a")), Some(b"before".to_vec()));
    assert_eq!(vault.commit(&[], vec![event(1, "next")]).unwrap(), 1);
}

#[test]
fn events_are_numbered_without_a_hole_for_ever() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    assert_eq!(vault.commit(&[], vec![event(10, "one"), event(11, "two")]).unwrap(), 1);
    assert_eq!(vault.commit(&[put(contact("a"), b"no event")], Vec::new()).unwrap(), 3);
    drop(vault);
    let (vault, _) = open(&directory);
    let reader = vault.reader();
    assert_eq!(reader.newest_event(), 2);
    assert_eq!(vault.commit(&[], vec![event(12, "three")]).unwrap(), 3);
    let page = reader.events_since(1, 100).unwrap();
    let texts: Vec<_> =
        page.events.iter().map(|stored| (stored.seq, stored.event.unix_ms, stored.event.bytes.to_vec())).collect();
    assert_eq!(texts, [(2, 11, b"two".to_vec()), (3, 12, b"three".to_vec())]);
    assert_eq!((page.oldest, page.newest, page.gap_after(0)), (1, 3, None));
    assert_eq!(reader.events_since(0, 2).unwrap().events.len(), 2);
    assert!(reader.events_since(3, 100).unwrap().events.is_empty());
    assert!(reader.events_since(u64::MAX, 100).unwrap().events.is_empty());
}

#[test]
fn the_event_log_forgets_what_is_too_many_and_says_that_there_is_a_gap() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    for _ in 0..21 {
        vault.commit(&[], (0..500).map(|_| event(1, "e")).collect()).unwrap();
    }
    let page = vault.reader().events_since(100, 1).unwrap();
    assert_eq!((page.oldest, page.newest), (501, 10_500));
    assert_eq!(page.gap_after(100), Some(501));
    assert_eq!(page.gap_after(500), None);
    assert_eq!(page.events[0].seq, 501);
}

#[test]
fn the_event_log_forgets_after_seven_days_a_few_at_a_time_and_never_its_last() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    vault.commit(&[], (0..100).map(|_| event(1_000, "old")).collect()).unwrap();
    let later = 1_000 + EVENT_AGE_MS_MAX;
    vault.commit(&[], vec![event(later, "not yet")]).unwrap();
    assert_eq!(vault.reader().events_since(0, 1).unwrap().oldest, 1);
    vault.commit(&[], vec![event(later + 1, "now")]).unwrap();
    let oldest = vault.reader().events_since(0, 1).unwrap().oldest;
    assert!(oldest > 1 && oldest < 50, "a bounded part, not all at once: {oldest}");
    drop(vault);
    let (vault, _) = open(&directory);
    for _ in 0..20 {
        vault.commit(&[], vec![event(later + 2, "more")]).unwrap();
    }
    assert_eq!(vault.reader().events_since(0, 1).unwrap().oldest, 101);
    vault.commit(&[], vec![event(later * 9, "the last")]).unwrap();
    vault.commit(&[], vec![event(later * 99, "the very last")]).unwrap();
    let page = vault.reader().events_since(0, 100).unwrap();
    assert_eq!((page.events.len(), page.oldest, page.newest), (1, 124, 124));
}

#[test]
fn a_damaged_record_is_counted_left_out_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    vault.commit(&[put(contact("a"), b"good"), put(contact("b"), &[5; 9_000])], vec![event(1, "e")]).unwrap();
    let key = vault.records.key_of(&contact("b"));
    vault.records.damage(&key);
    vault.records.damage(&event_log::event_key(&vault.records, 1));
    drop(vault);
    for _ in 0..2 {
        let (vault, image) = open(&directory);
        assert_eq!(image_of(image), [(RecordKind::Contact, b"good".to_vec())]);
        assert_eq!((vault.health().records, vault.health().damaged), (2, 1));
        assert!((1..=2).contains(&vault.health().first_damaged), "{:?}", vault.health());
        assert!(matches!(vault.reader().get(&contact("b")), Err(VaultError::Damaged(_))));
        assert!(matches!(vault.reader().events_since(0, 10), Err(VaultError::Damaged(_))));
        vault.commit(&[put(contact("c"), b"it goes on")], vec![event(2, "f")]).unwrap();
        vault.commit(&[VaultWrite::Delete { key: contact("c") }], Vec::new()).unwrap();
    }
    let (vault, _) = open(&directory);
    vault.commit(&[put(contact("b"), b"written anew")], Vec::new()).unwrap();
    assert_eq!(get(&vault, &contact("b")), Some(b"written anew".to_vec()));
}

#[test]
fn a_value_moved_to_another_key_does_not_open() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    let sealer = sealer::Sealer::new(&master(1));
    let (key, other) = (vault.records.key_of(&contact("a")), vault.records.key_of(&contact("b")));
    let sealed = sealer.seal(&key, b"value").unwrap();
    assert_eq!(sealer.open(&key, &sealed).unwrap().as_slice(), b"value");
    assert!(sealer.open(&other, &sealed).is_err());
    assert_ne!(sealer.seal(&key, b"value").unwrap(), sealed, "each sealing has a nonce of its own");
}

#[test]
fn a_newer_or_older_schema_is_refused_and_no_byte_changes() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    vault.commit(&[put(contact("a"), b"a")], Vec::new()).unwrap();
    drop(vault);
    let note = directory.path().join(VAULT_DIRECTORY).join("schema");
    let text = fs::read_to_string(&note).unwrap();
    assert_eq!(text.split_whitespace().last(), Some(env!("CARGO_PKG_VERSION")), "who wrote it: {text}");
    let (newest, oldest) = (SCHEMA, SCHEMA_OLDEST);
    let own = format!("starling-vault {newest}");
    let (newer, older) = (newest + 1, oldest - 1);
    for (schema, said) in [
        (newer, format!("the vault has schema {newer}, and this build reads up to {newest}")),
        (older, format!("the vault has schema {older}, and this build reads from {oldest} on")),
    ] {
        fs::write(&note, text.replacen(&own, &format!("starling-vault {schema}"), 1)).unwrap();
        let before = all_files(directory.path());
        assert_eq!(Vault::open(directory.path(), &master(1)).unwrap_err().to_string(), said);
        assert!(all_files(directory.path()) == before);
    }
    for (last, version) in [("0.3.1", Some("0.3.1")), ("\u{1b}[31m", None), (&"1".repeat(40), None), ("", None)] {
        let text = text.replacen(&own, &format!("starling-vault {newer}"), 1);
        fs::write(&note, text.replace(env!("CARGO_PKG_VERSION"), last)).unwrap();
        let Err(VaultError::Newer { version: found, .. }) = Vault::open(directory.path(), &master(1)) else {
            panic!("it was opened");
        };
        assert_eq!(found.as_deref(), version);
    }
}

#[test]
fn another_key_is_refused_and_no_byte_changes_also_without_the_note() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    vault.commit(&[put(contact("a"), b"a")], Vec::new()).unwrap();
    drop(vault);
    let before = all_files(directory.path());
    assert!(matches!(Vault::open(directory.path(), &master(2)), Err(VaultError::WrongKey)));
    assert!(all_files(directory.path()) == before);
    fs::remove_file(directory.path().join(VAULT_DIRECTORY).join("schema")).unwrap();
    assert!(matches!(Vault::open(directory.path(), &master(2)), Err(VaultError::WrongKey)));
    assert_eq!(open(&directory).1.records.len(), 1);
}

#[test]
fn neither_texts_nor_names_nor_keys_are_in_any_file() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    let mut writes = put_message(1, "the secret text of a message").to_vec();
    writes.push(put(contact("Ana Example"), b"a contact called Ana Example"));
    writes.push(put(contact("\x05\x06\x07account id\x08\x09"), &[0xab; 64]));
    vault.commit(&writes, vec![event(1, "the secret text of a message")]).unwrap();
    vault.put_node("network key", &[0xcd; 64]).unwrap();
    let key = master(1);
    let sealing = key.derive("starling vault 1 record sealing");
    drop(vault);
    // The search itself must be able to find something.
    fs::write(directory.path().join("planted"), b"...Ana Example...").unwrap();
    let needles: [&[u8]; 9] = [
        b"secret text",
        b"Ana Example",
        b"account id",
        b"network key",
        &[0xab; 16],
        &[0xcd; 16],
        b"starling vault 1",
        &sealing[..16],
        &master(1).derive("starling vault 1 key hashing")[..16],
    ];
    let mut found = Vec::new();
    for (path, bytes) in all_files(directory.path()) {
        let hit = |needle: &&[u8]| bytes.windows(needle.len()).any(|part| part == *needle);
        found.extend(needles.iter().filter(|needle| hit(needle)).map(|_| path.clone()));
    }
    assert_eq!(found, [directory.path().join("planted")]);
}

#[test]
fn history_comes_in_pages_newest_first() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    for number in 1..=25 {
        vault.commit(&put_message(number * 3, &format!("text {number}")), Vec::new()).unwrap();
    }
    let other = HistoryRecord {
        message: MessageView { contact: ContactNumber(8), ..message(40, "x").message },
        ..message(40, "x")
    };
    vault.commit(&[put(history_key(ContactNumber(8), MessageNumber(40)), &encode_record(&other))], Vec::new()).unwrap();
    let reader = vault.reader();
    let numbers = |page: &crate::reader::HistoryPage| -> Vec<u64> {
        page.messages.iter().map(|record| record.message.number.0).collect()
    };
    let page = reader.history(ContactNumber(7), None, 4).unwrap();
    assert_eq!((numbers(&page), page.more, page.damaged), (vec![75, 72, 69, 66], true, 0));
    let page = reader.history(ContactNumber(7), Some(MessageNumber(7)), 4).unwrap();
    assert_eq!((numbers(&page), page.more), (vec![6, 3], false));
    assert!(reader.history(ContactNumber(7), Some(MessageNumber(0)), 4).unwrap().messages.is_empty());
    assert!(reader.history(ContactNumber(9), None, 4).unwrap().messages.is_empty());
    assert_eq!(numbers(&reader.history(ContactNumber(8), None, 4).unwrap()), [40]);

    let key = vault.records.key_of(&history_key(ContactNumber(7), MessageNumber(72)));
    vault.records.damage(&key);
    let page = reader.history(ContactNumber(7), None, 2).unwrap();
    assert_eq!((numbers(&page), page.damaged), (vec![75, 69], 1));
}

#[test]
fn one_message_is_found_by_its_number_and_so_is_its_life() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    let trace = TraceRecord { number: MessageNumber(5), lines: Vec::new() };
    vault.commit(&put_message(5, "five"), Vec::new()).unwrap();
    vault.commit(&[put(trace_key(MessageNumber(5)), &encode_record(&trace))], Vec::new()).unwrap();
    let reader = vault.reader();
    assert_eq!(reader.message(MessageNumber(5)).unwrap(), Some(message(5, "five")));
    assert_eq!(reader.message(MessageNumber(6)).unwrap(), None);
    assert_eq!(reader.trace(MessageNumber(5)).unwrap(), Some(trace));
    assert_eq!(reader.trace(MessageNumber(6)).unwrap(), None);
}

#[test]
fn readers_never_see_half_a_record_while_it_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    vault.commit(&[put(contact("a"), &[0; 30_000])], Vec::new()).unwrap();
    let reader = vault.reader();
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let (started, has_read) = std::sync::mpsc::channel::<()>();
    let reading = std::thread::spawn(move || {
        let mut reads = 0_u64;
        while matches!(stopped.try_recv(), Err(std::sync::mpsc::TryRecvError::Empty)) {
            let value = reader.get(&contact("a")).unwrap().unwrap();
            assert!(value.iter().all(|byte| *byte == value[0]));
            assert_eq!(value.len(), 30_000 - usize::from(value[0]) * 100);
            reads += 1;
            // Only the first is waited for.
            let _ = started.send(());
        }
        reads
    });
    has_read.recv().unwrap();
    for round in 0..=200_u8 {
        vault.commit(&[put(contact("a"), &vec![round; 30_000 - usize::from(round) * 100])], Vec::new()).unwrap();
    }
    drop(stop);
    assert!(reading.join().unwrap() > 0);
}

#[test]
fn a_backup_reads_every_message_up_to_its_moment() {
    let state = DeliveryState::new(DeliveryStage::Delivered, 0);
    let write = |number: u64| {
        let (contact, number) = (ContactNumber(number % 3), MessageNumber(number));
        let message = MessageView {
            number,
            contact,
            own: false,
            sequence: 0,
            body: MessageBody::Text("x".repeat(5_000)),
            created_unix_ms: 0,
            received_unix_ms: None,
            reply_to: None,
            client_id: None,
            state,
            expires_s: 0,
            edited_unix_ms: None,
            revision: 0,
            deleted: false,
            reactions: Vec::new(),
            expires_unix_ms: None,
        };
        let record = HistoryRecord { message, message_id: [0; 16] };
        VaultWrite::Put { key: history_key(contact, number), value: encode_record(&record) }
    };
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    vault.commit(&(1..=30).map(write).collect::<Vec<_>>(), Vec::new()).unwrap();
    let reader = vault.reader();
    let mut read: Vec<(u64, u64)> = Vec::new();
    let all = reader.each_message(MessageNumber(25), |record| -> Result<(), VaultError> {
        let message = record?.message;
        // Another one comes while it is read.
        vault.commit(&[write(100 + read.len() as u64)], Vec::new())?;
        read.push((message.contact.0, message.number.0));
        Ok(())
    });
    all.unwrap();
    assert_eq!(read.len(), 24);
    assert!(read.windows(2).all(|pair| pair[0].0 != pair[1].0 || pair[0].1 < pair[1].1), "{read:?}");
    vault.records.damage(&vault.records.key_of(&history_key(ContactNumber(1), MessageNumber(4))));
    let mut damaged = 0;
    let count = |record: Result<HistoryRecord, VaultError>| -> Result<(), VaultError> {
        damaged += usize::from(record.is_err());
        Ok(())
    };
    reader.each_message(MessageNumber(25), count).unwrap();
    assert_eq!(damaged, 1);
}

/// A vault that is locked while somebody reads it can be opened again at once.
#[test]
fn a_closed_reader_lets_go_of_the_vault() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    let reader = vault.reader();
    let slow = reader.clone();
    assert!(!reader.is_gone());
    drop(vault);
    reader.close();
    assert!(reader.is_gone());
    assert!(matches!(slow.history(ContactNumber(1), None, 10), Err(VaultError::Closed)));
    assert!(matches!(slow.events_since(0, 10), Err(VaultError::Closed)));
    assert_eq!(slow.newest_event(), 0);
    let (again, _) = open(&directory);
    assert!(!again.reader().is_gone());
}

#[test]
fn a_changed_message_is_read_back_and_its_former_wording_is_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    let key = |number| history_key(ContactNumber(7), MessageNumber(number));
    vault.commit(&[put_message(1, "first"), put_message(2, "other")].concat(), Vec::new()).unwrap();
    let stored_at = vault.records.key_of(&key(1));
    let old = vault.records.stored(&stored_at);
    let edit = |number, revision, text: &str| VaultWrite::Change {
        key: key(number),
        change: Box::new(Change {
            wording: Some(Wording { revision, edited_unix_ms: 6, text: text.to_owned() }),
            ..Change::default()
        }),
    };
    // Two of one commit, the older one last; one of a message that comes with it; one of a message that is not there.
    let mut writes = vec![edit(1, 2, "third"), edit(1, 1, "second"), edit(9, 1, "never")];
    writes.extend(put_message(3, "new"));
    writes.push(edit(3, 1, "newer"));
    vault.commit(&writes, Vec::new()).unwrap();
    let text = |vault: &Vault, number| {
        let record = vault.reader().message(MessageNumber(number)).unwrap();
        record.map(|record| (record.message.body, record.message.revision))
    };
    let expected = |text: &str, revision| Some((MessageBody::Text(text.to_owned()), revision));
    assert_eq!(text(&vault, 1), expected("third", 2));
    assert_eq!((text(&vault, 2), text(&vault, 3)), (expected("other", 0), expected("newer", 1)));
    assert_eq!(text(&vault, 9), None);
    assert!(vault.reader().message_of(ContactNumber(7), MessageNumber(9)).unwrap().is_none());
    vault.finish_forgetting(7).unwrap();
    assert!(!vault.records.opens(&stored_at, &old));
    // Deleted for both it is still there, and says nothing; nothing brings it back.
    let old = vault.records.stored(&stored_at);
    let delete = VaultWrite::Change { key: key(1), change: Box::new(Change::deletion()) };
    vault.commit(&[delete, edit(1, 3, "back")], Vec::new()).unwrap();
    vault.finish_forgetting(8).unwrap();
    assert!(!vault.records.opens(&stored_at, &old));
    let record = vault.reader().message(MessageNumber(1)).unwrap().unwrap();
    assert!(record.message.deleted && record.message.body == MessageBody::Text(String::new()));
    vault.commit(&[VaultWrite::Delete { key: key(2) }, edit(2, 1, "gone")], Vec::new()).unwrap();
    assert_eq!(text(&vault, 2), None);
}

#[test]
fn an_own_message_that_was_read_stays_so_and_no_other_is() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    let key = |number| history_key(ContactNumber(7), MessageNumber(number));
    let put_own = |number: u64, own: bool| {
        let mut record = message(number, "hi");
        (record.message.own, record.message.created_unix_ms) = (own, 100_000);
        record.message.state.since_unix_ms = 130_000;
        let index = MessageIndexRecord { number: MessageNumber(number), contact: ContactNumber(7) };
        let index = put(message_index_key(MessageNumber(number)), &encode_record(&index));
        [put(key(number), &encode_record(&record)), index]
    };
    let read = |number, read_unix_ms| VaultWrite::Read { key: key(number), read_unix_ms };
    vault.commit(&[put_own(1, true), put_own(2, false)].concat(), Vec::new()).unwrap();
    // One that is there, a received one, one that is not there; one that comes in the same commit, twice.
    let mut writes = vec![read(1, 120_000), read(2, 120_000), read(9, 120_000)];
    writes.extend(put_own(3, true));
    writes.extend([read(3, 0), read(3, 180_000)]);
    writes.extend(put_own(4, true));
    writes.push(read(4, 180_000));
    vault.commit(&writes, Vec::new()).unwrap();
    let state = |vault: &Vault, number| {
        let record = vault.reader().message(MessageNumber(number)).unwrap();
        record.map(|record| (record.message.state.stage, record.message.state.since_unix_ms))
    };
    let check = |vault: &Vault| {
        assert_eq!(state(vault, 1), Some((DeliveryStage::Read, 130_000)), "after it was delivered in that minute");
        assert_eq!(state(vault, 2), Some((message(2, "hi").message.state.stage, 130_000)));
        assert_eq!(state(vault, 3), Some((DeliveryStage::Read, 100_000)), "not before it was written");
        assert_eq!(state(vault, 4), Some((DeliveryStage::Read, 180_000)));
        assert!(vault.reader().message_of(ContactNumber(7), MessageNumber(9)).unwrap().is_none());
    };
    check(&vault);
    drop(vault);
    check(&open(&directory).0);
}

#[test]
fn a_deleted_file_is_forgotten_and_no_other_is_written_again() {
    let directory = tempfile::tempdir().unwrap();
    let (vault, _) = open(&directory);
    let (contact, key) = (ContactNumber(7), |number| file_key(ContactNumber(7), MessageNumber(number)));
    let file = |number: u64| FileRecord { number: MessageNumber(number), bytes: vec![number as u8; 64_000] };
    let put = |number| VaultWrite::Put { key: key(number), value: encode_record(&file(number)) };
    vault.commit(&[put(1), put(2)], Vec::new()).unwrap();
    let at = [1, 2].map(|number| vault.records.key_of(&key(number)));
    let old = at.map(|at| vault.records.stored(&at));
    let read = |number| vault.reader().file(contact, MessageNumber(number)).unwrap();
    assert_eq!((read(1), read(2), read(3)), (Some(file(1).bytes), Some(file(2).bytes), None));
    vault.commit(&[VaultWrite::Delete { key: key(1) }], Vec::new()).unwrap();
    vault.finish_forgetting(7).unwrap();
    assert!(!vault.records.opens(&at[0], &old[0]));
    assert_eq!((read(1), read(2)), (None, Some(file(2).bytes)));
    assert_eq!(vault.records.stored(&at[1]), old[1]);
}
