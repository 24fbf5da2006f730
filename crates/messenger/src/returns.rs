//! Own envelopes that came back from the network and are gone again. SPEC: B9.
//!
//! That an envelope came back is proof that the network has it only as long as it is there. A power cut takes
//! the hours that are still open from a pool, at one neighbour or at a whole house of them, and a flood of
//! higher efforts may push it out of its hour. One's own pool is the witness: what reconciliation did not bring back
//! into it, no neighbour has. Then it is as if the envelope had never come back.

use rand_core::CryptoRng;
use starling_relay::pool::EnvelopePool;

use crate::messenger::Messenger;
use crate::post::{Post, PostId};

impl<P: EnvelopePool> Messenger<P> {
    /// Looks whether own envelopes that came back are still stored: those of open hours, or `all` within the
    /// pool's horizon. Alone nothing is to be learnt, and nothing can be done.
    pub(crate) fn check_returns(&mut self, all: bool, rng: &mut impl CryptoRng) {
        if self.carrier.links.is_empty() {
            return;
        }
        let posts = self.outbox.numbers().into_iter().map(PostId::Item).chain([PostId::Bundle]);
        for id in posts.collect::<Vec<_>>() {
            if self.post(id).is_some_and(|post| self.is_gone(post, all)) {
                self.forget_return(id, rng);
            }
        }
    }

    fn is_gone(&self, post: &Post, all: bool) -> bool {
        let epoch = self.epoch();
        let in_question = post.is_open(epoch) || (all && post.epoch() > self.pool.horizon(epoch));
        post.came_back && in_question && post.envelope().is_some_and(|envelope| !self.pool.contains(&envelope.key()))
    }

    /// While its hour is open the same bytes go out again; after that it is sealed anew.
    fn forget_return(&mut self, id: PostId, rng: &mut impl CryptoRng) {
        if let Some(post) = self.post_mut(id) {
            post.lost();
        }
        self.mark_post(id);
        self.push(id, rng);
    }
}
