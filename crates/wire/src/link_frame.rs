//! Frames of the stream `link/1`: one node asks another to hold a link with it, and the other agrees,
//! has no room, or refuses. SPEC: B15.
//!
//! ```text
//! length 4 | kind 2 | payload (bincode: fixed little-endian integers, lists with a length of 8 bytes)
//! 1 hold     version 1 | parameters hash 32 | unix_ms 8 | descriptor | others
//! 2 ok       unix_ms 8 | descriptor | others
//! 3 full     unix_ms 8 | others
//! 4 refused  reason 1
//! descriptor: length 8 | bytes        others: count 8 (at most 32; full: 8) | descriptors
//! ```
//!
//! Every descriptor is checked for form, none for its signature: that costs an Ed25519 check each, due only
//! once the receiver wants to use one.

use std::fmt;
use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize, de::DeserializeOwned};

use crate::codec::{self, CodecError};
use crate::descriptor::{DESCRIPTOR_BYTES_MAX, NodeDescriptor};
use crate::frame::{FrameBuffer, FrameError, Framing};
use crate::limits::{LINK_FRAME_BYTES_MAX, LINK_FULL_OTHERS_MAX, LINK_OTHERS_MAX};

/// Version that a Hold speaks.
pub const LINK_VERSION: u8 = 1;

const HOLD: u16 = 1;
const OK: u16 = 2;
const FULL: u16 = 3;
const REFUSED: u16 = 4;

/// Bytes of a descriptor in a frame: its length and itself.
const DESCRIPTOR_FIELD_BYTES_MAX: usize = DESCRIPTOR_BYTES_MAX + 8;
const FULL_BYTES_MAX: usize = 8 + 8 + LINK_FULL_OTHERS_MAX * DESCRIPTOR_FIELD_BYTES_MAX;
const OK_BYTES_MAX: usize = 8 + 8 + (1 + LINK_OTHERS_MAX) * DESCRIPTOR_FIELD_BYTES_MAX;
const HOLD_BYTES_MAX: usize = 1 + 32 + OK_BYTES_MAX;
const _: () = assert!(HOLD_BYTES_MAX <= LINK_FRAME_BYTES_MAX);

const FRAMING: Framing = Framing { kind_bytes: 2, bounds };

fn bounds(kind: u16) -> Option<RangeInclusive<usize>> {
    match kind {
        HOLD => Some(1..=HOLD_BYTES_MAX),
        OK => Some(16..=OK_BYTES_MAX),
        FULL => Some(16..=FULL_BYTES_MAX),
        REFUSED => Some(1..=1),
        _ => None,
    }
}

/// The dialer's first frame: it wants to hold this link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Hash of the network's parameters ([`crate::network::NetworkParameters::hash`]).
    pub parameters_hash: [u8; 32],
    /// The sender's wall clock, milliseconds since 1970.
    pub unix_ms: u64,
    /// The sender.
    pub descriptor: NodeDescriptor,
    /// Other members that it knows, at most [`LINK_OTHERS_MAX`].
    #[serde(deserialize_with = "codec::bounded_list::<_, _, LINK_OTHERS_MAX>")]
    pub others: Vec<NodeDescriptor>,
}

/// The acceptor holds the link too.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldOk {
    /// The acceptor's wall clock, milliseconds since 1970.
    pub unix_ms: u64,
    /// The acceptor.
    pub descriptor: NodeDescriptor,
    /// Other members that it knows, at most [`LINK_OTHERS_MAX`].
    #[serde(deserialize_with = "codec::bounded_list::<_, _, LINK_OTHERS_MAX>")]
    pub others: Vec<NodeDescriptor>,
}

/// The acceptor has no room for another link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldFull {
    /// The acceptor's wall clock, milliseconds since 1970.
    pub unix_ms: u64,
    /// Members that may have room, at most [`LINK_FULL_OTHERS_MAX`].
    #[serde(deserialize_with = "codec::bounded_list::<_, _, LINK_FULL_OTHERS_MAX>")]
    pub others: Vec<NodeDescriptor>,
}

/// Why a link is refused for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalReason(pub u8);

