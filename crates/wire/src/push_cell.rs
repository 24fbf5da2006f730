//! The push cell: how an envelope reaches the node that publishes it, in a size that does not tell how
//! many hops are left or whether there is an envelope at all. SPEC: B14.
//!
//! ```text
//! cell             2,560 (class 1: 16,896)   a layer | random tail
//! layer            enc 32 | ciphertext, tag 16
//! exit plaintext   order 1 | envelope                       layer 2,097 (16,433)
//!                  1 publish; 2 drop: cover, the rest is ignored (zero when written)
//! guard plaintext  3 forward | node key 32 | exit layer     layer 2,178 (16,514)
//! ```
//!
//! This module knows the bytes only; sealing and opening of layers are in the crate `relay`.

use std::fmt;

use thiserror::Error;

use crate::envelope::Class;
use crate::frame::Fields;
use crate::limits::{CELL_LARGE_BYTES, CELL_SMALL_BYTES};

/// Bytes by which a layer is longer than its plaintext: X25519 public key 32, AEAD tag 16.
pub const LAYER_OVERHEAD_BYTES: usize = 48;

const PUBLISH: u8 = 1;
const DROP: u8 = 2;
const FORWARD: u8 = 3;

/// Bytes of a cell of a class.
pub const fn cell_bytes(class: Class) -> usize {
    match class {
        Class::Small => CELL_SMALL_BYTES,
        Class::Large => CELL_LARGE_BYTES,
    }
}

/// Bytes of the plaintext for the exit: order and envelope.
pub const fn exit_plaintext_bytes(class: Class) -> usize {
    class.envelope_bytes().saturating_add(1)
}

/// Bytes of the layer for the exit: 2,097 or 16,433.
pub const fn exit_layer_bytes(class: Class) -> usize {
    exit_plaintext_bytes(class).saturating_add(LAYER_OVERHEAD_BYTES)
}

/// Bytes of the plaintext for the guard: order, node key, exit layer.
pub const fn guard_plaintext_bytes(class: Class) -> usize {
    exit_layer_bytes(class).saturating_add(33)
}

/// Bytes of the layer for the guard: 2,178 or 16,514.
pub const fn guard_layer_bytes(class: Class) -> usize {
    guard_plaintext_bytes(class).saturating_add(LAYER_OVERHEAD_BYTES)
}

/// Why bytes are not a push cell or not the plaintext of one: the sender's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CellError {
    /// The length is that of no cell, layer or plaintext of its class.
    #[error("a push cell cannot have {bytes} bytes here")]
    Length {
        /// Bytes received.
        bytes: usize,
    },
    /// The order is none that this hop knows.
    #[error("push order {0} does not exist")]
    Order(u8),
}

/// A cell of a right length; nothing else about it can be known before it is opened.
#[derive(Clone, PartialEq, Eq)]
pub struct PushCell {
    bytes: Box<[u8]>,
    class: Class,
}

impl fmt::Debug for PushCell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PushCell({:?})", self.class)
    }
}

impl PushCell {
    /// Takes `bytes` as a cell; the length decides the class.
    ///
    /// # Errors
    /// [`CellError::Length`] when it is that of no class.
    pub fn parse(bytes: impl Into<Box<[u8]>>) -> Result<Self, CellError> {
        let bytes = bytes.into();
        let class = match bytes.len() {
            CELL_SMALL_BYTES => Class::Small,
            CELL_LARGE_BYTES => Class::Large,
            bytes => return Err(CellError::Length { bytes }),
        };
        Ok(Self { bytes, class })
    }

    /// Puts a cell together from its first layer and the random bytes that fill it up.
    ///
    /// # Errors
    /// [`CellError::Length`] when `layer` is no layer of this class or the two do not fill the cell.
    pub fn assemble(class: Class, layer: &[u8], tail: &[u8]) -> Result<Self, CellError> {
        let bytes = [layer, tail].concat();
        let is_layer = layer.len() == exit_layer_bytes(class) || layer.len() == guard_layer_bytes(class);
        if !is_layer || bytes.len() != cell_bytes(class) {
            return Err(CellError::Length { bytes: bytes.len() });
        }
        Self::parse(bytes)
    }

    /// All bytes: 2,560 or 16,896.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Class of the envelope that it can carry.
    pub const fn class(&self) -> Class {
        self.class
    }

    /// The bytes that are the layer if this hop is the exit.
    pub fn exit_layer(&self) -> &[u8] {
        self.bytes.get(..exit_layer_bytes(self.class)).unwrap_or_default()
    }

    /// The bytes that are the layer if this hop is the guard.
    pub fn guard_layer(&self) -> &[u8] {
        self.bytes.get(..guard_layer_bytes(self.class)).unwrap_or_default()
    }
}

