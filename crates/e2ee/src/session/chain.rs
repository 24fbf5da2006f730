//! Chains and the steps between them: every key of a message from the session's. SPEC: B4.

use serde::{Deserialize, Serialize};

use crate::primitives::aead::OneTimeKey;
use crate::primitives::blake3_lanes::{INPUT_BYTES, LANES, keyed_blake3_lanes};
use crate::primitives::bytes::{Reader, concat};
use crate::primitives::hash::{hkdf, hmac, keyed_blake3};
use crate::primitives::label;
use crate::primitives::secret::Secret;
use crate::record::{self, KemRecord, Record, RecordError};
use crate::seal::{HEADER_BYTES, Tag};

/// Bytes of a header's plaintext.
const HEADER_PLAINTEXT_BYTES: usize = 40;

/// What a message says of its chain. The same in all messages of a chain.
#[derive(Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Header {
    /// The sender's ratchet key.
    pub(crate) dh: [u8; 32],
    /// pn: messages in the sender's chain before this one.
    pub(crate) previous_length: u32,
    /// e: the post-quantum epoch mixed into the step to this chain; 0 for none.
    pub(crate) epoch: u32,
}

impl Header {
    /// `dh 32 | pn 4 | e 4`.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.dh);
        out.extend_from_slice(&self.previous_length.to_le_bytes());
        out.extend_from_slice(&self.epoch.to_le_bytes());
    }

    fn read(plaintext: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(plaintext);
        let header = Self { dh: reader.array()?, previous_length: reader.u32()?, epoch: reader.u32()? };
        reader.is_empty().then_some(header)
    }

    /// The header of message `number` under `key`, if `ciphertext` is one.
    pub(crate) fn open(
        key: &Secret<32>,
        number: u32,
        associated_data: &[u8],
        ciphertext: &[u8; HEADER_BYTES],
    ) -> Option<Self> {
        Self::read(&header_key(key, number).open(associated_data, ciphertext)?)
    }
}

/// The chain on which this device sends.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct SendingChain {
    /// HKs.
    pub(crate) header_key: Secret<32>,
    /// CKs.
    pub(crate) chain_key: Secret<32>,
    /// Ns.
    pub(crate) next_number: u32,
    /// In each of its messages.
    pub(crate) header: Header,
}

impl SendingChain {
    /// The tag of the next message.
    pub(crate) fn tag(&self) -> Tag {
        tag(&self.header_key, self.next_number)
    }

    /// mk of the next message.
    pub(crate) fn message_key(&self) -> Secret<32> {
        message_key(&self.chain_key)
    }

    /// Moves past the next message and returns its number. Its key is gone.
    pub(crate) fn advance(&mut self) -> u32 {
        let number = self.next_number;
        self.chain_key = next_chain_key(&self.chain_key);
        self.next_number = number.saturating_add(1);
        number
    }
}

/// The chain on which the peer sends.
#[derive(Serialize, Deserialize)]
pub(crate) struct ReceivingChain {
    /// HKr.
    pub(crate) header_key: Secret<32>,
    /// CKr.
    pub(crate) chain_key: Secret<32>,
    /// Nr: the lowest number whose key has not been derived.
    pub(crate) next_number: u32,
}

/// Message keys from `chain_key` for the numbers from `first` to before `end`, and the chain key of `end`. The caller
/// has bounded the range.
pub(crate) fn derive(chain_key: &Secret<32>, first: u32, end: u32) -> (Vec<(u32, Secret<32>)>, Secret<32>) {
    let mut chain_key = chain_key.clone();
    let mut keys = Vec::new();
    for number in first..end {
        keys.push((number, message_key(&chain_key)));
        chain_key = next_chain_key(&chain_key);
    }
    (keys, chain_key)
}

/// RK', CK and NHK of a step.
pub(crate) struct Step {
    pub(crate) root: Secret<32>,
    pub(crate) chain_key: Secret<32>,
    pub(crate) next_header: Secret<32>,
}

