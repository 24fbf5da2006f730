//! The closed list of error codes, and the body in which they travel.
//!
//! ```text
//! {"v":1,"error":{"code":"disk_full","message":"Only 21 MB are free; ...","hint":"Free some space, then send again.",
//!  "retry":"after_fix","field":null,"details":{"free_bytes":22020096}}}
//! ```

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What went wrong. Stable: scripts compare it. Each has one HTTP status and one exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// 400: not JSON, a wrong type, an unknown field, a value outside its range.
    BadRequest,
    /// 400: an invite with wrong characters, or no invite at all.
    InviteDamaged,
    /// 400: the end of the invite is missing.
    InviteCut,
    /// 401: no bearer token, or not the one in `api.json`.
    NoToken,
    /// 403: Host is no loopback name, or Origin is another site.
    BadOrigin,
    /// 403: the passphrase does not open the vault, or the next try comes too early.
    WrongPassphrase,
    /// 403: the page's code was used before, or is too old, or is none.
    BadCode,
    /// 404: no contact has this id.
    NoSuchContact,
    /// 404: no message has this id.
    NoSuchMessage,
    /// 404: no invite has this id.
    NoSuchInvite,
    /// 404: no contact request has this id.
    NoSuchRequest,
    /// 404: no session has this id.
    NoSuchSession,
    /// 404: no such file, or its message was deleted.
    NoSuchFile,
    /// 404: the API has no such path.
    NoSuchPath,
    /// 405: the path knows other methods.
    BadMethod,
    /// 409: the vault waits for its passphrase.
    Locked,
    /// 409: the vault is open already.
    NotLocked,
    /// 409: no passphrase is set.
    NoPassphrase,
    /// 409: the invite's account is a contact already.
    AlreadyContact,
    /// 409: another contact has this name.
    NameTaken,
    /// 409: the contact is blocked.
    ContactBlocked,
    /// 409: the invite was made by this very account.
    OwnInvite,
    /// 409: somebody else wrote the message.
    NotYours,
    /// 409: two device lists carry the contact's signature.
    DevicesForked,
    /// 409: so many contacts, or open invites, that no more are taken.
    TooMany,
    /// 410: this node used the invite before.
    InviteUsed,
    /// 410: the invite's time is over.
    InviteExpired,
    /// 410: this node withdrew the invite.
    InviteRevoked,
    /// 413: the body, or the text in it, is larger than allowed.
    TooLarge,
    /// 415: the body is not `application/json`.
    BadContentType,
    /// 422: the invite belongs to another network.
    WrongNetwork,
    /// 422: the invite was made by a newer version.
    VersionTooNew,
    /// 429: too much is waiting in the node; the same request may succeed soon.
    SlowDown,
    /// 429: so many messages wait for their recipients that no more are taken.
    OutboxFull,
    /// 500: the vault could not be read.
    VaultFailed,
    /// 503: the node is opening its files.
    Starting,
    /// 503: the node is saving and leaving.
    Stopping,
    /// 503: no answer in time; what was asked may still happen.
    TimedOut,
    /// 507: the disk is nearly full, so nothing is accepted that could be lost.
    DiskFull,
    /// 500: something that should not happen. Also read in the place of a code that is unknown here.
    #[serde(other)]
    Internal,
}

impl Code {
    /// Every code, for the documentation.
    pub const ALL: [Self; 40] = [
        Self::BadRequest,
        Self::InviteDamaged,
        Self::InviteCut,
        Self::NoToken,
        Self::BadOrigin,
        Self::WrongPassphrase,
        Self::BadCode,
        Self::NoSuchContact,
        Self::NoSuchMessage,
        Self::NoSuchInvite,
        Self::NoSuchRequest,
        Self::NoSuchSession,
        Self::NoSuchFile,
        Self::NoSuchPath,
        Self::BadMethod,
        Self::Locked,
        Self::NotLocked,
        Self::NoPassphrase,
        Self::AlreadyContact,
        Self::NameTaken,
        Self::ContactBlocked,
        Self::OwnInvite,
        Self::NotYours,
        Self::DevicesForked,
        Self::TooMany,
        Self::InviteUsed,
        Self::InviteExpired,
        Self::InviteRevoked,
        Self::TooLarge,
        Self::BadContentType,
        Self::WrongNetwork,
        Self::VersionTooNew,
        Self::SlowDown,
        Self::OutboxFull,
        Self::Internal,
        Self::VaultFailed,
        Self::Starting,
        Self::Stopping,
        Self::TimedOut,
        Self::DiskFull,
    ];

