//! Every command that a text of this program names, in one place. A test parses each of them with the real parser,
//! so that no text names a command or a flag that this build does not have.

/// Stops it.
pub(crate) const STOP: &str = "starling stop";
/// Uses an invite.
pub(crate) const ADD: &str = "starling add <invite>";
/// Makes one.
pub(crate) const INVITE: &str = "starling invite";
/// Lists them.
pub(crate) const INVITES: &str = "starling invite list";
/// Names a node to ask.
pub(crate) const PEERS_ADD: &str = "starling peers add <address>";
/// Sets a passphrase.
pub(crate) const PASSPHRASE: &str = "starling passphrase";
/// Opens a locked node.
pub(crate) const UNLOCK: &str = "starling unlock";
/// The page, later.
pub(crate) const OPEN: &str = "starling open";
/// Who can be written to.
pub(crate) const CONTACTS: &str = "starling contacts";
/// Who asks to be.
pub(crate) const REQUESTS: &str = "starling requests";
/// Looks for what is wrong.
pub(crate) const DOCTOR: &str = "starling doctor";
/// Starts the node.
pub(crate) const UP: &str = "starling";
/// What is left to who forgot the passphrase. Literal, as in the failure table.
pub(crate) const FORGOTTEN: &str =
    "Nobody can reset it. With a backup: starling backup restore FILE. Without: starling wipe, then new invites.";
/// What can be read of a damaged vault, as a backup.
pub(crate) const SALVAGE: &str = "starling backup create --salvage FILE";
/// Goes on from a backup, where nothing can be read any more.
pub(crate) const RESTORE: &str = "With a backup: move the data directory away, then starling backup restore FILE";
/// Destroys what is on this computer.
pub(crate) const WIPE: &str = "starling wipe --yes-delete-everything";
/// Tells what is read, and shows what others read.
pub(crate) const RECEIPTS_ON: &str = "starling receipts on";
/// All fields of the configuration.
pub(crate) const PRINT_CONFIG: &str = "starling up --print-config";

/// All of the above, for the test.
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[
    STOP,
    ADD,
    INVITE,
    INVITES,
    PEERS_ADD,
    PASSPHRASE,
    UNLOCK,
    OPEN,
    CONTACTS,
    REQUESTS,
    DOCTOR,
    SALVAGE,
    UP,
    WIPE,
    RECEIPTS_ON,
    PRINT_CONFIG,
];

/// The life of a message.
pub(crate) fn trace(message: &str) -> String {
    format!("starling trace {}", quote(message))
}

/// Starts the node on a network other than the main one.
pub(crate) fn up_on(network: &str) -> String {
    format!("starling up --network {}", quote(network))
}

/// A first text.
pub(crate) fn say_hello(name: &str) -> String {
    format!("starling send {} 'hi'", quote(name))
}

/// Takes somebody's request.
pub(crate) fn accept(request: &str) -> String {
    format!("starling requests accept {}", quote(request))
}

/// Ends a block.
pub(crate) fn unblock(name: &str) -> String {
    format!("starling contacts unblock {}", quote(name))
}

/// What both sides compare.
pub(crate) fn verify(name: &str) -> String {
    format!("starling verify {}", quote(name))
}

/// Both sides compared.
pub(crate) fn mark(name: &str) -> String {
    format!("starling verify {} --mark", quote(name))
}

/// Decides between two device lists.
pub(crate) fn trust(name: &str) -> String {
    format!("starling contacts trust {}", quote(name))
}

/// A word as a shell reads it, harmless on a terminal.
pub(crate) fn quote(word: &str) -> String {
    let clean = super::clean::line(word);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-');
    if !clean.is_empty() && !clean.starts_with('-') && clean.bytes().all(plain) {
        return clean;
    }
    format!("'{}'", clean.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    /// The words of a hint as a shell would hand them over; every hint is plain words and single quotes.
    fn words(hint: &str) -> Vec<String> {
        let (mut words, mut word, mut quoted, mut any) = (Vec::new(), String::new(), false, false);
        let mut characters = hint.chars();
        while let Some(character) = characters.next() {
            match character {
                '\'' => (quoted, any) = (!quoted, true),
                '\\' if !quoted => word.extend(characters.next()),
                ' ' if !quoted => {
                    if any || !word.is_empty() {
                        words.push(std::mem::take(&mut word));
                    }
                    any = false;
                }
                other => word.push(other),
            }
        }
        if any || !word.is_empty() {
            words.push(word);
        }
        words
    }

    #[test]
    fn every_hint_is_a_command_of_this_build() {
        let made = ["Ana", "Ana Lisa", "O'Brien", "-x", ""]
            .map(|name| [say_hello(name), unblock(name), verify(name), mark(name), trust(name)]);
        let ids = [trace("m_7kq2"), accept("r_2b"), up_on("lab7")];
        for hint in ALL.iter().map(|hint| (*hint).to_owned()).chain(made.into_iter().flatten()).chain(ids) {
            let parsed = crate::cli::Cli::try_parse_from(words(&hint));
            // A name that begins with '-' is for the shell's `--`; nobody is called that by accident.
            if !hint.contains("'-x'") {
                assert!(parsed.is_ok(), "{hint}: {}", parsed.err().map(|error| error.to_string()).unwrap_or_default());
            }
        }
    }

    #[test]
    fn names_are_quoted_for_a_shell() {
        assert_eq!(say_hello("Ana"), "starling send Ana 'hi'");
        assert_eq!(words(&say_hello("O'Brien & Co"))[2], "O'Brien & Co");
        assert_eq!(quote("a\u{1b}[31m"), "'a<U+001B>[31m'");
    }
}
