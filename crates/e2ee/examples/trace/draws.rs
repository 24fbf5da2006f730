//! Randomness that is written down: given by a trace and used up exactly, or drawn and noted.

use core::convert::Infallible;
use std::collections::VecDeque;

use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, TryCryptoRng, TryRng};

use crate::document::{Hex, Mismatch, mismatch};

/// Hands out byte strings by their length, those of one length in the order in which they are drawn.
pub(crate) struct Draws<'a> {
    given: VecDeque<Vec<u8>>,
    source: Option<&'a mut ChaCha20Rng>,
    drawn: Vec<Vec<u8>>,
    missing: Option<usize>,
}

impl<'a> Draws<'a> {
    /// Exactly these.
    pub(crate) fn given<'b>(secrets: impl IntoIterator<Item = &'b Hex>) -> Draws<'static> {
        let given = secrets.into_iter().map(|secret| secret.0.clone()).collect();
        Draws { given, source: None, drawn: Vec::new(), missing: None }
    }

    /// Fresh ones, noted.
    pub(crate) fn from(source: &'a mut ChaCha20Rng) -> Self {
        Self { given: VecDeque::new(), source: Some(source), drawn: Vec::new(), missing: None }
    }

    /// What has been drawn, or why a trace's secrets are not those that were needed.
    pub(crate) fn finish(self) -> Result<Vec<Vec<u8>>, Mismatch> {
        if let Some(bytes) = self.missing {
            return mismatch(format!("{bytes} random bytes are needed that the event does not give"));
        }
        match self.given.front() {
            Some(left) => mismatch(format!("the event gives a secret of {} bytes that nothing needs", left.len())),
            None => Ok(self.drawn),
        }
    }
}

impl TryRng for Draws<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes).map(|()| u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes).map(|()| u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        if let Some(source) = &mut self.source {
            source.fill_bytes(out);
        } else if let Some(at) = self.given.iter().position(|secret| secret.len() == out.len()) {
            out.copy_from_slice(&self.given.remove(at).expect("it is there"));
        } else {
            // A generator cannot fail, so what it hands out is noted as wrong. Not zeros: one draw is repeated on 0.
            out.fill(0xEE);
            self.missing = Some(out.len());
        }
        self.drawn.push(out.to_vec());
        Ok(())
    }
}

impl TryCryptoRng for Draws<'_> {}
