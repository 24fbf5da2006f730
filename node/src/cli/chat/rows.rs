//! What was said, as rows of a width; and which of them are to be seen. A row is known by the message that it is of, so
//! that older history above, and new messages below, move nothing that is being read.

use starling_api::MessageId;
use starling_api::message::Message;

use super::glyphs::{self, Glyph};
use super::talk::{Anchor, Item, Key, Talk};
use super::words::{self, Clock};
use crate::cli::{files, log};

/// Columns by which a text is set in: what begins in the first column is never of a message.
const INDENT: u16 = 2;
/// Columns by which a line above a text goes on in the next row.
const HEAD_INDENT: u16 = 7;
/// Characters of a message that another one answers.
const QUOTED_CHARACTERS: usize = 60;

/// How a glyph is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tone {
    /// A text.
    Plain,
    /// Who said it.
    Name,
    /// What is beside the point.
    Aside,
    /// Where the search is.
    Hit,
    /// A day, or where the new messages begin.
    Divider,
}

/// A row of glyphs.
pub(crate) type Row = Vec<(Tone, Glyph)>;

/// A conversation that is made into rows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rows<'talk> {
    /// The conversation.
    pub(crate) talk: &'talk Talk,
    /// Columns of a row.
    pub(crate) columns: u16,
    /// Rows that can be seen.
    pub(crate) height: usize,
    /// By which times are said.
    pub(crate) clock: &'talk Clock,
    /// The message at which a search is.
    pub(crate) hit: Option<MessageId>,
    /// Whether the node answers.
    pub(crate) is_up: bool,
}

fn toned(line: Vec<Glyph>, tone: Tone) -> Row {
    line.into_iter().map(|glyph| (tone, glyph)).collect()
}