/// step of B4. `epoch` and `post_quantum` belong to B8: 0 and none when nothing is mixed in.
pub(crate) fn step(root: &Secret<32>, shared: &Secret<32>, epoch: u32, post_quantum: Option<&Secret<32>>) -> Step {
    let post_quantum = post_quantum.map_or(&[0; 32], Secret::as_bytes);
    let info: [u8; 20] = concat(&[label!("step"), &epoch.to_le_bytes()]);
    let material: Secret<96> = hkdf(root.as_bytes(), &[shared.as_bytes(), post_quantum], &info);
    let mut reader = Reader::new(material.as_bytes());
    let mut next = || Secret::new(reader.array().unwrap_or([0; 32]));
    Step { root: next(), chain_key: next(), next_header: next() }
}

/// mk = HMAC(CK, 0x01).
pub(crate) fn message_key(chain_key: &Secret<32>) -> Secret<32> {
    hmac(chain_key.as_bytes(), &[0x01])
}

/// CK' = HMAC(CK, 0x02).
pub(crate) fn next_chain_key(chain_key: &Secret<32>) -> Secret<32> {
    hmac(chain_key.as_bytes(), &[0x02])
}

/// tag_n = B3(HK, L("tag") || n, 16).
pub(crate) fn tag(header_key: &Secret<32>, number: u32) -> Tag {
    let hash = blake3::keyed_hash(header_key.as_bytes(), &tag_input(number));
    Tag(Reader::new(hash.as_bytes()).array().unwrap_or([0; 16]))
}

/// The tags of `numbers`, in their order: many at a time where there are so many, in half the time.
pub(crate) fn tags(header_key: &Secret<32>, numbers: impl Iterator<Item = u32>) -> impl Iterator<Item = Tag> {
    let numbers: Vec<u32> = numbers.collect();
    let (batches, rest) = numbers.as_chunks::<LANES>();
    let mut tags = Vec::with_capacity(numbers.len());
    for batch in batches {
        tags.extend(keyed_blake3_lanes(header_key.as_bytes(), &batch.map(tag_input)).map(Tag));
    }
    tags.extend(rest.iter().map(|number| tag(header_key, *number)));
    tags.into_iter()
}

fn tag_input(number: u32) -> [u8; INPUT_BYTES] {
    concat(&[label!("tag"), &number.to_le_bytes()])
}

/// Key and nonce of the header of message `number`.
pub(crate) fn header_key(header_key: &Secret<32>, number: u32) -> OneTimeKey {
    OneTimeKey::new(&keyed_blake3(header_key.as_bytes(), &[label!("hdr"), &number.to_le_bytes()]))
}

/// Key and nonce of a message's body.
pub(crate) fn body_key(session_salt: &Secret<32>, message_key: &Secret<32>) -> OneTimeKey {
    OneTimeKey::new(&hkdf(session_salt.as_bytes(), &[message_key.as_bytes()], label!("msg")))
}

/// Appends `header ciphertext 56 | body ciphertext` of the next message of `chain` to `out`; the body has a room of
/// `room_bytes` for the records, and for the post-quantum ratchet's if they leave it some; whether they did.
pub(crate) fn seal_message(
    chain: &SendingChain,
    session_salt: &Secret<32>,
    associated_data: &[u8],
    (records, kem): (&[Record], Option<KemRecord<'_>>),
    room_bytes: usize,
    out: &mut Vec<u8>,
) -> Result<bool, RecordError> {
    let start = out.len();
    chain.header.write(out);
    header_key(&chain.header_key, chain.next_number).seal(associated_data, out, start);
    let body_start = out.len();
    let body_associated_data = body_associated_data(associated_data, out.get(start..).unwrap_or_default());
    let rides = record::encode_with(out, room_bytes, records, kem)?;
    body_key(session_salt, &chain.message_key()).seal(&body_associated_data, out, body_start);
    Ok(rides)
}

/// What a body is bound to: all that its header is bound to, and the header's ciphertext.
pub(crate) fn body_associated_data(associated_data: &[u8], header_ciphertext: &[u8]) -> Vec<u8> {
    [associated_data, header_ciphertext].concat()
}

/// Entry point for a fuzzer: a header's plaintext either does not decode or encodes to itself.
#[doc(hidden)]
pub fn fuzz_header(data: &[u8]) {
    if let Some(header) = Header::read(data) {
        let mut again = Vec::with_capacity(HEADER_PLAINTEXT_BYTES);
        header.write(&mut again);
        assert!(again == data, "write is the inverse of read");
    }
}
