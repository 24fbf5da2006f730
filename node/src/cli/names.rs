//! NAME in a command: a local name, a unique prefix of one, or an id. An ambiguous one is listed, never guessed.

use starling_api::people::Contact;

use super::clean;
use super::failure::{Exit, Failure};
use super::hints;

/// Something that can be named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    /// `p_9x`
    pub(crate) id: String,
    /// Local name or label; may be empty.
    pub(crate) name: String,
}

/// What kind of thing is named, for the words of a failure.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kind {
    /// Code of the failure when there is none.
    pub(crate) code: &'static str,
    /// Before the quoted name: `Nobody here is called`.
    pub(crate) none: &'static str,
    /// The command that lists them.
    pub(crate) hint: &'static str,
}

/// Contacts.
pub(crate) const CONTACT: Kind = Kind { code: "no_such_contact", none: "Nobody here is called", hint: hints::CONTACTS };
/// Contact requests.
pub(crate) const REQUEST: Kind =
    Kind { code: "no_such_request", none: "There is no request of", hint: hints::REQUESTS };
/// Invites.
pub(crate) const INVITE: Kind = Kind { code: "no_such_invite", none: "There is no invite", hint: hints::INVITES };

/// The place of the one candidate that `typed` names: by id, by its whole name, by its whole name in any case, by a
/// prefix of it; each only if nothing before it fits.
///
/// # Errors
/// Nothing fits, or several do; those are listed.
pub(crate) fn pick(kind: Kind, typed: &str, candidates: &[Candidate]) -> Result<usize, Failure> {
    let folded = typed.to_lowercase();
    let rules: [&dyn Fn(&Candidate) -> bool; 4] = [
        &|candidate| candidate.id.eq_ignore_ascii_case(typed),
        &|candidate| candidate.name == typed,
        &|candidate| candidate.name.to_lowercase() == folded,
        &|candidate| !folded.is_empty() && candidate.name.to_lowercase().starts_with(&folded),
    ];
    for fits in rules {
        let found: Vec<usize> =
            (0..candidates.len()).filter(|place| candidates.get(*place).is_some_and(fits)).collect();
        match found.as_slice() {
            [] => {}
            [one] => return Ok(*one),
            several => return Err(ambiguous(typed, several.iter().filter_map(|place| candidates.get(*place)))),
        }
    }
    let message = format!("{} '{}'.", kind.none, clean::line(typed));
    Err(Failure::new(Exit::NotFound, kind.code, message).hint(kind.hint))
}

fn ambiguous<'list>(typed: &str, several: impl Iterator<Item = &'list Candidate>) -> Failure {
    let named: Vec<String> =
        several.map(|candidate| format!("{} ({})", clean::line(&candidate.name), candidate.id)).collect();
    Failure::new(
        Exit::Usage,
        "ambiguous_name",
        format!("'{}' may be {}. Write more of the name, or the id.", clean::line(typed), named.join(", ")),
    )
    .detail("candidates", named)
}

/// The contact that `typed` names.
///
/// # Errors
/// As [`pick`].
pub(crate) fn contact(typed: &str, contacts: Vec<Contact>) -> Result<Contact, Failure> {
    let candidate = |contact: &Contact| Candidate { id: contact.id.to_string(), name: contact.name.clone() };
    let candidates: Vec<Candidate> = contacts.iter().map(candidate).collect();
    let place = pick(CONTACT, typed, &candidates)?;
    contacts.into_iter().nth(place).ok_or_else(|| Failure::unexpected("The list of contacts changed."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn candidates() -> Vec<Candidate> {
        let people =
            [("p_1", "Ana"), ("p_2", "Anatol"), ("p_3", "Bob"), ("p_4", "bob"), ("p_5", "Élise"), ("p_6", "p_1")];
        people.map(|(id, name)| Candidate { id: id.to_owned(), name: name.to_owned() }).to_vec()
    }

    #[test]
    fn a_whole_name_wins_over_a_prefix_and_an_id_over_both() {
        let list = candidates();
        for (typed, place) in
            [("Ana", 0), ("ana", 0), ("Anat", 1), ("Bob", 2), ("bob", 3), ("él", 4), ("P_1", 0), ("p_6", 5)]
        {
            assert_eq!(pick(CONTACT, typed, &list), Ok(place), "{typed}");
        }
    }

    #[test]
    fn what_is_ambiguous_is_listed_and_what_is_missing_is_said() {
        let failure = pick(CONTACT, "An", &candidates()).unwrap_err();
        assert_eq!(failure.message, "'An' may be Ana (p_1), Anatol (p_2). Write more of the name, or the id.");
        assert_eq!(failure.exit, Exit::Usage);
        assert_eq!(pick(CONTACT, "BOB", &candidates()).unwrap_err().exit, Exit::Usage);
        let failure = pick(CONTACT, "Zed\u{1b}", &candidates()).unwrap_err();
        assert_eq!(failure.message, "Nobody here is called 'Zed<U+001B>'.");
        assert_eq!(failure.exit, Exit::NotFound);
        assert_eq!(pick(CONTACT, "", &candidates()).unwrap_err().exit, Exit::NotFound);
        assert_eq!(pick(CONTACT, "a", &[]).unwrap_err().exit, Exit::NotFound);
    }
}
