//! Frames of the stream `sync/1`, by which two nodes find out what either lacks and fetch it, and the
//! salted ids under which they speak of envelopes. SPEC: B13.
//!
//! ```text
//! length 4 | kind 1 | payload
//! 1 hello       salt 16 | oldest_hour 4 | window first 4, last 4 | unix_ms 8
//! 2 negentropy  a negentropy v1 message, 1 to 65,536 bytes
//! 3 pull        1 to 256 salted ids of 20 bytes
//! 4 bodies      1 to 256 items: an envelope (it begins with its version, 1) or 0xFF | salted id 20
//! 5 bye         reason 1
//! ```
//!
//! The items of bodies need no separator: 0xFF is no envelope version, and version and class of an
//! envelope give its length. A pull is answered in its order by one or more bodies frames, each at most
//! 262,144 bytes, so that a peer never makes the other hold four megabytes for one pull.

use std::fmt;
use std::ops::RangeInclusive;

use crate::envelope::{Class, EnvelopeId, Epoch, EpochRange};
use crate::frame::{Fields, FrameBuffer, FrameError, Framing};
use crate::limits::{ENVELOPE_VERSION, SYNC_BODIES_BYTES_MAX, SYNC_ID_BYTES, SYNC_MESSAGE_BYTES_MAX, SYNC_PULL_MAX};
use crate::network::label;

const HELLO: u16 = 1;
const NEGENTROPY: u16 = 2;
const PULL: u16 = 3;
const BODIES: u16 = 4;
const BYE: u16 = 5;

const HELLO_BYTES: usize = 36;
const ABSENT: u8 = 0xFF;
/// Bytes of the smallest item of bodies: an absent id.
const ABSENT_BYTES: usize = SYNC_ID_BYTES + 1;
const PULL_BYTES_MAX: usize = SYNC_PULL_MAX * SYNC_ID_BYTES;

const FRAMING: Framing = Framing { kind_bytes: 1, bounds };

fn bounds(kind: u16) -> Option<RangeInclusive<usize>> {
    match kind {
        HELLO => Some(HELLO_BYTES..=HELLO_BYTES),
        NEGENTROPY => Some(1..=SYNC_MESSAGE_BYTES_MAX),
        PULL => Some(SYNC_ID_BYTES..=PULL_BYTES_MAX),
        BODIES => Some(ABSENT_BYTES..=SYNC_BODIES_BYTES_MAX),
        BYE => Some(1..=1),
        _ => None,
    }
}

/// An envelope's id inside one sync session: 20 bytes that say nothing outside it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyncId(pub [u8; SYNC_ID_BYTES]);

impl fmt::Debug for SyncId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().take(6).try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// What turns envelope ids into the ids of one session. Both sides choose half of it, so that neither
/// can prepare ids that collide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionSalt([u8; 32]);

impl SessionSalt {
    /// BLAKE3-256 of `L("sync") || initiator's salt 16 || responder's salt 16`.
    pub fn derive(initiator: &[u8; 16], responder: &[u8; 16]) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&label("sync"));
        hasher.update(initiator);
        hasher.update(responder);
        Self(*hasher.finalize().as_bytes())
    }

    /// The 32 bytes that key the hash of an id.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

/// id' = the first 20 bytes of BLAKE3 of the envelope id, keyed with the session's salt.
pub fn salted_id(salt: &SessionSalt, id: &EnvelopeId) -> SyncId {
    let mut bytes = [0; SYNC_ID_BYTES];
    for (slot, byte) in bytes.iter_mut().zip(blake3::keyed_hash(&salt.0, &id.0).as_bytes()) {
        *slot = *byte;
    }
    SyncId(bytes)
}

/// The first frame of either side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SyncHello {
    /// The sender's half of the session's salt: fresh random bytes.
    pub salt: [u8; 16],
    /// Oldest hour that the sender still stores whole (its horizon).
    pub oldest_hour: Epoch,
    /// Hours that it wants to reconcile, both ends included.
    pub window: EpochRange,
    /// Its wall clock, milliseconds since 1970.
    pub unix_ms: u64,
}

/// One answer to one id of a pull.
#[derive(Clone, PartialEq, Eq)]
pub enum Body {
    /// Bytes of the length that their version and class demand; all else is for admission to check.
    Envelope(Box<[u8]>),
    /// The sender has it no more.
    Absent(SyncId),
}

