//! The text of an invite: base32 as people copy it out of mails and chats. SPEC: B16.
//!
//! What those add (line breaks, quote marks) is dropped. The rest is decoded as far as it goes, since the
//! header at its front says how long it should be and so which damage it took.

use data_encoding::BASE32_NOPAD;

use super::{INVITE_PREFIX, Invite, InviteError, checksum_holds, damage, length_of};
use crate::limits::INVITE_TEXT_BYTES_MAX;

impl Invite {
    /// The text of the invite, `starling:` in lower case and base32 in upper case.
    ///
    /// # Errors
    /// As [`Self::encode`].
    pub fn to_text(&self) -> Result<String, InviteError> {
        Ok(format!("{INVITE_PREFIX}{}", BASE32_NOPAD.encode(&self.encode()?)))
    }

    /// Reads the text of an invite as people paste it.
    ///
    /// # Errors
    /// [`InviteError`], which tells the kinds of damage apart.
    pub fn parse(text: &str) -> Result<Self, InviteError> {
        if text.len() > INVITE_TEXT_BYTES_MAX {
            return Err(InviteError::NotAnInvite);
        }
        let text: String = text.chars().filter(|char| !is_noise(*char)).collect();
        let (prefix, rest) = text.split_at_checked(INVITE_PREFIX.len()).ok_or(InviteError::NotAnInvite)?;
        if !prefix.eq_ignore_ascii_case(INVITE_PREFIX) {
            return Err(InviteError::NotAnInvite);
        }
        let good: Vec<u8> = rest.chars().map_while(base32_value).collect();
        let (bytes, _) = pack(&good);
        if let Some(length) = length_of(&bytes) {
            let symbols = symbols_of(length);
            if let Some((whole, 0)) = good.get(..symbols).map(pack)
                && checksum_holds(&whole)
            {
                return if rest.chars().count() > symbols { Err(InviteError::Trailing) } else { Self::decode(&whole) };
            }
        }
        if rest.chars().count() > good.len() { Err(InviteError::Mistyped) } else { Err(damage(&bytes)) }
    }
}

/// What mail programs, chats and terminals put between the characters of a copied line.
fn is_noise(char: char) -> bool {
    char.is_whitespace()
        || matches!(char, '>' | '<' | '"' | '\'' | '`' | '\u{AD}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
        || matches!(char, '\u{2018}'..='\u{201F}' | '\u{AB}' | '\u{BB}' | '\u{2039}' | '\u{203A}')
}

fn base32_value(char: char) -> Option<u8> {
    let byte = u8::try_from(char).ok()?.to_ascii_uppercase();
    match byte {
        b'A'..=b'Z' => byte.checked_sub(b'A'),
        b'2'..=b'7' => byte.checked_sub(b'2').map(|digit| digit.saturating_add(26)),
        _ => None,
    }
}

/// Base32 characters of `bytes` bytes.
fn symbols_of(bytes: usize) -> usize {
    bytes.saturating_mul(8).div_ceil(5)
}

/// Bytes of five-bit symbols, and the bits that are left over (0 in a proper text).
fn pack(symbols: &[u8]) -> (Vec<u8>, u16) {
    let mut bytes = Vec::with_capacity(symbols.len());
    let (mut held, mut held_bits) = (0u16, 0u32);
    for symbol in symbols {
        held = held.wrapping_shl(5) | u16::from(*symbol);
        held_bits = held_bits.saturating_add(5);
        if held_bits >= 8 {
            held_bits = held_bits.saturating_sub(8);
            let [byte, _] = held.wrapping_shr(held_bits).to_le_bytes();
            bytes.push(byte);
            held &= 1u16.wrapping_shl(held_bits).saturating_sub(1);
        }
    }
    (bytes, held)
}
