//! Admission: the one function through which every envelope comes, whether by gossip, push or sync.

use starling_wire::envelope::Envelope;

/// An envelope whose form, topic, epoch, effort and stamp were checked. Only admission makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked(Envelope);

impl Checked {
    /// The envelope.
    pub fn envelope(&self) -> &Envelope {
        &self.0
    }
}