impl Body {
    /// Bytes that this item takes in a frame.
    pub fn encoded_bytes(&self) -> usize {
        match self {
            Self::Envelope(bytes) => bytes.len(),
            Self::Absent(_) => ABSENT_BYTES,
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Envelope(bytes) => write!(f, "Envelope({} bytes)", bytes.len()),
            Self::Absent(id) => write!(f, "Absent({id:?})"),
        }
    }
}

/// Why a session ends. A reason that is not named here is a polite end of a newer node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByeReason(pub u8);

impl ByeReason {
    /// Nothing is left to ask.
    pub const DONE: Self = Self(0);
    /// The windows have no hour in common.
    pub const NO_COMMON_HOURS: Self = Self(1);
    /// Too many sessions run already.
    pub const BUSY: Self = Self(2);
    /// The rounds of one session are used up.
    pub const ROUNDS_USED: Self = Self(3);
    /// The other side broke the protocol.
    pub const VIOLATION: Self = Self(4);
}

/// A frame of the stream `sync/1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncFrame {
    /// Kind 1, the first frame of either side.
    Hello(SyncHello),
    /// Kind 2: a negentropy v1 message, 1 to [`SYNC_MESSAGE_BYTES_MAX`] bytes.
    Negentropy(Vec<u8>),
    /// Kind 3: what the sender wants, 1 to [`SYNC_PULL_MAX`] ids.
    Pull(Vec<SyncId>),
    /// Kind 4: answers in the order of the pull, 1 to [`SYNC_PULL_MAX`] items, at most
    /// [`SYNC_BODIES_BYTES_MAX`] bytes.
    Bodies(Vec<Body>),
    /// Kind 5: the session is over.
    Bye(ByeReason),
}

impl SyncFrame {
    /// The frame as it goes on the wire.
    ///
    /// # Errors
    /// [`FrameError`] when the frame is one that [`Self::decode`] would refuse: our mistake.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let (kind, payload) = match self {
            Self::Hello(hello) => (HELLO, encode_hello(hello)?),
            Self::Negentropy(message) => return FRAMING.encode(NEGENTROPY, message),
            Self::Pull(ids) => (PULL, ids.iter().flat_map(|id| id.0).collect()),
            Self::Bodies(bodies) => (BODIES, encode_bodies(bodies)?),
            Self::Bye(reason) => (BYE, vec![reason.0]),
        };
        FRAMING.encode(kind, &payload)
    }

    /// Takes `bytes` as exactly one frame.
    ///
    /// # Errors
    /// [`FrameError`], the sender's fault.
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let (kind, payload) = FRAMING.decode(bytes)?;
        Self::from_payload(kind, payload)
    }

    fn from_payload(kind: u16, payload: &[u8]) -> Result<Self, FrameError> {
        let length = FrameError::Length { kind, bytes: payload.len() };
        match kind {
            HELLO => decode_hello(payload, length).map(Self::Hello),
            NEGENTROPY => Ok(Self::Negentropy(payload.to_vec())),
            PULL => {
                let (ids, rest) = payload.as_chunks();
                if rest.is_empty() { Ok(Self::Pull(ids.iter().map(|id| SyncId(*id)).collect())) } else { Err(length) }
            }
            BODIES => decode_bodies(payload).map(Self::Bodies),
            BYE => payload.first().map(|reason| Self::Bye(ByeReason(*reason))).ok_or(length),
            _ => Err(FrameError::Kind(kind)),
        }
    }
}

fn encode_hello(hello: &SyncHello) -> Result<Vec<u8>, FrameError> {
    if hello.window.first > hello.window.last {
        return Err(FrameError::Window);
    }
    let mut payload = Vec::with_capacity(HELLO_BYTES);
    payload.extend_from_slice(&hello.salt);
    for hour in [hello.oldest_hour, hello.window.first, hello.window.last] {
        payload.extend_from_slice(&hour.0.to_le_bytes());
    }
    payload.extend_from_slice(&hello.unix_ms.to_le_bytes());
    Ok(payload)
}