    /// HTTP status of the answer that carries it.
    pub const fn http_status(self) -> u16 {
        match self {
            Self::BadRequest | Self::InviteDamaged | Self::InviteCut => 400,
            Self::NoToken => 401,
            Self::BadOrigin | Self::WrongPassphrase | Self::BadCode => 403,
            Self::NoSuchContact
            | Self::NoSuchMessage
            | Self::NoSuchInvite
            | Self::NoSuchRequest
            | Self::NoSuchSession
            | Self::NoSuchFile
            | Self::NoSuchPath => 404,
            Self::BadMethod => 405,
            Self::Locked
            | Self::NotLocked
            | Self::NoPassphrase
            | Self::AlreadyContact
            | Self::NameTaken
            | Self::ContactBlocked
            | Self::OwnInvite
            | Self::NotYours
            | Self::DevicesForked
            | Self::TooMany => 409,
            Self::InviteUsed | Self::InviteExpired | Self::InviteRevoked => 410,
            Self::TooLarge => 413,
            Self::BadContentType => 415,
            Self::WrongNetwork | Self::VersionTooNew => 422,
            Self::SlowDown | Self::OutboxFull => 429,
            Self::Internal | Self::VaultFailed => 500,
            Self::Starting | Self::Stopping | Self::TimedOut => 503,
            Self::DiskFull => 507,
        }
    }

    /// Exit code of a command that ends with it.
    pub const fn exit_code(self) -> ExitCode {
        match self {
            Self::Internal => ExitCode::Unexpected,
            Self::BadRequest
            | Self::InviteDamaged
            | Self::InviteCut
            | Self::NoSuchPath
            | Self::BadMethod
            | Self::TooLarge
            | Self::BadContentType => ExitCode::Usage,
            Self::Stopping => ExitCode::NoNode,
            Self::NoToken
            | Self::BadOrigin
            | Self::WrongPassphrase
            | Self::BadCode
            | Self::Locked
            | Self::NotLocked
            | Self::NoPassphrase
            | Self::AlreadyContact
            | Self::NameTaken
            | Self::ContactBlocked
            | Self::NotYours
            | Self::DevicesForked
            | Self::TooMany
            | Self::SlowDown
            | Self::OutboxFull
            | Self::Starting => ExitCode::Refused,
            Self::NoSuchContact
            | Self::NoSuchMessage
            | Self::NoSuchInvite
            | Self::NoSuchRequest
            | Self::NoSuchSession
            | Self::NoSuchFile
            | Self::OwnInvite
            | Self::InviteUsed
            | Self::InviteExpired
            | Self::InviteRevoked
            | Self::WrongNetwork => ExitCode::NotFound,
            Self::TimedOut => ExitCode::NotInTime,
            Self::VaultFailed | Self::DiskFull => ExitCode::Disk,
            Self::VersionTooNew => ExitCode::Version,
        }
    }