/// What a cell tells its exit to do.
#[derive(Clone, PartialEq, Eq)]
pub enum ExitPlaintext {
    /// Admit these bytes as an envelope and publish them.
    Publish(Box<[u8]>),
    /// Nothing: the cell was cover.
    Drop,
}

impl fmt::Debug for ExitPlaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Publish(bytes) => write!(f, "Publish({} bytes)", bytes.len()),
            Self::Drop => f.write_str("Drop"),
        }
    }
}

impl ExitPlaintext {
    /// The plaintext of an exit layer of `class`.
    ///
    /// # Errors
    /// [`CellError::Length`] when the envelope is not of that class.
    pub fn encode(&self, class: Class) -> Result<Vec<u8>, CellError> {
        let mut plaintext = Vec::with_capacity(exit_plaintext_bytes(class));
        match self {
            Self::Publish(envelope) if envelope.len() == class.envelope_bytes() => {
                plaintext.push(PUBLISH);
                plaintext.extend_from_slice(envelope);
            }
            Self::Publish(envelope) => return Err(CellError::Length { bytes: envelope.len() }),
            Self::Drop => {
                plaintext.push(DROP);
                plaintext.resize(exit_plaintext_bytes(class), 0);
            }
        }
        Ok(plaintext)
    }

    /// Takes the plaintext of an exit layer of `class`.
    ///
    /// # Errors
    /// [`CellError`], the sender's fault.
    pub fn decode(plaintext: &[u8], class: Class) -> Result<Self, CellError> {
        let length = CellError::Length { bytes: plaintext.len() };
        let [order, envelope @ ..] = plaintext else { return Err(length) };
        if envelope.len() != class.envelope_bytes() {
            return Err(length);
        }
        match *order {
            PUBLISH => Ok(Self::Publish(envelope.into())),
            DROP => Ok(Self::Drop),
            order => Err(CellError::Order(order)),
        }
    }
}

/// What a cell tells its guard to do: pass `exit_layer` on to the node with `node_key`.
#[derive(Clone, PartialEq, Eq)]
pub struct GuardPlaintext {
    /// Ed25519 node key of the exit.
    pub node_key: [u8; 32],
    /// The layer that only the exit can open, 2,097 or 16,433 bytes.
    pub exit_layer: Box<[u8]>,
}

impl fmt::Debug for GuardPlaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Forward({} bytes)", self.exit_layer.len())
    }
}

impl GuardPlaintext {
    /// The plaintext of a guard layer of `class`.
    ///
    /// # Errors
    /// [`CellError::Length`] when the exit layer is not of that class.
    pub fn encode(&self, class: Class) -> Result<Vec<u8>, CellError> {
        if self.exit_layer.len() != exit_layer_bytes(class) {
            return Err(CellError::Length { bytes: self.exit_layer.len() });
        }
        Ok([&[FORWARD], self.node_key.as_slice(), &self.exit_layer].concat())
    }

    /// Takes the plaintext of a guard layer of `class`.
    ///
    /// # Errors
    /// [`CellError`], the sender's fault.
    pub fn decode(plaintext: &[u8], class: Class) -> Result<Self, CellError> {
        let length = CellError::Length { bytes: plaintext.len() };
        if plaintext.len() != guard_plaintext_bytes(class) {
            return Err(length);
        }
        let mut fields = Fields(plaintext);
        match fields.u8().ok_or(length)? {
            FORWARD => {}
            order => return Err(CellError::Order(order)),
        }
        let node_key = fields.array().ok_or(length)?;
        Ok(Self { node_key, exit_layer: fields.0.into() })
    }
}

/// The one byte by which a node answers a cell on the stream `push/1`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PushAnswer {
    /// 0: it was taken.
    Taken,
    /// 1: it was refused; the sender takes another path.
    Refused,
}

impl PushAnswer {
    /// The byte on the wire.
    pub const fn byte(self) -> u8 {
        match self {
            Self::Taken => 0,
            Self::Refused => 1,
        }
    }

    /// The answer of a byte; every byte but 0 is a refusal.
    pub const fn from_byte(byte: u8) -> Self {
        match byte {
            0 => Self::Taken,
            _ => Self::Refused,
        }
    }
}

/// Fuzz entry: cells and plaintexts of both classes.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    if let Ok(cell) = PushCell::parse(data) {
        assert_eq!(cell.as_bytes(), data);
        assert_eq!(cell.exit_layer().len(), exit_layer_bytes(cell.class()));
        assert_eq!(cell.guard_layer().len(), guard_layer_bytes(cell.class()));
    }
    for class in [Class::Small, Class::Large] {
        if let Ok(plaintext @ ExitPlaintext::Publish(_)) = ExitPlaintext::decode(data, class) {
            assert_eq!(plaintext.encode(class).as_deref(), Ok(data));
        }
        if let Ok(plaintext) = GuardPlaintext::decode(data, class) {
            assert_eq!(plaintext.encode(class).as_deref(), Ok(data));
        }
    }
}
