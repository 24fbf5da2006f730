//! The line in which a text is written: the text, the cursor in it, and what keys do to both.

use unicode_segmentation::{GraphemeCursor, UnicodeSegmentation as _};

use super::glyphs::{self, Glyph};

/// Bytes of a text that is being written: more than any message may have, so that the node says what is too long.
const TEXT_BYTES_MAX: usize = 64_000;

/// A text that is being written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Composer {
    text: String,
    /// Where the next character goes: a byte of `text` at which a visible character begins, or its end.
    cursor: usize,
}

/// A composer as it is drawn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Drawn {
    /// Lines.
    pub(crate) lines: Vec<Vec<Glyph>>,
    /// Line of the cursor.
    pub(crate) row: usize,
    /// Columns before the cursor.
    pub(crate) column: usize,
}

impl Composer {
    /// What is written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Whether nothing is.
    pub(crate) fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Takes the text out.
    pub(crate) fn take(&mut self) -> String {
        self.cursor = 0;
        std::mem::take(&mut self.text)
    }

    /// Puts a text back, before what was written meanwhile.
    pub(crate) fn put_back(&mut self, text: &str) {
        let separator = if self.is_empty() { "" } else { "\n" };
        self.text = format!("{text}{separator}{}", self.text);
        self.cursor = self.text.len();
    }

    /// Writes at the cursor. Line ends stay; of the other control characters only tabs do, as nobody writes them.
    pub(crate) fn insert(&mut self, text: &str) {
        let unified = text.replace("\r\n", "\n").replace('\r', "\n");
        let mut kept: String = unified.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect();
        let mut room = TEXT_BYTES_MAX.saturating_sub(self.text.len()).min(kept.len());
        while !kept.is_char_boundary(room) {
            room -= 1;
        }
        kept.truncate(room);
        self.text.insert_str(self.cursor, &kept);
        self.move_to(self.cursor + kept.len());
    }

    /// Puts the cursor at `place`, or where the visible character begins that it lies in.
    fn move_to(&mut self, place: usize) {
        let mut cursor = GraphemeCursor::new(place, self.text.len(), true);
        let is_boundary = cursor.is_boundary(&self.text, 0).unwrap_or(true);
        self.cursor = if is_boundary { place } else { next(&self.text, place) };
    }

    /// One character back.
    pub(crate) fn left(&mut self) {
        self.cursor = previous(&self.text, self.cursor);
    }

    /// One character on.
    pub(crate) fn right(&mut self) {
        self.cursor = next(&self.text, self.cursor);
    }

    /// To the begin of the line.
    pub(crate) fn home(&mut self) {
        self.cursor = self.line_begin();
    }

    /// To the end of the line.
    pub(crate) fn end(&mut self) {
        let rest = self.text.get(self.cursor..).unwrap_or_default();
        self.cursor += rest.find('\n').unwrap_or(rest.len());
    }

    /// A line up; to the begin in the first one.
    pub(crate) fn up(&mut self) {
        let begin = self.line_begin();
        let column = self.before().get(begin..).unwrap_or_default().graphemes(true).count();
        if begin == 0 {
            self.cursor = 0;
            return;
        }
        self.cursor = begin - 1;
        self.cursor = self.line_begin();
        self.move_to_column(column);
    }

    /// A line down; to the end in the last one.
    pub(crate) fn down(&mut self) {
        let column = self.before().get(self.line_begin()..).unwrap_or_default().graphemes(true).count();
        self.end();
        if self.cursor < self.text.len() {
            self.cursor += 1;
            self.move_to_column(column);
        }
    }

    fn move_to_column(&mut self, column: usize) {
        let rest = self.text.get(self.cursor..).unwrap_or_default();
        let line = rest.split('\n').next().unwrap_or_default();
        self.cursor += line.graphemes(true).take(column).map(str::len).sum::<usize>();
    }

    /// Deletes the character before the cursor.
    pub(crate) fn backspace(&mut self) {
        let from = previous(&self.text, self.cursor);
        self.delete(from);
    }

    /// Deletes the character at the cursor.
    pub(crate) fn delete_at(&mut self) {
        let to = next(&self.text, self.cursor);
        let from = std::mem::replace(&mut self.cursor, to);
        self.delete(from);
    }

    /// Deletes the word before the cursor.
    pub(crate) fn delete_word(&mut self) {
        let before = self.before().trim_end();
        let from = before.rfind(char::is_whitespace).map_or(0, |space| next(before, space));
        self.delete(from);
    }

    /// Deletes what is before the cursor in its line.
    pub(crate) fn delete_line(&mut self) {
        self.delete(self.line_begin());
    }

    fn delete(&mut self, from: usize) {
        self.text.replace_range(from..self.cursor, "");
        self.move_to(from);
    }

    fn before(&self) -> &str {
        self.text.get(..self.cursor).unwrap_or_default()
    }

    fn line_begin(&self) -> usize {
        self.before().rfind('\n').map_or(0, |end| end + 1)
    }

