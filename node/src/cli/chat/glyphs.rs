//! From any text to the cells of a terminal. What comes out of here is the only text that is ever drawn: it has no
//! control character, nothing that acts instead of being seen, and every glyph has the width that is counted for it.
//!
//! Built on [`clean`], with two rules more, as a screen has fixed cells and a line of output has not: a character
//! carries a few marks and no more, and what would take no column of its own is shown as its code.

use unicode_segmentation::UnicodeSegmentation as _;
use unicode_width::UnicodeWidthStr as _;

use crate::cli::clean;

/// Characters of one glyph: a family of four with its joiners and skin tones has eleven.
const GLYPH_CHARACTERS_MAX: usize = 16;
/// Spaces of a tab.
const TAB: &str = "    ";

/// What fills one or two columns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Glyph {
    /// What is drawn.
    pub(crate) shown: String,
    /// Columns that it takes.
    pub(crate) width: u16,
    /// Where in the text the character begins that it shows, or a part of it.
    pub(crate) source: usize,
}

/// The glyphs of one line of text.
pub(crate) fn glyphs(text: &str) -> Vec<Glyph> {
    let mut glyphs = Vec::with_capacity(text.len());
    for (source, cluster) in text.grapheme_indices(true) {
        if cluster.len() == 1 && cluster.bytes().all(|byte| (b' '..=b'~').contains(&byte)) {
            glyphs.push(Glyph { shown: cluster.to_owned(), width: 1, source });
            continue;
        }
        let mut push = |shown: &str| {
            let width = u16::try_from(shown.width()).unwrap_or(u16::MAX);
            glyphs.push(Glyph { shown: shown.to_owned(), width, source });
        };
        if cluster == "\t" {
            TAB.split_inclusive(' ').for_each(push);
            continue;
        }
        let all = cluster.chars().count();
        let kept: String = cluster.chars().take(GLYPH_CHARACTERS_MAX).collect();
        let shown = visible(&kept);
        shown.graphemes(true).for_each(&mut push);
        if all > GLYPH_CHARACTERS_MAX {
            format!("<+{} marks>", all - GLYPH_CHARACTERS_MAX).graphemes(true).for_each(push);
        }
    }
    glyphs
}

/// A cluster as it can be seen.
fn visible(cluster: &str) -> String {
    let shown = clean::line(cluster);
    // Marks without anything to stand on; a cell that is wider than two would push the others aside.
    let fits = |glyph: &str| (1..=2).contains(&glyph.width());
    if shown.graphemes(true).all(fits) {
        return shown;
    }
    cluster.chars().map(|character| format!("<U+{:04X}>", u32::from(character))).collect()
}

/// Columns that glyphs take.
pub(crate) fn width(glyphs: &[Glyph]) -> usize {
    glyphs.iter().map(|glyph| usize::from(glyph.width)).sum()
}

/// Breaks a text into lines of at most `columns`, at spaces where there are any. The first line of each line of the
/// text begins with `first` spaces, those that go on with `rest`.
pub(crate) fn wrap(text: &str, columns: u16, first: u16, rest: u16) -> Vec<Vec<Glyph>> {
    let mut lines = Vec::new();
    let mut start = 0;
    for line in text.split('\n') {
        // "\r\n" is one line end.
        let shown = line.strip_suffix('\r').unwrap_or(line);
        let mut of_line = glyphs(shown);
        of_line.iter_mut().for_each(|glyph| glyph.source += start);
        start += line.len() + 1;
        break_line(of_line, columns, first, rest, &mut lines);
    }
    lines
}

fn break_line(glyphs: Vec<Glyph>, columns: u16, first: u16, rest: u16, lines: &mut Vec<Vec<Glyph>>) {
    // Without room for a wide glyph beside it there is no indent.
    let indent = |wanted: u16| if columns >= wanted + 8 { wanted } else { 0 };
    let mut line = spaces(indent(first), 0);
    let mut begin = line.len();
    let mut used = width(&line);
    for glyph in glyphs {
        if used + usize::from(glyph.width) > usize::from(columns) && line.len() > begin {
            let after_space = line.iter().rposition(|one| one.shown == " ").map(|place| place + 1);
            let tail = match after_space {
                Some(place) if place > begin && glyph.shown != " " => line.split_off(place),
                _ => Vec::new(),
            };
            let mut next = spaces(indent(rest), glyph.source);
            begin = next.len();
            next.extend(tail);
            lines.push(std::mem::replace(&mut line, next));
            used = width(&line);
        }
        used += usize::from(glyph.width);
        line.push(glyph);
    }
    lines.push(line);
}

