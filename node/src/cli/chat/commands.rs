//! What a line that begins with a slash means. Two slashes begin a text with one.

use crate::cli::spans;

/// A line that was entered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Command {
    /// Not a command: a text to send.
    Text(String),
    /// `/help`
    Help,
    /// `/quit`
    Quit,
    /// `/search WORDS`
    Search(String),
    /// `/expires SPAN`: seconds, 0 for never.
    Expires(u32),
    /// `/verify`
    Verify,
    /// `/trace`
    Trace,
    /// `/add LINK`
    Add(String),
    /// `/invite [NAME]`
    Invite(Option<String>),
}

/// What `/help` shows.
pub(crate) const HELP: &[&str] = &[
    "Enter            send                     Alt-Enter     new line",
    "Tab, Shift-Tab   list and conversation    Up, Down      choose in the list",
    "PageUp, PageDown scroll; Up, Down too while nothing is written; End: newest",
    "Esc              back                     Ctrl-C        end",
    "",
    "/search WORDS    find in this conversation: n or Up older, N or Down newer",
    "/expires 1d      what you write from now on disappears; /expires never",
    "/verify          the number and the words that both sides compare",
    "/trace           the life of your last message",
    "/add LINK        use an invite",
    "/invite [NAME]   make an invite for one person",
    "/quit            end",
    "//text           send a text that begins with a slash",
    "",
    "Where a message is:",
    "Waiting on this computer   it is on the disk here, and why it waits",
    "Left this computer         a neighbour took it",
    "Held by 7 nodes            so many neighbours say that they keep it, sealed",
    "Delivered 14:02            the contact's device confirmed it",
    "Read 14:05                 they read it; told where both have receipts on",
];

/// Reads a line.
///
/// # Errors
/// A sentence about what is wrong with the command.
pub(crate) fn parse(line: &str) -> Result<Command, String> {
    let Some(command) = line.strip_prefix('/') else { return Ok(Command::Text(line.to_owned())) };
    if command.starts_with('/') {
        return Ok(Command::Text(command.to_owned()));
    }
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    let wants = |example: &str| format!("/{name} wants more: {example}");
    Ok(match name {
        "help" | "?" => Command::Help,
        "quit" | "exit" | "q" => Command::Quit,
        "search" if rest.is_empty() => return Err(wants("/search WORDS")),
        "search" => Command::Search(rest.to_owned()),
        "expires" if rest.is_empty() => return Err(wants("/expires 1d, or /expires never")),
        "expires" => Command::Expires(spans::parse_expiry(rest)?),
        "verify" => Command::Verify,
        "trace" => Command::Trace,
        "add" if rest.is_empty() => return Err(wants("/add starling:...")),
        "add" => Command::Add(rest.to_owned()),
        "invite" => Command::Invite((!rest.is_empty()).then(|| rest.to_owned())),
        _ => return Err(format!("There is no command /{name}. /help lists them; //{name} sends it as a text.")),
    })
}

/// The line that sends this text.
pub(crate) fn line(text: &str) -> String {
    if text.starts_with('/') { format!("/{text}") } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_apart() {
        assert_eq!(parse("hi /quit"), Ok(Command::Text("hi /quit".to_owned())));
        assert_eq!(parse("//quit"), Ok(Command::Text("/quit".to_owned())));
        assert_eq!(line("/quit"), "//quit");
        assert_eq!(parse("/quit"), Ok(Command::Quit));
        assert_eq!(parse("/search  two words "), Ok(Command::Search("two words".to_owned())));
        assert_eq!(parse("/expires 1d"), Ok(Command::Expires(86_400)));
        assert_eq!(parse("/expires never"), Ok(Command::Expires(0)));
        assert_eq!(parse("/add starling:ab\ncd"), Ok(Command::Add("starling:ab\ncd".to_owned())));
        assert_eq!(parse("/invite"), Ok(Command::Invite(None)));
        assert_eq!(parse("/invite Bob B"), Ok(Command::Invite(Some("Bob B".to_owned()))));
        for wrong in ["/search", "/expires", "/expires soon", "/add", "/frob x", "/"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn help_fits_eighty_columns() {
        assert!(HELP.iter().all(|line| line.chars().count() <= 78));
    }
}
