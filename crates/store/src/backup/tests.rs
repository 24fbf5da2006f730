//! The layout, and that nothing but a whole backup opens as one.

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use starling_messenger::backup::BackupRecord;

use super::head::HEAD_BYTES;
use super::*;
use crate::seal_at_rest::PassphraseCost;

const CHEAP: PassphraseCost = PassphraseCost::WORTHLESS_FOR_TESTS;
const PASSPHRASE: &str = "correct horse";
const SEALED_BYTES: usize = PIECE_BYTES + TAG_BYTES;

/// A backup of records with these lengths.
fn backup(lengths: &[usize]) -> Vec<u8> {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut writer = BackupWriter::new(Vec::new(), PASSPHRASE, CHEAP, &mut rng).unwrap();
    for (number, &length) in lengths.iter().enumerate() {
        writer.record(number as u16, &vec![number as u8; length]).unwrap();
    }
    writer.finish().unwrap()
}

fn read(bytes: &[u8], passphrase: &str) -> Result<Vec<BackupRecord>, BackupError> {
    let mut reader = BackupReader::open(bytes, passphrase)?;
    let mut records = Vec::new();
    while let Some(record) = reader.next_record()? {
        records.push(record);
    }
    Ok(records)
}

/// Three pieces and a half.
fn four_pieces() -> Vec<u8> {
    let bytes = backup(&[100, 200_000, 0, 29_000]);
    assert_eq!(bytes.len().div_ceil(SEALED_BYTES), 4);
    bytes
}