fn spaces(count: u16, source: usize) -> Vec<Glyph> {
    (0..count).map(|_| Glyph { shown: " ".to_owned(), width: 1, source }).collect()
}

/// The begin of a text that fits `columns`, with an ellipsis in the place of the rest.
pub(crate) fn fitted(text: &str, columns: u16) -> Vec<Glyph> {
    let mut line = glyphs(text);
    if width(&line) <= usize::from(columns) {
        return line;
    }
    while width(&line) + 1 > usize::from(columns) && line.pop().is_some() {}
    if columns > 0 {
        line.push(Glyph { shown: "…".to_owned(), width: 1, source: text.len() });
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &[Glyph]) -> String {
        line.iter().map(|glyph| glyph.shown.as_str()).collect()
    }

    fn wrapped(text: &str, columns: u16) -> Vec<String> {
        wrap(text, columns, 0, 0).iter().map(|line| shown(line)).collect()
    }

    #[test]
    fn what_acts_is_shown_and_takes_the_columns_it_takes() {
        let line = glyphs("a\u{1b}[2J\u{202e}b\u{7}\u{9b}");
        assert_eq!(shown(&line), "a<U+001B>[2J<U+202E>b<U+0007><U+009B>");
        assert_eq!(width(&line), shown(&line).len());
        assert!(line.iter().all(|glyph| glyph.width == 1));
        assert_eq!(shown(&glyphs("\u{301}x")), "<U+0301>x");
        assert_eq!(shown(&glyphs("a\tb")), "a    b");
        assert_eq!(shown(&glyphs("\u{34f}a\u{34f}")), "<U+034F>a<U+034F>");
    }

    #[test]
    fn scripts_and_emoji_stay_what_they_are() {
        for text in ["Zoë", "李雷", "👩\u{200d}👩\u{200d}👧", "می\u{200c}خواهم", "e\u{301}"] {
            assert_eq!(shown(&glyphs(text)), text);
        }
        assert_eq!(width(&glyphs("李雷")), 4);
        assert_eq!(width(&glyphs("e\u{301}")), 1);
    }

    #[test]
    fn ten_thousand_marks_are_a_few_and_a_number() {
        let text = format!("a{}b", "\u{301}".repeat(10_000));
        let line = glyphs(&text);
        assert!(shown(&line).ends_with("<+9985 marks>b"), "{}", shown(&line));
        assert!(shown(&line).chars().filter(|character| *character == '\u{301}').count() < 16);
    }

    #[test]
    fn lines_break_at_spaces_and_never_get_too_wide() {
        assert_eq!(wrapped("one two three", 8), ["one two ", "three"]);
        assert_eq!(wrapped("abcdefghij", 4), ["abcd", "efgh", "ij"]);
        assert_eq!(wrapped("a\n\nb\r\nc", 4), ["a", "", "b", "c"]);
        assert_eq!(wrapped("李雷韩梅梅", 5), ["李雷", "韩梅", "梅"]);
        assert_eq!(wrapped("", 4), [""]);
        for columns in 1..12 {
            let text = format!("hi 李雷 {} \u{1b} there", "x".repeat(30));
            for line in wrap(&text, columns, 0, 0) {
                assert!(width(&line) <= usize::from(columns.max(2)), "{columns}: {line:?}");
            }
        }
        let indented = wrap("one two three", 12, 2, 4);
        assert_eq!(indented.iter().map(|line| shown(line)).collect::<Vec<_>>(), ["  one two ", "    three"]);
    }

    #[test]
    fn what_does_not_fit_ends_in_an_ellipsis() {
        assert_eq!(shown(&fitted("Anatol", 6)), "Anatol");
        assert_eq!(shown(&fitted("Anatol", 5)), "Anat…");
        assert_eq!(shown(&fitted("李雷雷", 4)), "李…");
        assert_eq!(shown(&fitted("Ana", 0)), "");
    }
}
