//! What went wrong inside, in the words and codes of the API. SPEC: product 2.1 (the texts of the failure
//! table are literal) and 4.

use jiff::ZonedDateTime;
use jiff::tz::TimeZone;
use starling_api::{ApiError, Code, ContactId, Time};
use starling_messenger::turn::CommandError;
use starling_wire::invite::InviteError;

use crate::core::handle::{PassphraseError, Unavailable};

/// Bytes of a megabyte as people are told of it.
pub(crate) const MEGABYTE: u64 = 1024 * 1024;

/// The node is not in a state to answer.
pub(crate) fn unavailable(error: &Unavailable) -> ApiError {
    match error {
        Unavailable::Starting => {
            ApiError::new(Code::Starting, "The node is starting.").hint("Ask again in a moment: starling status")
        }
        Unavailable::Locked => {
            ApiError::new(Code::Locked, "The node is locked: it waits for its passphrase.").hint("starling unlock")
        }
        Unavailable::Stopping => ApiError::new(Code::Stopping, "The node is stopping."),
        Unavailable::Busy => slow_down(),
    }
}

/// Too much is waiting.
pub(crate) fn slow_down() -> ApiError {
    ApiError::new(Code::SlowDown, "Too many requests wait in the node.").hint("Ask again in a second.")
}

/// A passphrase was not accepted or set.
pub(crate) fn passphrase(error: &PassphraseError) -> ApiError {
    match error {
        PassphraseError::Wrong { retry_after_ms } => {
            ApiError::new(Code::WrongPassphrase, "That passphrase does not open this vault.")
                .detail("retry_after_ms", *retry_after_ms)
        }
        PassphraseError::TooEarly { retry_after_ms } => {
            let seconds = retry_after_ms.div_ceil(1_000);
            ApiError::new(Code::WrongPassphrase, format!("Wait {seconds} s before the next try."))
                .detail("retry_after_ms", *retry_after_ms)
        }
        PassphraseError::NotSet => {
            ApiError::new(Code::NoPassphrase, "No passphrase is set.").hint("Set one: starling passphrase")
        }
        PassphraseError::AlreadyOpen => ApiError::new(Code::NotLocked, "The node is not locked."),
        PassphraseError::Length => ApiError::new(Code::BadRequest, "A passphrase is 8 to 1,024 bytes.").field("new"),
        PassphraseError::Disk(reason) => {
            ApiError::new(Code::VaultFailed, format!("The key file could not be written: {reason}."))
                .hint("Free some space, then try again.")
        }
        PassphraseError::Unavailable(error) => unavailable(error),
    }
}

/// A text is no invite that can be used.
pub(crate) fn invite(error: InviteError) -> ApiError {
    let fault = |code| ApiError::new(code, error.to_string()).field("link");
    match error {
        InviteError::NotAnInvite | InviteError::Mistyped | InviteError::Trailing => fault(Code::InviteDamaged),
        InviteError::Contents { .. } => fault(Code::InviteDamaged),
        InviteError::Cut { arrived, expected } => {
            fault(Code::InviteCut).detail("arrived_bytes", arrived).detail("expected_bytes", expected)
        }
        InviteError::NewerVersion { version } => fault(Code::VersionTooNew).detail("version", version),
    }
}

/// The invite belongs elsewhere. `other` is the name of its network, if this node can know it.
pub(crate) fn wrong_network(other: Option<&str>, own: &str) -> ApiError {
    let belongs = match other {
        Some(name) => format!("It belongs to network '{name}'"),
        None => "It belongs to another network".to_owned(),
    };
    ApiError::new(Code::WrongNetwork, format!("{belongs}; this node is on '{own}'."))
        .hint(format!(
            "Ask for an invite to '{own}', or start a node of the other network: starling up --network NAME --data DIR"
        ))
        .field("link")
}