#[test]
fn the_layout_is_that_of_the_specification() {
    let bytes = backup(&[5, 0, 70_000]);
    let content_bytes = 3 * RECORD_HEAD_BYTES + 5 + 70_000;
    assert_eq!(bytes.len(), 70 + content_bytes + 2 * 16);
    assert_eq!(&bytes[..10], b"STARBAK\0\x01\0");
    assert_eq!(&bytes[10..22], &[64, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0], "what a guess costs");
    assert_eq!(&bytes[54..70], &blake3::hash(&bytes[..54]).as_bytes()[..16]);
    // Opened by hand, as the specification says.
    use chacha20poly1305::aead::{Aead, Payload};
    use chacha20poly1305::{ChaCha20Poly1305, Key, KeyInit, Nonce};
    let salt: [u8; 16] = bytes[22..38].try_into().unwrap();
    let hashed = crate::seal_at_rest::hash_passphrase(PASSPHRASE, &salt, CHEAP).unwrap();
    assert_eq!(&bytes[38..54], &blake3::derive_key("starling backup 1 check", hashed.as_slice())[..16]);
    let key = blake3::derive_key("starling backup 1 key", hashed.as_slice());
    let cipher = ChaCha20Poly1305::new(&Key::from(key));
    let open = |sealed: &[u8], nonce: [u8; 12]| {
        cipher.decrypt(&Nonce::from(nonce), Payload { msg: sealed, aad: &bytes[..70] }).unwrap()
    };
    let first = open(&bytes[70..70 + SEALED_BYTES], [0; 12]);
    assert_eq!(&first[..17], &[0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0]);
    let second = open(&bytes[70 + SEALED_BYTES..], [1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    assert_eq!(first.len() + second.len(), content_bytes);
}

#[test]
fn what_goes_in_comes_out() {
    let full = PIECE_BYTES - RECORD_HEAD_BYTES;
    for lengths in
        [&[][..], &[0], &[full], &[full - 1], &[full + 1], &[full, full], &[2 * PIECE_BYTES - 6], &[1, 250_000, 2]]
    {
        let records = read(&backup(lengths), PASSPHRASE).unwrap();
        assert_eq!(records.len(), lengths.len());
        for (number, (record, &length)) in records.iter().zip(lengths).enumerate() {
            assert_eq!(record.kind, number as u16);
            assert_eq!(record.bytes.as_slice(), vec![number as u8; length]);
        }
    }
}

#[test]
fn a_flipped_bit_at_any_border_is_found_and_placed() {
    let whole = four_pieces();
    let mut places: Vec<usize> = (0..HEAD_BYTES + 2).collect();
    for border in (HEAD_BYTES..whole.len()).step_by(SEALED_BYTES).chain([whole.len()]) {
        places.extend(border.saturating_sub(18)..(border + 18).min(whole.len()));
    }
    for place in places {
        let mut bytes = whole.clone();
        bytes[place] ^= 0x40;
        match read(&bytes, PASSPHRASE).unwrap_err() {
            BackupError::NoBackup => assert!(place < 8, "{place}"),
            BackupError::Newer { .. } => assert!((8..10).contains(&place), "{place}"),
            BackupError::Damaged { from, to } => {
                assert!(from <= place as u64 && (place as u64) < to, "{place} is not in {from}..{to}");
                assert!(to - from <= SEALED_BYTES as u64);
            }
            other => panic!("{place}: {other}"),
        }
    }
}

#[test]
fn a_cut_backup_is_never_taken_for_a_whole_one() {
    let whole = four_pieces();
    let mut lengths: Vec<usize> = (0..HEAD_BYTES + 20).collect();
    for border in (HEAD_BYTES..whole.len()).step_by(SEALED_BYTES).chain([whole.len()]) {
        lengths.extend(border.saturating_sub(20)..(border + 20).min(whole.len()));
    }
    for length in lengths {
        let error = read(&whole[..length], PASSPHRASE).unwrap_err();
        let border = length >= HEAD_BYTES && (length - HEAD_BYTES).is_multiple_of(SEALED_BYTES);
        match error {
            BackupError::NoBackup => assert_eq!(length, 0),
            BackupError::Cut { bytes } => assert!(bytes <= length as u64),
            BackupError::Damaged { .. } => assert!(length > HEAD_BYTES && !border, "{length} is the end of a piece"),
            other => panic!("{length}: {other}"),
        }
    }
}

#[test]
fn pieces_that_are_moved_repeated_added_or_of_another_file_do_not_open() {
    let whole = four_pieces();
    let piece = |number: usize| {
        let from = HEAD_BYTES + number * SEALED_BYTES;
        &whole[from..(from + SEALED_BYTES).min(whole.len())]
    };
    let head = &whole[..HEAD_BYTES];
    let damaged = |parts: &[&[u8]]| match read(&parts.concat(), PASSPHRASE).unwrap_err() {
        BackupError::Damaged { .. } | BackupError::Cut { .. } => {}
        other => panic!("{other}"),
    };
    assert!(read(&[head, piece(0), piece(1), piece(2), piece(3)].concat(), PASSPHRASE).is_ok());
    damaged(&[head, piece(1), piece(0), piece(2), piece(3)]);
    damaged(&[head, piece(0), piece(0), piece(1), piece(2), piece(3)]);
    damaged(&[head, piece(0), piece(2), piece(3)]);
    damaged(&[head, piece(3)]);
    damaged(&[&whole, piece(3)]);
    damaged(&[&whole, &whole]);
    damaged(&[&whole, &[0]]);
    // The same passphrase and contents, another salt.
    let mut rng = ChaCha20Rng::seed_from_u64(2);
    let mut writer = BackupWriter::new(Vec::new(), PASSPHRASE, CHEAP, &mut rng).unwrap();
    writer.record(0, &[0; 100]).unwrap();
    writer.record(1, &[1; 200_000]).unwrap();
    let other = writer.finish().unwrap();
    damaged(&[head, piece(0), &other[HEAD_BYTES + SEALED_BYTES..HEAD_BYTES + 2 * SEALED_BYTES], piece(2), piece(3)]);
    damaged(&[&other[..HEAD_BYTES], piece(0), piece(1), piece(2), piece(3)]);
}

#[test]
fn a_wrong_passphrase_is_told_from_everything_else() {
    let whole = four_pieces();
    assert!(matches!(read(&whole, "Correct horse"), Err(BackupError::WrongPassphrase)));
    assert!(matches!(read(&whole, ""), Err(BackupError::WrongPassphrase)));
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let empty = BackupWriter::new(Vec::new(), "", CHEAP, &mut rng);
    assert!(matches!(empty.err(), Some(BackupError::EmptyPassphrase)));
    assert!(matches!(read(b"{\"v\":1}", PASSPHRASE), Err(BackupError::NoBackup)));
    let mut newer = whole.clone();
    newer[8..10].copy_from_slice(&7u16.to_le_bytes());
    assert!(matches!(read(&newer, PASSPHRASE), Err(BackupError::Newer { found: 7, supported: 1 })));
    newer[8..10].copy_from_slice(&0u16.to_le_bytes());
    assert!(matches!(read(&newer, PASSPHRASE), Err(BackupError::Damaged { from: 0, to: 70 })));
}

#[test]
fn a_file_cannot_ask_for_all_memory() {
    let mut bytes = four_pieces();
    bytes[10..14].copy_from_slice(&u32::MAX.to_le_bytes());
    let sum = blake3::hash(&bytes[..54]);
    bytes[54..70].copy_from_slice(&sum.as_bytes()[..16]);
    assert!(matches!(read(&bytes, PASSPHRASE), Err(BackupError::Damaged { from: 0, to: 70 })));
}

#[test]
fn records_are_bounded_on_both_sides() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut writer = BackupWriter::new(Vec::new(), PASSPHRASE, CHEAP, &mut rng).unwrap();
    let limit = starling_messenger::backup::BACKUP_RECORD_BYTES_MAX;
    assert!(matches!(writer.record(1, &vec![0; limit + 1]), Err(BackupError::TooLarge { .. })));
    writer.record(1, &vec![0; limit]).unwrap();
    assert_eq!(read(&writer.finish().unwrap(), PASSPHRASE).unwrap()[0].bytes.len(), limit);
}

#[test]
fn neither_texts_nor_the_passphrase_stand_in_the_file() {
    let mut rng = ChaCha20Rng::seed_from_u64(1);
    let mut writer = BackupWriter::new(Vec::new(), PASSPHRASE, CHEAP, &mut rng).unwrap();
    writer.record(1, b"a text to look for").unwrap();
    let bytes = writer.finish().unwrap();
    for marker in [&b"a text"[..], b"look for", b"correct", b"horse"] {
        assert!(!bytes.windows(marker.len()).any(|part| part == marker));
    }
}

#[test]
fn a_file_is_there_whole_private_and_alone_or_not_at_all() {
    use std::io::Write;
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ana.starling");
    let names = || std::fs::read_dir(folder.path()).unwrap().count();
    let mut file = BackupFile::create(&path).unwrap();
    file.write_all(b"half").unwrap();
    assert!(!path.exists());
    drop(file);
    assert_eq!(names(), 0, "given up, it leaves nothing");
    let mut file = BackupFile::create(&path).unwrap();
    file.write_all(b"first").unwrap();
    file.keep(false).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    let second = BackupFile::create(&path).unwrap();
    assert_eq!(second.keep(false).unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    assert_eq!((std::fs::read(&path).unwrap(), names()), (b"first".to_vec(), 1));
    let mut third = BackupFile::create(&path).unwrap();
    third.write_all(b"third").unwrap();
    third.keep(true).unwrap();
    assert_eq!((std::fs::read(&path).unwrap(), names()), (b"third".to_vec(), 1));
}
