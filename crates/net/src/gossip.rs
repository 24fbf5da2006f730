//! Gossip messages that wait for the verdict of the layers above.
//!
//! A message holds one of 512 credits until its verdict is in, or until gossipsub has forgotten it and a
//! verdict would do nothing. Without a credit a message is answered Ignore here: it is not lost, since
//! sync brings it later, and the flood stays outside.

use std::collections::BTreeMap;

use libp2p::gossipsub::MessageId;

use crate::address::NodeKey;
use crate::behaviour::GOSSIP_HISTORY;
use crate::config::GOSSIP_CREDITS;

/// After this time a verdict can do nothing any more: gossipsub's history, one heartbeat a second.
const FORGOTTEN_MS: u64 = GOSSIP_HISTORY.0 as u64 * 1_000;

/// A message that waits.
#[derive(Debug)]
pub(crate) struct Waiting {
    /// gossipsub's name of the message.
    pub(crate) message: MessageId,
    /// Who brought it first.
    pub(crate) peer: NodeKey,
    since_ms: u64,
}

/// Tokens out, each with its credit.
#[derive(Debug, Default)]
pub(crate) struct Tokens {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

impl Tokens {
    /// A token for a message; `None` when all credits are out.
    pub(crate) fn take(&mut self, message: MessageId, peer: NodeKey, now_ms: u64) -> Option<u64> {
        if self.waiting.len() >= GOSSIP_CREDITS {
            return None;
        }
        self.next += 1;
        self.waiting.insert(self.next, Waiting { message, peer, since_ms: now_ms });
        Some(self.next)
    }

    /// Returns the credit; `None` when the token was answered before or has expired.
    pub(crate) fn answer(&mut self, token: u64) -> Option<Waiting> {
        self.waiting.remove(&token)
    }

    /// Takes back the credits of messages that gossipsub has forgotten.
    pub(crate) fn expire(&mut self, now_ms: u64) {
        while let Some(oldest) = self.waiting.first_entry() {
            if now_ms.saturating_sub(oldest.get().since_ms) < FORGOTTEN_MS {
                break;
            }
            oldest.remove();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credits_run_out_come_back_and_expire() {
        let mut tokens = Tokens::default();
        let peer = NodeKey([1; 32]);
        let message = || MessageId::new(b"m");
        let taken: Vec<u64> = (0..GOSSIP_CREDITS).map_while(|_| tokens.take(message(), peer, 0)).collect();
        assert_eq!(taken.len(), GOSSIP_CREDITS);
        assert_eq!(tokens.take(message(), peer, 0), None);
        assert!(tokens.answer(taken[3]).is_some());
        assert!(tokens.answer(taken[3]).is_none(), "a second verdict finds nothing");
        let late = tokens.take(message(), peer, 500).expect("the credit came back");
        tokens.expire(FORGOTTEN_MS - 1);
        assert_eq!(tokens.take(message(), peer, 0), None);
        tokens.expire(FORGOTTEN_MS);
        assert!(tokens.answer(taken[0]).is_none(), "forgotten");
        assert!(tokens.answer(late).is_some(), "younger than the rest");
    }
}