    /// The lines at this width, and where the cursor stands in them. It may stand behind the last column: then it
    /// is in a line of its own.
    pub(crate) fn draw(&self, columns: u16) -> Drawn {
        let (mut lines, mut row, mut column) = (Vec::new(), 0, 0);
        let mut begin = 0;
        for line in self.text.split('\n') {
            let end = begin + line.len();
            let drawn = glyphs::wrap(line, columns, 0, 0);
            if (begin..=end).contains(&self.cursor) {
                let is_before = |glyph: &&Glyph| begin + glyph.source < self.cursor;
                let holds_cursor = |line: &Vec<Glyph>| !line.iter().all(|glyph| is_before(&glyph));
                let inside = drawn.iter().position(holds_cursor).unwrap_or(drawn.len() - 1);
                let before: Vec<Glyph> =
                    drawn.get(inside).into_iter().flatten().take_while(is_before).cloned().collect();
                (row, column) = (lines.len() + inside, glyphs::width(&before));
            }
            lines.extend(drawn);
            begin = end + 1;
        }
        if column >= usize::from(columns.max(1)) {
            row += 1;
            column = 0;
            lines.insert(row, Vec::new());
        }
        Drawn { lines, row, column }
    }
}

fn previous(text: &str, place: usize) -> usize {
    text.get(..place).and_then(|before| before.graphemes(true).next_back()).map_or(0, |one| place - one.len())
}

fn next(text: &str, place: usize) -> usize {
    let mut cursor = GraphemeCursor::new(place, text.len(), true);
    cursor.next_boundary(text, 0).ok().flatten().unwrap_or(text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(text: &str) -> Composer {
        let mut composer = Composer::default();
        composer.insert(text);
        composer
    }

    #[test]
    fn keys_move_and_delete_what_is_one_character_for_people() {
        let mut composer = written("ae\u{301}👩\u{200d}👧");
        composer.backspace();
        assert_eq!(composer.text(), "ae\u{301}");
        composer.left();
        composer.insert("李");
        assert_eq!(composer.text(), "a李e\u{301}");
        composer.home();
        composer.delete_at();
        composer.end();
        composer.backspace();
        assert_eq!(composer.text(), "李");
        composer.backspace();
        composer.backspace();
        composer.delete_at();
        assert!(composer.is_empty());
    }

    #[test]
    fn a_mark_that_joins_what_is_behind_the_cursor_leaves_the_cursor_between_characters() {
        let mut composer = written("x");
        composer.insert("\u{301}");
        assert_eq!(composer.cursor, 3);
        composer.home();
        composer.insert("a\u{200d}");
        composer.insert("👧");
        composer.left();
        composer.right();
        composer.backspace();
        assert!(composer.text().is_char_boundary(composer.cursor));
    }

    #[test]
    fn words_and_lines_are_deleted_and_walked() {
        let mut composer = written("one two  ");
        composer.delete_word();
        assert_eq!(composer.text(), "one ");
        composer.delete_line();
        assert_eq!(composer.text(), "");
        let mut composer = written("first\nse\nthird");
        composer.up();
        composer.insert("!");
        assert_eq!(composer.text(), "first\nse!\nthird");
        composer.up();
        composer.up();
        composer.insert("^");
        composer.down();
        composer.down();
        composer.down();
        composer.insert("$");
        assert_eq!(composer.text(), "^first\nse!\nthird$");
        composer.delete_line();
        assert_eq!(composer.text(), "^first\nse!\n");
    }

    #[test]
    fn what_is_pasted_has_no_controls_and_an_end() {
        assert_eq!(written("a\u{1b}[31m\r\nb\rc\td\0").text(), "a[31m\nb\nc\td");
        assert_eq!(written(&"é".repeat(40_000)).text().len(), 64_000);
        let mut composer = written("typed");
        composer.put_back("failed");
        assert_eq!(composer.take(), "failed\ntyped");
        assert!(composer.is_empty());
    }

    #[test]
    fn the_cursor_is_drawn_where_the_next_character_goes() {
        let place = |composer: &Composer, columns| {
            let drawn = composer.draw(columns);
            (drawn.row, drawn.column)
        };
        assert_eq!(place(&Composer::default(), 10), (0, 0));
        assert_eq!(place(&written("李a"), 10), (0, 3));
        assert_eq!(place(&written("abcd"), 4), (1, 0));
        assert_eq!(place(&written("one two three"), 8), (1, 5));
        assert_eq!(place(&written("a\n"), 8), (1, 0));
        assert_eq!(place(&written("a\n\nb"), 8), (2, 1));
        let mut composer = written("one two three\nlast");
        composer.up();
        assert_eq!(place(&composer, 8), (0, 4));
        composer.home();
        assert_eq!(place(&composer, 8), (0, 0));
        composer.down();
        assert_eq!(place(&composer, 8), (2, 0));
        assert_eq!(place(&written("\u{202e}"), 20), (0, 8));
        for columns in 1..9 {
            let drawn = written("ab \u{202e}李 cd\n\nef gh").draw(columns);
            assert!(drawn.row < drawn.lines.len(), "{columns}: {drawn:?}");
        }
    }
}
