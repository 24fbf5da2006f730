//! Work that takes a core for longer than a step may: given to a worker thread, answered by
//! [`crate::turn::Input::Computed`]. In the simulator a job runs inline after a virtual delay.
//!
//! A job is whole in itself: what it needs goes into it, what it finds comes out, and nothing is lost when
//! it is thrown away, since the messenger makes it again after a restart.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand_core::CryptoRng;
use starling_e2ee::handshake::{OuterFirstContact, recognise};
use starling_e2ee::prekey::InboxKey;
use starling_e2ee::seal::{HeadPrefix, Parts, Tag};
use starling_relay::admit::{self, Checked, Route};
use starling_relay::penalty::Fault;
use starling_relay::pool::{PoolError, TagSearch};
use starling_relay::stamp;
use starling_wire::envelope::{Envelope, Epoch, Head, TopicId};
use starling_wire::network::{NetworkId, NetworkParameters};

/// Which worker a job is for: solving stamps takes a core for long, and everything else must not wait
/// behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lane {
    /// Verifying and trial opening: up to some milliseconds.
    Verify,
    /// Solving a stamp: seconds on `main`; may be cancelled.
    Stamp,
    /// Looking through the pool's files: up to some seconds, and none of it may hold up a verdict.
    Search,
}

/// Work for a worker.
pub enum Job {
    /// Solve the stamp of a sealed envelope.
    Stamp(StampJob),
    /// The whole admission of an envelope that a neighbour pushed to us.
    Admit {
        /// What came out of the push cell.
        bytes: Box<[u8]>,
        /// The network.
        parameters: Arc<NetworkParameters>,
        /// The topic that this node serves.
        topic: TopicId,
        /// This node's epoch.
        now: Epoch,
    },
    /// Look whether envelopes under unknown tags are first contacts to us.
    OpenFirstContacts {
        /// The inbox keys that live.
        keys: Vec<InboxKey>,
        /// The envelopes, with their arrival numbers.
        envelopes: Vec<(u64, Envelope)>,
    },
    /// Look up tags of ours in the pool.
    FindTags(Box<dyn TagSearch>),
}

/// A sealed envelope without its stamp.
///
/// Solving has no memory: what was tried in vain says nothing about the next nonce. So a solver may leave this job for
/// a more urgent one and begin again, and loses nothing but the nonce it was at.
pub struct StampJob {
    /// The network, which is in the stamp.
    pub network: NetworkId,
    /// All fields but stamp and effort.
    pub head: Head,
    /// The body.
    pub body: Vec<u8>,
    /// Effort to claim.
    pub effort: u32,
    /// Somebody waits for it: a text or a greeting. It goes before confirmations, records of the post-quantum ratchet
    /// and bundles, which wait for nobody's eyes.
    pub urgent: bool,
}

impl StampJob {
    /// Tries nonces until the stamp is found; `None` once `stop` says so, which is asked before each nonce, so every
    /// few milliseconds.
    pub fn solve(&self, stop: impl FnMut() -> bool, rng: &mut impl CryptoRng) -> Option<Envelope> {
        let challenge = stamp::challenge(&self.network, &self.head, self.effort, &self.body);
        let stamp = stamp::solve(challenge, self.effort, rng.next_u64(), stop)?;
        Envelope::assemble(&self.head, &stamp.0, self.effort, &self.body).ok()
    }
}

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stamp(stamp) => write!(f, "Stamp({})", stamp.effort),
            Self::Admit { bytes, .. } => write!(f, "Admit({})", bytes.len()),
            Self::OpenFirstContacts { envelopes, .. } => write!(f, "OpenFirstContacts({})", envelopes.len()),
            Self::FindTags(_) => f.write_str("FindTags"),
        }
    }
}

/// What came of a job.
pub enum JobResult {
    /// The stamped envelope; `None` when the job was cancelled.
    Stamped(Option<Envelope>),
    /// The pushed envelope may be published, or why not.
    Admitted(Result<Checked, Fault>),
    /// Those of the envelopes that are first contacts to us, with their arrival numbers.
    FirstContacts(Vec<(u64, OuterFirstContact)>),
    /// The envelopes under the tags, with their arrival numbers, or how the pool failed.
    TagsFound(Result<Vec<(u64, Envelope)>, PoolError>),
}

impl fmt::Debug for JobResult {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stamped(envelope) => write!(f, "Stamped({envelope:?})"),
            Self::Admitted(result) => write!(f, "Admitted({result:?})"),
            Self::FirstContacts(found) => write!(f, "FirstContacts({})", found.len()),
            Self::TagsFound(found) => write!(f, "TagsFound({:?})", found.as_ref().map(Vec::len)),
        }
    }
}

impl Job {
    /// Which worker it is for.
    pub fn lane(&self) -> Lane {
        match self {
            Self::Stamp(_) => Lane::Stamp,
            Self::Admit { .. } | Self::OpenFirstContacts { .. } => Lane::Verify,
            Self::FindTags(_) => Lane::Search,
        }
    }

    /// Does the work. Once `cancelled` is set, a stamp is given up within one nonce.
    pub fn run(self, cancelled: &AtomicBool, rng: &mut impl CryptoRng) -> JobResult {
        match self {
            Self::Stamp(stamp) => JobResult::Stamped(stamp.solve(|| cancelled.load(Ordering::Relaxed), rng)),
            Self::Admit { bytes, parameters, topic, now } => {
                JobResult::Admitted(admit::check(bytes, &parameters, topic, now, Route::Push))
            }
            Self::OpenFirstContacts { keys, envelopes } => {
                let open =
                    |(arrival, envelope): &(u64, Envelope)| Some((*arrival, recognise(&keys, &parts(envelope))?));
                JobResult::FirstContacts(envelopes.iter().filter_map(open).collect())
            }
            Self::FindTags(search) => JobResult::TagsFound(search.run()),
        }
    }
}

/// An envelope as the encryption sees it.
pub(crate) fn parts(envelope: &Envelope) -> Parts<'_> {
    Parts {
        prefix: HeadPrefix(Head::prefix(envelope.class(), envelope.topic(), envelope.epoch())),
        tag: Tag(envelope.tag().0),
        ephemeral: envelope.ephemeral(),
        body: envelope.body(),
    }
}
