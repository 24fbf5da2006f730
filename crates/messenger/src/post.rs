//! One envelope of one's own on its way: sealed, stamped, pushed through a neighbour, seen again. The
//! same for messages, acknowledgements and the bundle. SPEC: B9.1, B14.
//!
//! The sealed bytes are stored before the stamp is solved, the stamped ones before they leave, so that a
//! crash sends the same bytes again and no ciphertext is ever made twice. An own envelope goes out
//! through a neighbour only, and counts as carried when the network brings it back.

use std::collections::BTreeSet;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use starling_relay::expire;
use starling_wire::envelope::{Class, Envelope, EnvelopeId, Epoch, Head, Tag, TopicId};

use crate::delay;
use crate::turn::{LinkId, RequestId};

/// Which envelope of one's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum PostId {
    /// The bundle.
    Bundle,
    /// An outbox item, by its number.
    Item(u64),
}

/// Neighbours that must keep an envelope before it is left alone. SPEC: B9.2.
const HELD_ENOUGH: usize = 3;
/// Pushes after which the time between two of them doubles.
const PUSHES_BEFORE_BACKOFF: u32 = 4;
/// Longest time between two pushes of the same bytes.
const PUSH_INTERVAL_MAX_MS: u64 = 3_600_000;
/// Time after which a round of neighbours that all refused is tried again.
const REFUSED_RETRY_MS: u64 = 1_000;
/// Longest such time.
const REFUSED_RETRY_MAX_MS: u64 = 60_000;

/// A sealed envelope without its stamp.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Unstamped {
    /// Topic.
    pub(crate) topic: TopicId,
    /// Epoch in which it was sealed.
    pub(crate) epoch: Epoch,
    /// One-use tag.
    pub(crate) tag: Tag,
    /// Fresh public key.
    pub(crate) ephemeral: [u8; 32],
    /// Body, of the length that its class has.
    pub(crate) body: Vec<u8>,
}

impl Unstamped {
    /// The fields that come before the stamp.
    pub(crate) fn head(&self) -> Head {
        let class = if self.body.len() == Class::Large.body_bytes() { Class::Large } else { Class::Small };
        Head { class, topic: self.topic, epoch: self.epoch, tag: self.tag, ephemeral: self.ephemeral }
    }
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Form {
    Unstamped(Unstamped),
    Stamped { id: EnvelopeId, bytes: Vec<u8> },
}

/// What is known of its way in this run; a restart begins it anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Way {
    /// Neighbours pushed to in this round.
    tried: BTreeSet<LinkId>,
    /// The push that is not answered yet.
    in_flight: Option<(RequestId, LinkId)>,
    /// Neighbours that say they keep it, or forwarded it to us.
    holders: BTreeSet<LinkId>,
}

/// The envelope and how far it came, as it is stored.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Post {
    form: Form,
    epoch: Epoch,
    /// When it was sealed, ms since 1970.
    pub(crate) sealed_unix_ms: u64,
    /// Pushes so far.
    pub(crate) pushes: u32,
    /// A neighbour took it.
    pub(crate) taken: bool,
    /// It came back from the network.
    pub(crate) came_back: bool,
    /// The most neighbours at a time that said they keep it.
    pub(crate) held_by: u32,
    #[serde(skip)]
    way: Way,
}

impl Post {
    /// A freshly sealed envelope.
    pub(crate) fn new(unstamped: Unstamped, unix_ms: u64) -> Self {
        Self {
            epoch: unstamped.epoch,
            form: Form::Unstamped(unstamped),
            sealed_unix_ms: unix_ms,
            pushes: 0,
            taken: false,
            came_back: false,
            held_by: 0,
            way: Way::default(),
        }
    }

    /// What still needs a stamp.
    pub(crate) fn unstamped(&self) -> Option<&Unstamped> {
        match &self.form {
            Form::Unstamped(unstamped) => Some(unstamped),
            Form::Stamped { .. } => None,
        }
    }

    /// It has its stamp now.
    pub(crate) fn stamped(&mut self, envelope: &Envelope) {
        self.form = Form::Stamped { id: envelope.id(), bytes: envelope.as_bytes().to_vec() };
    }

    /// Its id, once it has a stamp.
    pub(crate) fn id(&self) -> Option<EnvelopeId> {
        match &self.form {
            Form::Unstamped(_) => None,
            Form::Stamped { id, .. } => Some(*id),
        }
    }