/// The core refused.
pub(crate) fn command(error: &CommandError) -> ApiError {
    match error {
        CommandError::NoSuchContact | CommandError::NoSuchMessage => missing(error),
        CommandError::NoSuchInvite | CommandError::NoSuchRequest => missing(error),
        CommandError::BadName => {
            ApiError::new(Code::BadRequest, "A name is 1 to 64 bytes of text without control characters.").field("name")
        }
        CommandError::NameTaken => {
            ApiError::new(Code::NameTaken, "Another contact has this name.").hint("Choose another name.").field("name")
        }
        CommandError::AlreadyContact(number) => {
            let contact = ContactId::new(number.0);
            ApiError::new(Code::AlreadyContact, "You have this contact already.").detail("contact", contact.to_string())
        }
        CommandError::OwnInvite => ApiError::new(Code::OwnInvite, "This is your own invite. It is for somebody else."),
        CommandError::InviteUsed { used_unix_ms } => {
            ApiError::new(Code::InviteUsed, format!("You used this invite on {}.", day(*used_unix_ms)))
                .hint("starling contacts")
                .detail("used", Time(*used_unix_ms).to_string())
        }
        CommandError::InviteExpired { expired_unix_ms } => {
            ApiError::new(Code::InviteExpired, format!("This invite expired on {}.", day(*expired_unix_ms)))
                .hint("Ask for a new one.")
                .detail("expired", Time(*expired_unix_ms).to_string())
        }
        CommandError::WrongNetwork => ApiError::new(Code::WrongNetwork, "It belongs to another network."),
        CommandError::TooLarge { bytes, limit_bytes } => {
            let (shown, limit) = (thousands(*bytes as u64), thousands(*limit_bytes as u64));
            ApiError::new(Code::TooLarge, format!("The text has {shown} bytes; {limit} fit in one message."))
                .hint("Send it in several messages.")
                .field("text")
                .detail("bytes", *bytes)
                .detail("limit_bytes", *limit_bytes)
        }
        CommandError::ExpiryTooLong { limit_s } => {
            let days = limit_s / 86_400;
            ApiError::new(Code::BadRequest, format!("A message disappears after {days} days at the most."))
                .field("expires_s")
                .detail("limit_s", *limit_s)
        }
        CommandError::BadEmoji => {
            ApiError::new(Code::BadRequest, "A reaction is at most 32 bytes, without spaces and control characters.")
                .field("emoji")
        }
        CommandError::NotYours => ApiError::new(Code::NotYours, "Somebody else wrote this message.")
            .hint("Only its writer edits it, or deletes it for both. You can delete it here alone: starling delete MESSAGE --for me"),
        CommandError::Deleted => ApiError::new(Code::NoSuchMessage, "The message was deleted."),
        CommandError::TooOld { limit_ms } => {
            let days = limit_ms / 86_400_000;
            ApiError::new(Code::BadRequest, format!("A message can be edited, or deleted for both, for {days} days."))
                .hint("You can delete it here alone: starling delete MESSAGE --for me")
                .detail("limit_days", *limit_ms / 86_400_000)
        }
        CommandError::EmptyFile | CommandError::BadVoice | CommandError::NoText => bad_file(error),
        CommandError::EmptyText => ApiError::new(Code::BadRequest, "The text is empty.").field("text"),
        CommandError::Blocked => ApiError::new(Code::ContactBlocked, "You blocked this contact."),
        CommandError::DiskFull { free_bytes } => disk_full(*free_bytes),
        CommandError::OutboxFull => {
            ApiError::new(Code::OutboxFull, "Too many messages wait for their recipients; this one was not accepted.")
                .hint("starling status")
        }
        CommandError::TooMany { limit } => {
            let limit_shown = thousands(*limit as u64);
            ApiError::new(Code::TooMany, format!("There are {limit_shown} already, and no more are taken."))
                .hint("Remove some first.")
                .detail("limit", *limit)
        }
    }
}

fn disk_full(free_bytes: u64) -> ApiError {
    let free = free_bytes / MEGABYTE;
    ApiError::new(Code::DiskFull, format!("Only {free} MB are free; the message was not accepted."))
        .hint("Free some space, then send again.")
        .detail("free_bytes", free_bytes)
}

fn missing(error: &CommandError) -> ApiError {
    match error {
        CommandError::NoSuchMessage => ApiError::new(Code::NoSuchMessage, "There is no such message."),
        CommandError::NoSuchInvite => {
            ApiError::new(Code::NoSuchInvite, "There is no such invite.").hint("starling invite list")
        }
        CommandError::NoSuchRequest => {
            ApiError::new(Code::NoSuchRequest, "There is no such request.").hint("starling requests")
        }
        _ => ApiError::new(Code::NoSuchContact, "There is no such contact.").hint("starling contacts"),
    }
}

