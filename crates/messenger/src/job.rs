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
    Stamp {
        /// The network, which is in the stamp.
        network: NetworkId,
        /// All fields but stamp and effort.
        head: Head,
        /// The body.
        body: Vec<u8>,
        /// Effort to claim.
        effort: u32,
    },
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

impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stamp { effort, .. } => write!(f, "Stamp({effort})"),
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
            Self::Stamp { .. } => Lane::Stamp,
            Self::Admit { .. } | Self::OpenFirstContacts { .. } => Lane::Verify,
            Self::FindTags(_) => Lane::Search,
        }
    }

    /// Does the work. Once `cancelled` is set, a stamp is given up within one nonce.
    pub fn run(self, cancelled: &AtomicBool, rng: &mut impl CryptoRng) -> JobResult {
        match self {
            Self::Stamp { network, head, body, effort } => {
                let challenge = stamp::challenge(&network, &head, effort, &body);
                let stop = || cancelled.load(Ordering::Relaxed);
                let solved = stamp::solve(challenge, effort, rng.next_u64(), stop);
                let assemble = |stamp: stamp::Stamp| Envelope::assemble(&head, &stamp.0, effort, &body).ok();
                JobResult::Stamped(solved.and_then(assemble))
            }
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