fn decode_hello(payload: &[u8], length: FrameError) -> Result<SyncHello, FrameError> {
    let mut fields = Fields(payload);
    let salt = fields.array().ok_or(length)?;
    let mut hour = || fields.u32().map(Epoch).ok_or(length);
    let (oldest_hour, first, last) = (hour()?, hour()?, hour()?);
    let unix_ms = fields.u64().ok_or(length)?;
    if first > last {
        return Err(FrameError::Window);
    }
    Ok(SyncHello { salt, oldest_hour, window: EpochRange { first, last }, unix_ms })
}

/// Bytes of the envelope that `bytes` begin with; `None` when they begin with no envelope.
fn envelope_bytes(bytes: &[u8]) -> Option<usize> {
    match bytes {
        [ENVELOPE_VERSION, class, ..] => Class::from_byte(*class).map(Class::envelope_bytes),
        _ => None,
    }
}

fn encode_bodies(bodies: &[Body]) -> Result<Vec<u8>, FrameError> {
    if bodies.len() > SYNC_PULL_MAX {
        return Err(FrameError::Bodies);
    }
    let mut payload = Vec::with_capacity(bodies.iter().map(Body::encoded_bytes).sum());
    for body in bodies {
        match body {
            Body::Envelope(bytes) if envelope_bytes(bytes) == Some(bytes.len()) => payload.extend_from_slice(bytes),
            Body::Envelope(_) => return Err(FrameError::Bodies),
            Body::Absent(id) => {
                payload.push(ABSENT);
                payload.extend_from_slice(&id.0);
            }
        }
    }
    Ok(payload)
}

fn decode_bodies(payload: &[u8]) -> Result<Vec<Body>, FrameError> {
    let mut fields = Fields(payload);
    let mut bodies = Vec::new();
    while let Some(first) = fields.0.first() {
        if bodies.len() == SYNC_PULL_MAX {
            return Err(FrameError::Bodies);
        }
        let body = if *first == ABSENT {
            fields.u8().and_then(|_| fields.array()).map(|id| Body::Absent(SyncId(id)))
        } else {
            envelope_bytes(fields.0).and_then(|bytes| fields.take(bytes)).map(|bytes| Body::Envelope(bytes.into()))
        };
        bodies.push(body.ok_or(FrameError::Bodies)?);
    }
    Ok(bodies)
}

/// Cuts the bytes of a `sync/1` stream into frames. It holds the bytes of one unfinished frame, never
/// more than its kind's limit. After an error the stream cannot be read on.
#[derive(Debug)]
pub struct SyncFrameReader(FrameBuffer);

impl Default for SyncFrameReader {
    fn default() -> Self {
        Self::new()
    }
}

impl SyncFrameReader {
    /// A reader at the beginning of a stream.
    pub const fn new() -> Self {
        Self(FrameBuffer::new(FRAMING))
    }

    /// Takes bytes from the front of `input` up to the end of a frame, and that frame; `None` when all of
    /// `input` was taken and the frame is not whole.
    ///
    /// # Errors
    /// [`FrameError`], the sender's fault, as early as the bytes show it.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<SyncFrame>, FrameError> {
        match self.0.read(input)? {
            Some((kind, payload)) => SyncFrame::from_payload(kind, &payload).map(Some),
            None => Ok(None),
        }
    }

    /// Bytes that are certainly still to come before the next frame or the next decision: at least 1.
    pub fn missing_bytes(&self) -> usize {
        self.0.missing()
    }

    /// Whether the stream may end here: no frame is unfinished.
    pub fn is_between_frames(&self) -> bool {
        self.0.is_between_frames()
    }
}

/// Fuzz entry: what decodes is the one encoding of its frame, and a reader that gets the bytes in pieces
/// finds the same frame.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let [piece, data @ ..] = data else { return };
    let whole = SyncFrame::decode(data);
    if let Ok(frame) = &whole {
        assert_eq!(frame.encode().as_deref(), Ok(data));
    }
    let mut reader = SyncFrameReader::new();
    let mut first = None;
    for mut part in data.chunks(usize::from(*piece).max(1)) {
        while let Ok(Some(frame)) = reader.read(&mut part) {
            first.get_or_insert(frame);
        }
        assert!(reader.missing_bytes() > 0);
    }
    if let Ok(frame) = whole {
        assert_eq!(first, Some(frame));
    }
}
