//! Length-prefixed frames, as `sync/1` and `link/1` carry them: cutting a byte stream into frames
//! without trusting the length that a peer claims. SPEC: B13, B15.
//!
//! ```text
//! length 4 (bytes that follow it) | kind 1 or 2 | payload
//! ```
//!
//! Kind and length are held against the bounds of the kind before a payload byte is kept, and the
//! buffer grows with the bytes that came, never with the bytes that were announced.

use std::ops::RangeInclusive;

use thiserror::Error;

/// Bytes of the length before each frame.
const LENGTH_BYTES: usize = 4;

/// Why bytes are not a frame: the sender's fault in every case, and the end of its stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum FrameError {
    /// The length leaves no room for the kind.
    #[error("a frame of {0} bytes has no kind")]
    NoKind(u32),
    /// No frame of this kind exists on this stream.
    #[error("frame kind {0} does not exist")]
    Kind(u16),
    /// A frame of this kind cannot have a payload of this length.
    #[error("a frame of kind {kind} cannot carry {bytes} bytes")]
    Length {
        /// Kind of the frame.
        kind: u16,
        /// Bytes of the payload, claimed or there.
        bytes: usize,
    },
    /// The bytes end before the frame does, or go on after it.
    #[error("the bytes are not exactly one frame")]
    NotOneFrame,
    /// The frame speaks another version of the protocol.
    #[error("protocol version {0} is not supported")]
    Version(u8),
    /// The window of a sync hello ends before it begins.
    #[error("the sync window ends before it begins")]
    Window,
    /// An item among bodies is neither an envelope nor an absent id, or there are too many.
    #[error("the bodies are not whole envelopes and absent ids")]
    Bodies,
    /// The payload is no encoding of its kind.
    #[error("a frame of kind {0} is not a valid encoding")]
    Encoding(u16),
}

/// How the frames of one stream protocol look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Framing {
    /// Bytes of the kind: 1 or 2.
    pub(crate) kind_bytes: usize,
    /// Payload bytes that a kind may have; `None` for a kind that does not exist.
    pub(crate) bounds: fn(u16) -> Option<RangeInclusive<usize>>,
}

impl Framing {
    const fn header_bytes(self) -> usize {
        LENGTH_BYTES.saturating_add(self.kind_bytes)
    }

    /// The length field, once its four bytes are there.
    fn length(self, header: &[u8]) -> Result<Option<u32>, FrameError> {
        let Some(length) = header.first_chunk().map(|bytes| u32::from_le_bytes(*bytes)) else { return Ok(None) };
        match usize::try_from(length) {
            Ok(bytes) if bytes < self.kind_bytes => Err(FrameError::NoKind(length)),
            _ => Ok(Some(length)),
        }
    }

    /// Kind and payload length, checked, once the whole header is there.
    fn announced(self, header: &[u8]) -> Result<Option<(u16, usize)>, FrameError> {
        let Some(length) = self.length(header)? else { return Ok(None) };
        if header.len() < self.header_bytes() {
            return Ok(None);
        }
        let kind_bytes = header.get(LENGTH_BYTES..self.header_bytes()).unwrap_or_default();
        let kind = kind_bytes.iter().rev().fold(0u16, |kind, byte| kind.wrapping_shl(8) | u16::from(*byte));
        let bytes = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(self.kind_bytes);
        self.check(kind, bytes)?;
        Ok(Some((kind, bytes)))
    }

    fn check(self, kind: u16, bytes: usize) -> Result<(), FrameError> {
        let bounds = (self.bounds)(kind).ok_or(FrameError::Kind(kind))?;
        if bounds.contains(&bytes) { Ok(()) } else { Err(FrameError::Length { kind, bytes }) }
    }

    /// Header and payload as they go on the wire.
    pub(crate) fn encode(self, kind: u16, payload: &[u8]) -> Result<Vec<u8>, FrameError> {
        self.check(kind, payload.len())?;
        let too_long = FrameError::Length { kind, bytes: payload.len() };
        let length = u32::try_from(payload.len().saturating_add(self.kind_bytes)).map_err(|_| too_long)?;
        let mut frame = Vec::with_capacity(self.header_bytes().saturating_add(payload.len()));
        frame.extend_from_slice(&length.to_le_bytes());
        frame.extend(kind.to_le_bytes().iter().take(self.kind_bytes));
        frame.extend_from_slice(payload);
        Ok(frame)
    }

    /// Kind and payload of `bytes`, which are exactly one frame.
    pub(crate) fn decode(self, bytes: &[u8]) -> Result<(u16, &[u8]), FrameError> {
        let (kind, length) = self.announced(bytes)?.ok_or(FrameError::NotOneFrame)?;
        let payload = bytes.get(self.header_bytes()..).unwrap_or_default();
        if payload.len() == length { Ok((kind, payload)) } else { Err(FrameError::NotOneFrame) }
    }
}

/// Collects one frame after another from a stream that arrives in pieces of any size.
#[derive(Debug)]
pub(crate) struct FrameBuffer {
    framing: Framing,
    header: Vec<u8>,
    payload: Vec<u8>,
}

impl FrameBuffer {
    pub(crate) const fn new(framing: Framing) -> Self {
        Self { framing, header: Vec::new(), payload: Vec::new() }
    }