impl Rows<'_> {
    /// The rows that are to be seen, at most `height`, oldest first.
    pub(crate) fn visible(&self) -> Vec<Row> {
        let mut rows: Vec<Row> = Vec::new();
        for (_, block) in self.blocks(self.talk.anchor) {
            rows.extend(block.into_iter().rev().take(self.height - rows.len()));
            if rows.len() >= self.height {
                break;
            }
        }
        rows.reverse();
        rows
    }

    /// Whether the first row of all that is here can be seen.
    pub(crate) fn shows_first(&self) -> bool {
        self.count_up_to(self.talk.anchor, self.height + 1) <= self.height
    }

    /// Items up to the anchored one, newest first, each with the one before it.
    fn up_to(&self, anchor: Option<Anchor>) -> impl Iterator<Item = (Item<'_>, Option<Item<'_>>)> {
        let is_below = move |item: &Item<'_>| anchor.is_some_and(|anchor| item.key() > anchor.key);
        let mut items = self.talk.items().rev().skip_while(is_below).peekable();
        std::iter::from_fn(move || {
            let item = items.next()?;
            Some((item, items.peek().copied()))
        })
    }

    /// Their rows, without those below the anchor.
    fn blocks(&self, anchor: Option<Anchor>) -> impl Iterator<Item = (Key, Vec<Row>)> {
        let mut hidden = anchor.map_or(0, |anchor| anchor.below);
        self.up_to(anchor).map(move |(item, before)| {
            let mut block = self.block(item, before);
            block.truncate(block.len().saturating_sub(std::mem::take(&mut hidden)));
            (item.key(), block)
        })
    }

    /// Rows up to an anchor, counted until there are `limit`.
    fn count_up_to(&self, anchor: Option<Anchor>, limit: usize) -> usize {
        let mut count = 0;
        for (_, block) in self.blocks(anchor) {
            count += block.len();
            if count >= limit {
                break;
            }
        }
        count
    }

    fn height_of(&self, key: Key) -> usize {
        let found = self.up_to(Some(Anchor { key, below: 0 })).next();
        found.map_or(0, |(item, before)| self.block(item, before).len())
    }

    /// Where the last row is after scrolling up by `count` rows, as far as there are any; the screen stays full.
    pub(crate) fn scrolled_up(&self, count: usize) -> Option<Anchor> {
        let newest = self.talk.items().next_back()?.key();
        let mut place = self.talk.anchor.unwrap_or(Anchor { key: newest, below: 0 });
        let mut below = place.below + count;
        for (key, block) in self.blocks(Some(Anchor { below: 0, ..place })) {
            place = Anchor { key, below: below.min(block.len().saturating_sub(1)) };
            if below < block.len() {
                break;
            }
            below -= block.len();
        }
        let missing = self.height.saturating_sub(self.count_up_to(Some(place), self.height));
        self.down_from(place, missing)
    }

    /// Where it is after scrolling down by `count` rows; none at the newest message.
    pub(crate) fn scrolled_down(&self, count: usize) -> Option<Anchor> {
        self.down_from(self.talk.anchor?, count)
    }

    fn down_from(&self, start: Anchor, count: usize) -> Option<Anchor> {
        if start.below > count || (count == 0 && start.below > 0) {
            return Some(Anchor { below: start.below - count, ..start });
        }
        let mut left = count - start.below;
        let newest = self.talk.items().next_back()?.key();
        let mut key = start.key;
        for item in self.talk.items().skip_while(|item| item.key() <= start.key) {
            if left == 0 {
                break;
            }
            key = item.key();
            let height = self.height_of(key);
            if height > left {
                return Some(Anchor { key, below: height - left });
            }
            left -= height;
        }
        (key < newest).then_some(Anchor { key, below: 0 })
    }

    /// Where it is when a message is to be seen, with what was said next below it.
    pub(crate) fn showing(&self, id: MessageId) -> Option<Anchor> {
        let key = Key::Message(id);
        let height = self.height_of(key);
        // Its first row is in the middle, or it ends at the bottom.
        let room = (self.height / 2).max(1);
        let start = Anchor { key, below: height.saturating_sub(self.height.max(1)) };
        self.down_from(start, room.saturating_sub(height).min(self.height / 3))
    }

    /// The rows of an item, with the day above it when it is another one than that of the item before.
    fn block(&self, item: Item<'_>, before: Option<Item<'_>>) -> Vec<Row> {
        let mut rows = Vec::new();
        let day = self.clock.day(item.said_at());
        if before.is_none_or(|before| self.clock.day(before.said_at()) != day) {
            rows.push(self.divider(&day));
        }
        match item {
            Item::Message(message) => {
                if self.talk.first_unread == Some(message.id) {
                    rows.push(self.divider("new"));
                }
                self.message(message, &mut rows);
            }
            Item::Pending(_, pending) => {
                let state = if self.is_up { "Waiting on this computer" } else { "Not taken by the node yet" };
                self.head(
                    &format!("{}  me", self.clock.time(pending.created)),
                    &format!(" · {state}"),
                    None,
                    &mut rows,
                );
                self.text(&pending.text, Tone::Plain, &mut rows);
            }
        }
        rows
    }

    fn message(&self, message: &Message, rows: &mut Vec<Row>) {
        let (who, state) = words::head(message, &self.talk.contact.name, self.clock);
        self.head(&who, &state, Some(message.id), rows);
        if let Some(answered) = message.reply_to {
            let quoted = self.talk.messages.get(&answered);
            let quoted = quoted.and_then(|quoted| files::told(quoted).or_else(|| quoted.text.clone()));
            let begin: String = quoted.iter().flat_map(|text| text.chars().take(QUOTED_CHARACTERS)).collect::<String>();
            let shown = match quoted {
                Some(_) => format!("answers: {}", begin.replace('\n', " ")),
                None => format!("answers {answered}"),
            };
            self.text(&shown, Tone::Aside, rows);
        }
        if let Some(told) = files::told(message) {
            self.text(&format!("{told}  save it: starling save {}", message.id), Tone::Aside, rows);
        }
        match &message.text {
            Some(text) if text.is_empty() && !message.attachments.is_empty() => {}
            Some(text) => self.text(text, Tone::Plain, rows),
            None if message.deleted => self.text("(deleted)", Tone::Aside, rows),
            None => self.text("(needs a newer Starling to be shown)", Tone::Aside, rows),
        }
        let changes = log::changes(message, &self.talk.contact.name);
        if !changes.is_empty() {
            self.text(changes.trim_start(), Tone::Aside, rows);
        }
    }

    fn head(&self, who: &str, state: &str, id: Option<MessageId>, rows: &mut Vec<Row>) {
        let is_hit = id.is_some() && self.hit == id;
        let (mark, tone) = if is_hit { ("> ", Tone::Hit) } else { ("", Tone::Name) };
        let line = format!("{mark}{who}{state}");
        let names = mark.len() + who.len();
        let tone_of = |glyph: &Glyph| if glyph.source < names { tone } else { Tone::Aside };
        for line in glyphs::wrap(&line, self.columns, 0, HEAD_INDENT) {
            rows.push(line.into_iter().map(|glyph| (tone_of(&glyph), glyph)).collect());
        }
    }

    fn text(&self, text: &str, tone: Tone, rows: &mut Vec<Row>) {
        rows.extend(glyphs::wrap(text, self.columns, INDENT, INDENT).into_iter().map(|line| toned(line, tone)));
    }

    fn divider(&self, words: &str) -> Row {
        toned(glyphs::fitted(&format!("── {words} ──"), self.columns), Tone::Divider)
    }
}
