//! Admission: the one function through which every envelope comes, whether by gossip, push or sync.
//! SPEC: B1, B2, B12.
//!
//! It is pure, so it runs on a worker beside the core. Cheap checks come first: length, version, class
//! and topic form (one hash), epoch, topic, effort, then R of the stamp (1 us), then the Equi-X proof
//! (some 50 us). Only what passed all of them is a [`Checked`], and nothing else enters a pool.

use std::collections::BTreeSet;
use std::sync::Arc;

use starling_wire::envelope::{Class, Envelope, EnvelopeError, EnvelopeId, Epoch, TopicId};
use starling_wire::network::{NetworkId, NetworkParameters};
use thiserror::Error;

use crate::penalty::Fault;
use crate::{expire, stamp};

/// How an envelope came, which decides how old it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Route {
    /// By gossip: the open hours, now-1 to now+1.
    Gossip,
    /// Pushed to us to be published: the open hours, as it goes on by gossip.
    Push,
    /// Pulled in a sync: any hour of the lifetime, with an hour of slack, to now+1.
    Sync,
}

/// An envelope whose form, topic, epoch, effort and stamp were checked. Only this module makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked(Envelope);

impl Checked {
    /// The envelope.
    pub fn envelope(&self) -> &Envelope {
        &self.0
    }

    /// The envelope, no longer known as checked.
    pub fn into_envelope(self) -> Envelope {
        self.0
    }
}

/// Takes `bytes` as an envelope of `topic` that came by `route` when this node's epoch was `now`.
///
/// # Errors
/// [`Fault`]: what the peer that sent it did wrong, which for [`Fault::EpochOutOfWindow`] is nothing.
pub fn check(
    bytes: impl Into<Arc<[u8]>>,
    parameters: &NetworkParameters,
    topic: TopicId,
    now: Epoch,
    route: Route,
) -> Result<Checked, Fault> {
    Rules::new(parameters, topic).check(bytes, now, route, |_| false)
}

/// Admission that remembers which stamps it found good: when the same bytes come again, by another
/// route or (in the simulator, whose nodes share one) to another node, only the form and the clock are
/// checked again. An id is the hash of all bytes, the stamp included, so the second stamp is the first.
#[derive(Debug)]
pub struct Gate {
    rules: Rules,
    good: VerifiedIds,
}

impl Gate {
    /// A gate of one network and topic that remembers `ids_max` to twice as many good ids, at about 40
    /// bytes each.
    pub fn new(parameters: &NetworkParameters, topic: TopicId, ids_max: usize) -> Self {
        Self { rules: Rules::new(parameters, topic), good: VerifiedIds::new(ids_max) }
    }

    /// As [`check`], but a stamp that this gate found good before is not verified again.
    ///
    /// # Errors
    /// As [`check`].
    pub fn check(&mut self, bytes: impl Into<Arc<[u8]>>, now: Epoch, route: Route) -> Result<Checked, Fault> {
        let checked = self.rules.check(bytes, now, route, |id| self.good.contains(id))?;
        self.good.insert(checked.envelope().id());
        Ok(checked)
    }
}

/// What admission needs to know of a network.
#[derive(Debug)]
struct Rules {
    network: NetworkId,
    small_efforts: [u32; 4],
    large_efforts: [u32; 4],
    lifetime_hours: u32,
    topic: TopicId,
}

impl Rules {
    fn new(parameters: &NetworkParameters, topic: TopicId) -> Self {
        Self {
            network: parameters.id(),
            small_efforts: parameters.efforts(Class::Small),
            large_efforts: parameters.efforts(Class::Large),
            lifetime_hours: parameters.lifetime_hours,
            topic,
        }
    }

    fn check(
        &self,
        bytes: impl Into<Arc<[u8]>>,
        now: Epoch,
        route: Route,
        verified_before: impl FnOnce(&EnvelopeId) -> bool,
    ) -> Result<Checked, Fault> {
        let envelope = Envelope::parse(bytes).map_err(|_| Fault::MalformedEnvelope)?;
        let hours = match route {
            Route::Gossip | Route::Push => expire::open_hours(now),
            Route::Sync => expire::kept_hours(now, self.lifetime_hours),
        };
        if !hours.contains(envelope.epoch()) {
            return Err(Fault::EpochOutOfWindow);
        }
        if envelope.topic() != self.topic {
            return Err(Fault::WrongTopic);
        }
        let efforts = match envelope.class() {
            Class::Small => &self.small_efforts,
            Class::Large => &self.large_efforts,
        };
        if !efforts.contains(&envelope.effort()) {
            return Err(Fault::WrongEffort);
        }
        if !verified_before(&envelope.id()) && !stamp::verify(&envelope, &self.network) {
            return Err(Fault::BadStamp);
        }
        Ok(Checked(envelope))
    }
}

/// Why bytes of our own disk are not the envelope that was stored. Nobody's fault: a torn write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum StoredError {
    /// They are no envelope at all.
    #[error("stored bytes are no envelope: {0}")]
    Form(#[from] EnvelopeError),
    /// They are another one than the index says.
    #[error("stored bytes are not the envelope of this id")]
    Id,
}

/// Takes back `bytes` that a pool stored under `id` when they were [`Checked`]. Hashing them again is
/// enough: the id covers every byte, the stamp too, so bytes that hash to it are the ones that were
/// checked, and the index that holds the id lies in our own directory, which no peer writes.
///
/// # Errors
/// [`StoredError`] when the slot is torn; it is a free slot then.
pub fn check_stored(bytes: impl Into<Arc<[u8]>>, id: &EnvelopeId) -> Result<Checked, StoredError> {
    let envelope = Envelope::parse(bytes)?;
    if envelope.id() == *id { Ok(Checked(envelope)) } else { Err(StoredError::Id) }
}

/// Ids of envelopes whose stamps held, exactly: a filter with false positives would admit bad stamps.
/// Two generations, so that the newest `ids_max` are always known.
#[derive(Debug)]
struct VerifiedIds {
    newer: BTreeSet<EnvelopeId>,
    older: BTreeSet<EnvelopeId>,
    ids_max: usize,
}

impl VerifiedIds {
    fn new(ids_max: usize) -> Self {
        Self { newer: BTreeSet::new(), older: BTreeSet::new(), ids_max }
    }

    fn contains(&self, id: &EnvelopeId) -> bool {
        self.newer.contains(id) || self.older.contains(id)
    }

    fn insert(&mut self, id: EnvelopeId) {
        if self.newer.len() >= self.ids_max {
            self.older = std::mem::take(&mut self.newer);
        }
        self.newer.insert(id);
    }
}

/// Fuzz entry point: any bytes, on every route. Nothing may panic, and without a good stamp nothing may
/// pass.
pub fn fuzz(data: &[u8]) {
    let parameters = NetworkParameters::test("fuzz");
    let topic = TopicId(0);
    let now = Envelope::parse(data).map_or(Epoch(0), |envelope| envelope.epoch());
    for route in [Route::Gossip, Route::Push, Route::Sync] {
        if let Ok(checked) = check(data, &parameters, topic, now, route) {
            assert!(stamp::verify(checked.envelope(), &parameters.id()), "admitted without a stamp");
        }
    }
}
