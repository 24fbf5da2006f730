//! Records in the room of a message.

use proptest::prelude::*;

use crate::record::{ACKS_MAX, Record, RecordError, decode, encode_into, fuzz_records};

fn encoded(records: &[Record], room: usize) -> Result<Vec<u8>, RecordError> {
    let mut out = Vec::new();
    encode_into(&mut out, room, records).map(|()| out)
}

fn content(part: u8, of: u8, bytes: Vec<u8>) -> Record {
    Record::Content { message_id: [3; 16], part, of, bytes }
}

#[test]
fn what_does_not_fit_is_refused_with_its_size() {
    let record = content(0, 1, vec![1; 80]);
    assert_eq!(record.encoded_len(), 101);
    assert!(encoded(std::slice::from_ref(&record), 101).is_ok());
    assert_eq!(encoded(&[record], 100), Err(RecordError::NoRoom { needed_bytes: 101, room_bytes: 100 }));
}

#[test]
fn limits_hold_in_both_directions() {
    let too_many = vec![[0; 16]; ACKS_MAX + 1];
    assert_eq!(encoded(&[Record::Acks(too_many)], 2_000), Err(RecordError::AckCount { count: ACKS_MAX + 1 }));
    assert_eq!(encoded(&[Record::Acks(Vec::new())], 2_000), Err(RecordError::AckCount { count: 0 }));
    assert_eq!(encoded(&[content(2, 2, Vec::new())], 100), Err(RecordError::Part { part: 2, of: 2 }));
    let mut sixty_one = vec![2, 0xd0, 0x03];
    sixty_one.resize(3 + 61 * 16, 1);
    assert_eq!(decode(&sixty_one), None);
    assert_eq!(decode(&[2, 0, 0]), None, "no acknowledgement");
    assert_eq!(decode(&[2, 15, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]), None, "not a multiple of 16");
    assert_eq!(decode(&[5, 1, 0, 0]), None, "a card of one byte");
    assert_eq!(decode(&[3, 4, 0, 1, 0, 0, 0]), None, "an epoch without a key");
    assert_eq!(decode(&[4, 0, 0]), None, "no ciphertext at all");
    assert_eq!(decode(&[1, 0xff, 0xff, 0]), None, "longer than the room");
    assert_eq!(decode(&[1]), None, "cut off in the head");
}

#[test]
fn unknown_types_are_skipped() {
    let mut bytes = vec![6, 4, 0, 9, 9, 9, 9, 7, 0, 0, 200, 1, 0, 7];
    encode_into(&mut bytes, 200, &[content(0, 1, vec![1])]).expect("it fits");
    assert_eq!(decode(&bytes), Some(vec![content(0, 1, vec![1])]));
}

#[test]
fn what_follows_the_end_is_ignored() {
    assert_eq!(decode(&[0, 1, 2, 3, 255]), Some(Vec::new()));
    assert_eq!(decode(&[]), Some(Vec::new()));
}

fn any_record() -> impl Strategy<Value = Record> {
    prop_oneof![
        (any::<[u8; 16]>(), 1..=u8::MAX, any::<u8>(), prop::collection::vec(any::<u8>(), 0..300))
            .prop_map(|(message_id, of, part, bytes)| Record::Content { message_id, part: part % of, of, bytes }),
        prop::collection::vec(any::<[u8; 16]>(), 1..=ACKS_MAX).prop_map(Record::Acks),
        (any::<u32>(), any::<[u8; 32]>(), any::<u32>(), any::<[u8; 32]>())
            .prop_map(|(shard, addr, list_version, list_head)| Record::Card { shard, addr, list_version, list_head }),
    ]
}

proptest! {
    #[test]
    fn records_survive_the_room(records in prop::collection::vec(any_record(), 0..6), spare in 0..50_usize) {
        let needed: usize = records.iter().map(Record::encoded_len).sum();
        let bytes = encoded(&records, needed + spare).expect("the room is large enough");
        prop_assert_eq!(bytes.len(), needed + spare);
        prop_assert_eq!(decode(&bytes), Some(records));
    }

    #[test]
    fn any_bytes_decode_or_do_not(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        fuzz_records(&bytes);
    }
}