impl RefusalReason {
    /// The two nodes' parameters of the same network differ. No fault, no penalty.
    pub const WRONG_PARAMETERS: Self = Self(1);
    /// The Hold speaks a version that the acceptor does not.
    pub const WRONG_VERSION: Self = Self(2);
    /// The dialer is blocked here for what it did before.
    pub const BLOCKED: Self = Self(3);
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::WRONG_PARAMETERS => f.write_str("wrong_parameters"),
            Self::WRONG_VERSION => f.write_str("wrong_version"),
            Self::BLOCKED => f.write_str("blocked"),
            Self(other) => write!(f, "reason_{other}"),
        }
    }
}

/// A frame of the stream `link/1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkFrame {
    /// Kind 1.
    Hold(Hold),
    /// Kind 2.
    Ok(HoldOk),
    /// Kind 3.
    Full(HoldFull),
    /// Kind 4.
    Refused(RefusalReason),
}

impl LinkFrame {
    /// The frame as it goes on the wire.
    ///
    /// # Errors
    /// [`FrameError`] when it lists more others than its kind may: our mistake.
    pub fn encode(&self) -> Result<Vec<u8>, FrameError> {
        let (kind, others, others_max) = match self {
            Self::Hold(hold) => (HOLD, hold.others.len(), LINK_OTHERS_MAX),
            Self::Ok(ok) => (OK, ok.others.len(), LINK_OTHERS_MAX),
            Self::Full(full) => (FULL, full.others.len(), LINK_FULL_OTHERS_MAX),
            Self::Refused(_) => (REFUSED, 0, 0),
        };
        if others > others_max {
            return Err(FrameError::Encoding(kind));
        }
        let payload = match self {
            Self::Hold(hold) => encode(&(LINK_VERSION, hold)),
            Self::Ok(ok) => encode(ok),
            Self::Full(full) => encode(full),
            Self::Refused(reason) => encode(reason),
        };
        FRAMING.encode(kind, &payload.map_err(|_| FrameError::Encoding(kind))?)
    }

    /// Takes `bytes` as exactly one frame.
    ///
    /// # Errors
    /// [`FrameError`], the sender's fault; [`FrameError::Version`] is to be answered with
    /// [`RefusalReason::WRONG_VERSION`].
    pub fn decode(bytes: &[u8]) -> Result<Self, FrameError> {
        let (kind, payload) = FRAMING.decode(bytes)?;
        Self::from_payload(kind, payload)
    }

    fn from_payload(kind: u16, payload: &[u8]) -> Result<Self, FrameError> {
        match kind {
            HOLD => match payload {
                [LINK_VERSION, hold @ ..] => decode(kind, hold).map(Self::Hold),
                [version, ..] => Err(FrameError::Version(*version)),
                [] => Err(FrameError::Encoding(kind)),
            },
            OK => decode(kind, payload).map(Self::Ok),
            FULL => decode(kind, payload).map(Self::Full),
            REFUSED => decode(kind, payload).map(Self::Refused),
            _ => Err(FrameError::Kind(kind)),
        }
    }
}

fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, CodecError> {
    codec::encode(value, LINK_FRAME_BYTES_MAX as u64)
}

fn decode<T: DeserializeOwned>(kind: u16, payload: &[u8]) -> Result<T, FrameError> {
    codec::decode(payload, LINK_FRAME_BYTES_MAX as u64).map_err(|_| FrameError::Encoding(kind))
}

/// Cuts the bytes of a `link/1` stream into frames. It holds the bytes of one unfinished frame, never
/// more than its kind's limit. After an error the stream cannot be read on.
#[derive(Debug)]
pub struct LinkFrameReader(FrameBuffer);

impl Default for LinkFrameReader {
    fn default() -> Self {
        Self::new()
    }
}

impl LinkFrameReader {
    /// A reader at the beginning of a stream.
    pub const fn new() -> Self {
        Self(FrameBuffer::new(FRAMING))
    }

    /// Takes bytes from the front of `input` up to the end of a frame, and that frame; `None` when all of
    /// `input` was taken and the frame is not whole.
    ///
    /// # Errors
    /// [`FrameError`], the sender's fault, as early as the bytes show it.
    pub fn read(&mut self, input: &mut &[u8]) -> Result<Option<LinkFrame>, FrameError> {
        match self.0.read(input)? {
            Some((kind, payload)) => LinkFrame::from_payload(kind, &payload).map(Some),
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
    let whole = LinkFrame::decode(data);
    if let Ok(frame) = &whole {
        assert_eq!(frame.encode().as_deref(), Ok(data));
    }
    let mut reader = LinkFrameReader::new();
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
