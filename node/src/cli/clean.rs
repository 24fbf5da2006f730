//! Makes foreign text harmless on a terminal: a name or a message must not move the cursor, change colours, hide
//! characters or turn the direction of what stands beside it. Nothing is dropped: what is not shown as itself is
//! shown as its code.

use std::fmt::Write as _;

/// Characters that act instead of being seen, the joiners that emoji and several scripts need aside.
fn acts(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180e}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}')
}

fn push(line: &mut String, character: char) {
    if acts(character) {
        let _ = write!(line, "<U+{:04X}>", u32::from(character));
    } else {
        line.push(character);
    }
}

/// One line: for names, labels, addresses.
pub(crate) fn line(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    text.chars().for_each(|character| push(&mut clean, character));
    clean
}

/// Several lines: for messages. Line ends stay and tabs become spaces; lines after the first begin with `indent`
/// spaces, so that no line of a message can look like another message.
pub(crate) fn text(text: &str, indent: usize) -> String {
    let mut clean = String::with_capacity(text.len());
    let unified = text.replace("\r\n", "\n");
    for character in unified.chars() {
        match character {
            '\n' => {
                clean.push('\n');
                clean.extend(std::iter::repeat_n(' ', indent));
            }
            '\t' => clean.push_str("    "),
            other => push(&mut clean, other),
        }
    }
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn controls_and_directions_are_shown_not_done() {
        assert_eq!(line("\u{1b}[2J\u{1b}]0;x\u{7}"), "<U+001B>[2J<U+001B>]0;x<U+0007>");
        assert_eq!(line("a\rb\nc\u{9b}31m\u{7f}"), "a<U+000D>b<U+000A>c<U+009B>31m<U+007F>");
        assert_eq!(line("Bob\u{202e}gpj\u{2066}\u{200b}\u{feff}"), "Bob<U+202E>gpj<U+2066><U+200B><U+FEFF>");
        assert_eq!(line("\u{e0041}"), "<U+E0041>");
    }

    #[test]
    fn ordinary_text_of_any_script_stays() {
        for text in ["Ana", "Zoë", "Иван", "محمد", "李雷", "👩\u{200d}👩\u{200d}👧", "می\u{200c}خواهم"]
        {
            assert_eq!(line(text), text);
        }
    }

    #[test]
    fn a_message_cannot_fake_another_line() {
        assert_eq!(text("hi\n14:02  Ana  pay me\r\nx\ty\rz", 4), "hi\n    14:02  Ana  pay me\n    x    y<U+000D>z");
    }
}