    /// The whole envelope, once it has a stamp.
    pub(crate) fn envelope(&self) -> Option<Envelope> {
        match &self.form {
            Form::Unstamped(_) => None,
            Form::Stamped { bytes, .. } => Envelope::parse(bytes.clone()).ok(),
        }
    }

    /// How large the envelope is.
    pub(crate) fn class(&self) -> Class {
        match &self.form {
            Form::Unstamped(unstamped) => unstamped.head().class,
            Form::Stamped { bytes, .. } if bytes.len() == Class::Large.envelope_bytes() => Class::Large,
            Form::Stamped { .. } => Class::Small,
        }
    }

    /// Epoch in which it was sealed.
    pub(crate) fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// Whether gossip carries its epoch at `now`. An epoch to come counts as closed: a clock was wrong when it
    /// was sealed, and nobody would take it until then.
    pub(crate) fn is_open(&self, now: Epoch) -> bool {
        expire::open_hours(now).contains(self.epoch)
    }

    /// Whether it is dated in an hour that no neighbour takes yet.
    pub(crate) fn is_ahead(&self, now: Epoch) -> bool {
        self.epoch > expire::open_hours(now).last
    }

    /// Whether a push of it makes sense now.
    pub(crate) fn wants_push(&self, now: Epoch) -> bool {
        self.id().is_some() && !self.came_back && self.way.in_flight.is_none() && self.is_open(now)
    }

    /// The push that waits for its answer.
    pub(crate) fn in_flight(&self) -> Option<RequestId> {
        self.way.in_flight.map(|(request, _)| request)
    }

    /// The neighbour from which an answer is awaited.
    pub(crate) fn in_flight_over(&self) -> Option<LinkId> {
        self.way.in_flight.map(|(_, link)| link)
    }

    /// Chooses a neighbour not tried in this round, one that answers if there is any; when all were tried, a new
    /// round begins.
    pub(crate) fn choose_link(
        &mut self,
        held: &[LinkId],
        is_silent: impl Fn(LinkId) -> bool,
        rng: &mut impl CryptoRng,
    ) -> Option<LinkId> {
        if !self.has_untried(held) {
            self.way.tried.clear();
        }
        let untried = held.iter().copied().filter(|link| !self.way.tried.contains(link));
        let (silent, answering): (Vec<_>, Vec<_>) = untried.partition(|&link| is_silent(link));
        let choice = if answering.is_empty() { silent } else { answering };
        choice.get(delay::pick(choice.len(), rng)?).copied()
    }

    /// Every neighbour may be asked again.
    #[cfg(test)]
    pub(crate) fn begin_round(&mut self) {
        self.way.tried.clear();
    }

    /// It was pushed over `link`.
    pub(crate) fn pushed(&mut self, request: RequestId, link: LinkId) {
        self.way.tried.insert(link);
        self.way.in_flight = Some((request, link));
        self.pushes = self.pushes.saturating_add(1);
    }

    /// The push `request` was answered: the link it was about, or `None` when it is not the present one.
    pub(crate) fn answered(&mut self, request: RequestId, taken: bool) -> Option<LinkId> {
        let (present, link) = self.way.in_flight?;
        if present != request {
            return None;
        }
        self.way.in_flight = None;
        self.taken |= taken;
        Some(link)
    }

    /// Whether a neighbour of `held` was not tried in this round.
    pub(crate) fn has_untried(&self, held: &[LinkId]) -> bool {
        held.iter().any(|link| !self.way.tried.contains(link))
    }

    /// How long to wait after the last push: `resend_ms` when it was taken, doubling after some pushes; a
    /// second, doubling likewise, when everybody refused.
    pub(crate) fn interval_ms(&self, resend_ms: u32) -> u64 {
        let resend_ms = u64::from(resend_ms);
        let (first_ms, most_ms) = match self.taken {
            true => (resend_ms, PUSH_INTERVAL_MAX_MS.max(resend_ms)),
            false => (REFUSED_RETRY_MS.min(resend_ms), REFUSED_RETRY_MAX_MS),
        };
        let doublings = self.pushes.saturating_sub(PUSHES_BEFORE_BACKOFF).min(16);
        first_ms.saturating_mul(1 << doublings).min(most_ms)
    }

