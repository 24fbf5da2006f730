//! What the node finds when it looks at itself: each finding with its cause and what to do next.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::id::ContactId;

/// How a finding is to be taken. The worse one is the greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Something is missing, unknown, or on its way.
    Warn,
    /// Messages do not come or go because of it.
    Fail,
}

impl Verdict {
    /// The word in the JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckName {
    /// Whether the node runs, and which.
    Node,
    /// Whether the vault is open.
    Vault,
    /// What protects its key.
    Protection,
    /// This computer's clock against those of the peers.
    Clock,
    /// Room on the disk.
    Disk,
    /// Whether peers are there, and answer.
    Peers,
    /// Where the node listens.
    Ports,
    /// Whether its own calls are answered, and over which transport.
    Outgoing,
    /// Whether others reach it.
    Reach,
    /// Whether a guest could join by the open invites.
    Invites,
    /// Whether messages to the contacts can be sealed.
    Contacts,
    /// Own messages that wait, and why.
    Messages,
    /// Also read in the place of a name that is unknown here.
    #[serde(other)]
    Other,
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Check {
    /// What was looked at. One name may have several findings.
    pub name: CheckName,
    /// How it is to be taken.
    pub verdict: Verdict,
    /// What was found, and why: a phrase for people, without a full stop.
    pub message: String,
    /// What to do next, the best first: commands, or sentences. Empty where there is nothing to do.
    pub next: Vec<String>,
}

/// `GET /v1/doctor`. While the vault is locked, only what can be seen without it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Doctor {
    /// The worst of all findings.
    pub verdict: Verdict,
    /// The findings, in the order in which one depends on another.
    pub checks: Vec<Check>,
}

/// Query of `GET /v1/doctor`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DoctorQuery {
    /// The contact about whom the findings on contacts and messages are to be, in more detail.
    #[serde(default)]
    pub contact: Option<ContactId>,
}