    /// Bytes that must still come before [`Self::read`] can go on: never 0, never beyond this frame.
    pub(crate) fn missing(&self) -> usize {
        match self.framing.announced(&self.header) {
            Ok(Some((_, bytes))) => bytes.saturating_sub(self.payload.len()).max(1),
            _ => self.framing.header_bytes().saturating_sub(self.header.len()).max(1),
        }
    }

    /// Whether no byte of an unfinished frame is held.
    pub(crate) fn is_between_frames(&self) -> bool {
        self.header.is_empty()
    }

    /// Takes from `input` what belongs to the current frame; kind and payload once it is whole.
    pub(crate) fn read(&mut self, input: &mut &[u8]) -> Result<Option<(u16, Vec<u8>)>, FrameError> {
        let header_missing = self.framing.header_bytes().saturating_sub(self.header.len());
        take(input, header_missing, &mut self.header);
        let Some((kind, bytes)) = self.framing.announced(&self.header)? else { return Ok(None) };
        take(input, bytes.saturating_sub(self.payload.len()), &mut self.payload);
        if self.payload.len() < bytes {
            return Ok(None);
        }
        self.header.clear();
        Ok(Some((kind, std::mem::take(&mut self.payload))))
    }
}

/// Moves at most `count` bytes from the front of `input` to `into`.
fn take(input: &mut &[u8], count: usize, into: &mut Vec<u8>) {
    let (taken, rest) = input.split_at_checked(count).unwrap_or((*input, &[]));
    into.extend_from_slice(taken);
    *input = rest;
}

/// Reads fixed fields from the front of a slice; each step is `None` when too few bytes are left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Fields<'a>(pub(crate) &'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (taken, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*taken)
    }

    pub(crate) fn u8(&mut self) -> Option<u8> {
        self.array().map(u8::from_le_bytes)
    }

    pub(crate) fn u16(&mut self) -> Option<u16> {
        self.array().map(u16::from_le_bytes)
    }

    pub(crate) fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }

    pub(crate) fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kind 1 carries 2 to 8 bytes, kind 2 exactly 4.
    const FRAMING: Framing = Framing {
        kind_bytes: 1,
        bounds: |kind| match kind {
            1 => Some(2..=8),
            2 => Some(4..=4),
            _ => None,
        },
    };

    type Outcome = Result<Option<(u16, Vec<u8>)>, FrameError>;

    fn read(bytes: &[u8]) -> (FrameBuffer, Outcome) {
        let mut buffer = FrameBuffer::new(FRAMING);
        let outcome = buffer.read(&mut { bytes });
        (buffer, outcome)
    }

    #[test]
    fn a_claimed_length_keeps_no_byte_more_than_came() {
        let (buffer, outcome) = read(&[9, 0, 0, 0, 1, 7]);
        assert_eq!(outcome, Ok(None));
        assert_eq!(buffer.payload, [7]);
        assert!(buffer.payload.capacity() <= 8, "{}", buffer.payload.capacity());
        assert_eq!(buffer.missing(), 7);
    }

    #[test]
    fn a_payload_over_its_bound_is_refused_before_a_byte_of_it_is_kept() {
        for length in [0xFFFF_FFFFu32, 0x8000_0000, 10] {
            let bytes = [length.to_le_bytes().as_slice(), &[1], &[0; 64]].concat();
            let (buffer, outcome) = read(&bytes);
            assert_eq!(outcome, Err(FrameError::Length { kind: 1, bytes: length as usize - 1 }));
            assert_eq!(buffer.payload.capacity(), 0);
        }
        let (buffer, outcome) = read(&[5, 0, 0, 0, 3, 0, 0]);
        assert_eq!((outcome, buffer.payload.capacity()), (Err(FrameError::Kind(3)), 0));
    }

    #[test]
    fn a_length_without_a_kind_is_refused_at_once() {
        assert_eq!(read(&[0, 0, 0, 0]).1, Err(FrameError::NoKind(0)));
    }

    #[test]
    fn the_reader_stops_at_the_end_of_a_frame() {
        let bytes = [3, 0, 0, 0, 1, 10, 11, 5, 0, 0, 0, 2, 20, 21, 22, 23, 99];
        let mut buffer = FrameBuffer::new(FRAMING);
        let mut input = bytes.as_slice();
        assert_eq!(buffer.read(&mut input), Ok(Some((1, vec![10, 11]))));
        assert_eq!(input.len(), 10);
        assert!(buffer.is_between_frames());
        assert_eq!(buffer.read(&mut input), Ok(Some((2, vec![20, 21, 22, 23]))));
        assert_eq!(input, [99]);
        assert_eq!(buffer.read(&mut input), Ok(None));
        assert!(!buffer.is_between_frames());
    }

    #[test]
    fn the_bounds_of_a_kind_are_met_exactly() {
        for (kind, bytes, good) in
            [(1, 1, false), (1, 2, true), (1, 8, true), (1, 9, false), (2, 3, false), (2, 4, true)]
        {
            assert_eq!(FRAMING.encode(kind, &vec![0; bytes]).is_ok(), good, "{bytes} bytes of kind {kind}");
        }
    }
}