    /// Nobody has it any more: as if it had never left.
    pub(crate) fn lost(&mut self) {
        (self.taken, self.came_back, self.held_by) = (false, false, 0);
        self.way.holders.clear();
        self.way.tried.clear();
    }

    /// `link` keeps it; whether the shown number of holders rose.
    pub(crate) fn held_by_link(&mut self, link: LinkId) -> bool {
        self.way.holders.insert(link);
        let holders = u32::try_from(self.way.holders.len()).unwrap_or(u32::MAX);
        let rose = holders > self.held_by;
        self.held_by = self.held_by.max(holders);
        rose
    }

    /// A link is gone: it is no longer one to count, nor one whose answer comes. Whether a push was in flight
    /// over it.
    pub(crate) fn link_down(&mut self, link: LinkId) -> bool {
        self.way.holders.remove(&link);
        self.way.tried.remove(&link);
        let broke = self.way.in_flight.is_some_and(|(_, over)| over == link);
        if broke {
            self.way.in_flight = None;
        }
        broke
    }

    /// Came back, and enough of `links` neighbours keep it: nothing more to do but wait. SPEC: B9.2.
    pub(crate) fn is_safe(&self, links: usize) -> bool {
        self.came_back && self.held_by as usize >= HELD_ENOUGH.min(links)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha20Rng;
    use rand_chacha::rand_core::SeedableRng;
    use starling_wire::limits::BODY_SMALL_BYTES;

    fn unstamped() -> Unstamped {
        Unstamped {
            topic: TopicId(0),
            epoch: Epoch(100),
            tag: Tag([1; 16]),
            ephemeral: [2; 32],
            body: vec![3; BODY_SMALL_BYTES],
        }
    }

    fn stamped() -> Post {
        let unstamped = unstamped();
        let envelope = Envelope::assemble(&unstamped.head(), &[0; 24], 1, &unstamped.body).unwrap();
        let mut post = Post::new(unstamped, 5);
        post.stamped(&envelope);
        post
    }

    #[test]
    fn a_refused_push_goes_to_another_neighbour_until_all_were_asked() {
        let mut rng = ChaCha20Rng::seed_from_u64(3);
        let held = [LinkId(1), LinkId(2), LinkId(3)];
        let mut post = stamped();
        let mut asked = BTreeSet::new();
        for request in 0..3 {
            assert!(post.wants_push(Epoch(101)));
            let link = post.choose_link(&held, |_| false, &mut rng).unwrap();
            post.pushed(RequestId(request), link);
            assert!(!post.wants_push(Epoch(101)));
            assert_eq!(post.answered(RequestId(99), true), None);
            assert_eq!(post.answered(RequestId(request), false), Some(link));
            asked.insert(link);
        }
        assert_eq!(asked.len(), 3);
        assert!(!post.has_untried(&held) && !post.taken);
        assert_eq!(post.interval_ms(600_000), 1_000);
        assert!(post.choose_link(&held, |_| false, &mut rng).is_some());
        assert!(post.choose_link(&[], |_| false, &mut rng).is_none());
        assert!(!post.wants_push(Epoch(102)));
        assert!(post.wants_push(Epoch(99)) && !post.wants_push(Epoch(98)) && post.is_ahead(Epoch(98)));
    }

    #[test]
    fn holders_are_counted_once_and_never_shrink() {
        let mut post = stamped();
        assert!(post.held_by_link(LinkId(1)));
        assert!(!post.held_by_link(LinkId(1)));
        post.link_down(LinkId(1));
        assert!(!post.held_by_link(LinkId(2)));
        assert_eq!(post.held_by, 1);
        post.came_back = true;
        assert!(post.is_safe(1) && !post.is_safe(2));
    }

    #[test]
    fn what_is_stored_comes_back_without_its_way() {
        let mut post = stamped();
        post.pushed(RequestId(1), LinkId(1));
        let bytes = crate::record::encode_record(&post);
        let mut back: Post = crate::record::decode_record(&bytes).unwrap();
        assert!(back.way == Way::default() && back.pushes == 1);
        assert_eq!(back.envelope(), post.envelope());
        back.pushed(RequestId(1), LinkId(1));
        assert_eq!((back.pushes, back.way), (2, post.way));
    }
}