    /// Whether the same request may succeed later.
    pub const fn retry(self) -> Retry {
        match self {
            Self::WrongPassphrase | Self::SlowDown | Self::OutboxFull | Self::Starting | Self::TimedOut => Retry::Later,
            Self::Locked
            | Self::DiskFull
            | Self::ContactBlocked
            | Self::DevicesForked
            | Self::TooMany
            | Self::VersionTooNew => Retry::AfterFix,
            _ => Retry::Never,
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// Exit codes of the command line. Documented and stable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum ExitCode {
    /// All went well.
    Ok = 0,
    /// Something that should not happen.
    Unexpected = 1,
    /// Wrong usage or bad input.
    Usage = 2,
    /// No node runs.
    NoNode = 3,
    /// Locked, refused, or a decision is needed.
    Refused = 4,
    /// Not found, expired or used.
    NotFound = 5,
    /// A conflict: another node, a port, a lock.
    Conflict = 6,
    /// Not reached in time; it stays queued.
    NotInTime = 7,
    /// Disk or vault.
    Disk = 8,
    /// Works, but not as it should.
    Degraded = 9,
    /// Versions do not fit.
    Version = 10,
    /// Could not be run here.
    Skipped = 77,
    /// Interrupted.
    Interrupted = 130,
}

impl From<ExitCode> for std::process::ExitCode {
    fn from(code: ExitCode) -> Self {
        Self::from(code as u8)
    }
}

/// Whether the same request may succeed later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// By itself; `details.retry_after_ms`, if there, says when.
    Later,
    /// Once somebody does what the hint says.
    AfterFix,
    /// Not without another request.
    #[serde(other)]
    Never,
}

/// One error of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("{message}")]
pub struct ApiError {
    /// What went wrong, for programs.
    pub code: Code,
    /// What went wrong, for people: whole sentences.
    pub message: String,
    /// What to do about it.
    #[serde(default)]
    pub hint: Option<String>,
    /// Whether the same request may succeed later.
    #[serde(default = "never")]
    pub retry: Retry,
    /// The field of the request that is wrong.
    #[serde(default)]
    pub field: Option<String>,
    /// Numbers behind the message.
    #[serde(default)]
    pub details: Option<Map<String, Value>>,
}

fn never() -> Retry {
    Retry::Never
}

impl ApiError {
    /// An error with the retry rule of its code and nothing else.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None, retry: code.retry(), field: None, details: None }
    }

    /// Says what to do.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names the field that is wrong.
    #[must_use]
    pub fn field(mut self, field: impl Into<String>) -> Self {
        self.field = Some(field.into());
        self
    }

    /// Adds a number behind the message.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.details.get_or_insert_default().insert(name.to_owned(), value.into());
        self
    }
}

/// The body of every answer that is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// The error.
    pub error: ApiError,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Versioned;

    #[test]
    fn an_error_has_the_shape_of_the_specification() {
        let error = ApiError::new(Code::DiskFull, "Only 21 MB are free; the message was not accepted.")
            .hint("Free some space, then send again.")
            .detail("free_bytes", 22_020_096);
        let text = concat!(
            r#"{"v":1,"error":{"code":"disk_full","message":"Only 21 MB are free; the message was not accepted.","#,
            r#""hint":"Free some space, then send again.","retry":"after_fix","field":null,"details":{"free_bytes":22020096}}}"#
        );
        assert_eq!(serde_json::to_string(&Versioned::new(ErrorBody { error })).unwrap(), text);
    }

    #[test]
    fn an_error_of_a_newer_node_is_still_read() {
        let text = r#"{"v":1,"error":{"code":"too_purple","message":"No.","retry":"on_tuesdays","new":[1]}}"#;
        let body: Versioned<ErrorBody> = serde_json::from_str(text).unwrap();
        assert_eq!(body.body.error, ApiError::new(Code::Internal, "No."));
    }

    #[test]
    fn every_code_has_one_name_and_an_error_status() {
        let names: std::collections::BTreeSet<String> = Code::ALL.iter().map(Code::to_string).collect();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!((400..600).contains(&code.http_status()), "{code}");
            assert!(code.exit_code() as u8 > 0 && (code.exit_code() as u8) <= 10, "{code}");
            assert_eq!(serde_json::from_str::<Code>(&format!("\"{code}\"")).unwrap(), code);
        }
    }

    #[test]
    fn codes_of_the_specification_have_its_status() {
        let table = [
            (400, "bad_request invite_damaged invite_cut"),
            (401, "no_token"),
            (403, "bad_origin wrong_passphrase"),
            (404, "no_such_contact no_such_message"),
            (409, "locked already_contact own_invite devices_forked"),
            (410, "invite_used invite_expired invite_revoked"),
            (413, "too_large"),
            (422, "wrong_network version_too_new"),
            (429, "slow_down"),
            (503, "starting stopping"),
            (507, "disk_full"),
        ];
        for (status, names) in table {
            for name in names.split(' ') {
                let code: Code = serde_json::from_str(&format!("\"{name}\"")).unwrap();
                assert_eq!((code.to_string().as_str(), code.http_status()), (name, status));
            }
        }
    }
}