/// A field of the request is wrong.
pub(crate) fn bad_field(field: &str, message: impl Into<String>) -> ApiError {
    ApiError::new(Code::BadRequest, message).field(field)
}

/// What is wrong about a file.
fn bad_file(error: &CommandError) -> ApiError {
    match error {
        CommandError::BadVoice => bad_field("attachments", "A voice note is Opus in Ogg, of at most 30 s."),
        CommandError::NoText => ApiError::new(Code::BadRequest, "Only a text has wordings: this message is a file."),
        _ => bad_field("attachments", "The file is empty."),
    }
}

/// The core answered something else than it was asked.
pub(crate) fn internal(what: &str) -> ApiError {
    tracing::error!(what, "the node answered its own API wrongly");
    ApiError::new(Code::Internal, "Something happened that should not. It is in the node's log.")
}

/// `21 Nov`, in this computer's time zone; with the year if it is not the present one.
pub(crate) fn day(unix_ms: u64) -> String {
    let zone = TimeZone::system();
    let then = ZonedDateTime::new(Time(unix_ms).timestamp(), zone.clone());
    let now = ZonedDateTime::new(jiff::Timestamp::now(), zone);
    let format = if then.year() == now.year() { "%-d %b" } else { "%-d %b %Y" };
    then.strftime(format).to_string()
}

/// `2,048`
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().filter_map(|group| str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use starling_api::Retry;
    use starling_messenger::turn::ContactNumber;

    use super::*;

    #[test]
    fn a_full_disk_is_told_as_the_specification_says() {
        let error = command(&CommandError::DiskFull { free_bytes: 22_020_096 });
        assert_eq!(error.message, "Only 21 MB are free; the message was not accepted.");
        assert_eq!(error.hint.as_deref(), Some("Free some space, then send again."));
        assert_eq!((error.code, error.retry), (Code::DiskFull, Retry::AfterFix));
        assert_eq!(error.details.unwrap()["free_bytes"], 22_020_096);
    }

    #[test]
    fn the_faults_of_an_invite_are_told_apart() {
        let told = [
            (InviteError::Mistyped, Code::InviteDamaged, "One or more characters are wrong. Copy it again."),
            (
                InviteError::Cut { arrived: 201, expected: Some(263) },
                Code::InviteCut,
                "Invite is cut: 201 of 263 bytes arrived.",
            ),
        ];
        for (error, code, message) in told {
            let fault = invite(error);
            assert_eq!((fault.code, fault.message.as_str()), (code, message));
        }
        assert_eq!(invite(InviteError::NewerVersion { version: 2 }).code, Code::VersionTooNew);
        let other = wrong_network(Some("main"), "lab7");
        assert_eq!(other.message, "It belongs to network 'main'; this node is on 'lab7'.");
        let used = command(&CommandError::InviteUsed { used_unix_ms: 1_700_000_000_000 });
        assert!(
            used.message.starts_with("You used this invite on 1") && used.message.ends_with(" Nov 2023."),
            "{used}"
        );
        assert_eq!(command(&CommandError::OwnInvite).code.http_status(), 409);
        let known = command(&CommandError::AlreadyContact(ContactNumber(7)));
        assert_eq!(known.details.unwrap()["contact"], "p_7");
    }

    #[test]
    fn a_wrong_passphrase_says_when_to_try_again() {
        let error = passphrase(&PassphraseError::Wrong { retry_after_ms: 2_000 });
        assert_eq!(error.message, "That passphrase does not open this vault.");
        assert_eq!((error.code, error.retry), (Code::WrongPassphrase, Retry::Later));
        assert_eq!(error.details.unwrap()["retry_after_ms"], 2_000);
        let early = passphrase(&PassphraseError::TooEarly { retry_after_ms: 3_001 });
        assert_eq!(early.message, "Wait 4 s before the next try.");
    }

    #[test]
    fn every_state_of_the_node_has_its_code() {
        let codes = [
            (Unavailable::Starting, Code::Starting),
            (Unavailable::Locked, Code::Locked),
            (Unavailable::Stopping, Code::Stopping),
            (Unavailable::Busy, Code::SlowDown),
        ];
        for (error, code) in codes {
            assert_eq!(unavailable(&error).code, code);
        }
    }

    #[test]
    fn large_numbers_are_grouped() {
        for (number, text) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(thousands(number), text);
        }
    }
}
