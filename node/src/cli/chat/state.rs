//! The core of the chat: everything that it shows, and one function that says what an input makes of it and what it
//! asks of the node. No terminal, no thread, no clock and no chance: those are arguments.
//!
//! What keys do is in `keys`, what the node says in `news`; how it looks in `view`.

use std::collections::BTreeSet;

use jiff::tz::TimeZone;
use starling_api::{ConversationId, MessageId, Time};

use super::composer::Composer;
use super::glyphs;
use super::input::{Ask, Effect, Gone, Input, Node, Size};
use super::layout::{self, Areas};
use super::rows::Rows;
use super::talk::{History, Key, Talk};
use super::words::Clock;

/// Where keys go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Focus {
    /// The list of contacts.
    List,
    /// The text that is being written.
    Composer,
}

/// The way to the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// Not there yet.
    Connecting,
    /// It answers.
    Up(Node),
    /// It does not.
    Gone(Gone),
}

/// What the last command brought, or did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Notice {
    /// In words.
    pub(crate) text: String,
    /// Something failed.
    pub(crate) is_trouble: bool,
}

/// Several lines over everything else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Panel {
    /// What they are.
    pub(crate) title: String,
    /// The lines.
    pub(crate) lines: Vec<String>,
    /// Rows that are above the first one that is seen.
    pub(crate) above: usize,
}

/// A search in the open conversation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Search {
    /// As it was written.
    pub(crate) typed: String,
    /// Where it is.
    pub(crate) hit: Option<MessageId>,
    /// Older history is being fetched for it.
    pub(crate) is_seeking: bool,
}

impl Search {
    /// Whether a text has all the words, in any case.
    pub(crate) fn fits(&self, text: &str) -> bool {
        let text = text.to_lowercase();
        self.typed.to_lowercase().split_whitespace().all(|word| text.contains(word))
    }
}

/// Where identifiers of new messages come from.
pub(crate) type ClientIds = Box<dyn FnMut() -> String>;

/// Everything that is shown.
pub(crate) struct State {
    /// Columns and rows.
    pub(crate) size: Size,
    /// By which times are said.
    pub(crate) clock: Clock,
    /// The way to the node.
    pub(crate) link: Link,
    /// Conversations, last activity first.
    pub(crate) talks: Vec<Talk>,
    /// Whether they are known.
    pub(crate) is_listed: bool,
    /// The one that is open, or chosen.
    pub(crate) open: Option<ConversationId>,
    /// Where keys go.
    pub(crate) focus: Focus,
    /// What the last command brought.
    pub(crate) notice: Option<Notice>,
    /// Lines over everything else.
    pub(crate) panel: Option<Panel>,
    /// A search.
    pub(crate) search: Option<Search>,
    /// What is written while no conversation is open.
    pub(super) lobby: Composer,
    /// Messages that have disappeared: pages that were read before may still bring them.
    pub(super) deleted: BTreeSet<MessageId>,
    /// Texts that the node has not taken would be lost, and the person knows.
    pub(super) may_leave: bool,
    pub(super) client_ids: ClientIds,
}

impl State {
    /// With this conversation open, or the first one.
    pub(crate) fn new(size: Size, now: Time, zone: TimeZone, open: Option<ConversationId>, ids: ClientIds) -> Self {
        Self {
            size,
            clock: Clock { now, zone },
            link: Link::Connecting,
            talks: Vec::new(),
            is_listed: false,
            open,
            focus: if open.is_some() { Focus::Composer } else { Focus::List },
            notice: None,
            panel: None,
            search: None,
            lobby: Composer::default(),
            deleted: BTreeSet::new(),
            may_leave: false,
            client_ids: ids,
        }
    }

    /// Takes an input, at this time; what it asks of the world.
    pub(crate) fn update(&mut self, input: Input, now: Time) -> Vec<Effect> {
        self.clock.now = now;
        let mut effects = match input {
            Input::Key(key) => self.key(key),
            Input::Paste(text) => self.paste(&text),
            Input::Mouse(mouse) => self.mouse(mouse),
            Input::Resized(size) => {
                self.size = size;
                Vec::new()
            }
            Input::NoKeyboard => vec![Effect::Quit],
            Input::Minute => Vec::new(),
            Input::Connected(node) => self.connected(node),
            Input::Gone(gone) => {
                self.link = Link::Gone(gone);
                Vec::new()
            }
            Input::Conversations(conversations) => {
                self.list(conversations);
                Vec::new()
            }
            Input::Event(body) => self.event(*body),
            Input::Answer(answer) => self.answer(*answer),
        };
        effects.extend(self.settle());
        effects
    }

    /// The open conversation.
    pub(crate) fn talk(&self) -> Option<&Talk> {
        let open = self.open?;
        self.talks.iter().find(|talk| talk.id() == open)
    }

    pub(super) fn talk_mut(&mut self) -> Option<&mut Talk> {
        let open = self.open?;
        self.talk_of(open)
    }

    pub(super) fn talk_of(&mut self, id: ConversationId) -> Option<&mut Talk> {
        self.talks.iter_mut().find(|talk| talk.id() == id)
    }

    /// What is being written.
    pub(crate) fn composer(&self) -> &Composer {
        self.talk().map_or(&self.lobby, |talk| &talk.composer)
    }

    pub(super) fn composer_mut(&mut self) -> &mut Composer {
        match self.open.filter(|open| self.talks.iter().any(|talk| talk.id() == *open)) {
            Some(open) => match self.talks.iter_mut().find(|talk| talk.id() == open) {
                Some(talk) => &mut talk.composer,
                None => &mut self.lobby,
            },
            None => &mut self.lobby,
        }
    }

    /// Whether the open conversation can be seen.
    pub(crate) fn sees_talk(&self) -> bool {
        layout::has_two_panes(self.size) || self.focus == Focus::Composer
    }

    pub(crate) fn is_up(&self) -> bool {
        matches!(self.link, Link::Up(_))
    }

    /// Where everything is.
    pub(crate) fn areas(&self) -> Areas {
        let columns = layout::pane_columns(self.size);
        let composer = self.composer().draw(columns.saturating_sub(layout::PROMPT_COLUMNS));
        let notice = self.notice_line().map_or(0, |notice| glyphs::wrap(&notice.text, columns, 0, 0).len());
        Areas::of(self.size, self.focus == Focus::List, composer.lines.len(), notice)
    }

    /// What is said above what is written: the state of a search, else of the last command.
    pub(crate) fn notice_line(&self) -> Option<Notice> {
        let Some(search) = &self.search else { return self.notice.clone() };
        let said = match (search.is_seeking, search.hit) {
            (true, _) => "looking further back...".to_owned(),
            (false, None) => "nothing found".to_owned(),
            (false, Some(hit)) => {
                let hits = self.hits();
                let place = hits.iter().rev().position(|one| *one == hit).map_or(0, |place| place + 1);
                let more = self.talk().is_some_and(|talk| talk.history != History::Whole);
                format!("{place} of {}{}", hits.len(), if more { " or more" } else { "" })
            }
        };
        let text = format!("Search '{}': {said} · n older · N newer · Esc ends", search.typed);
        Some(Notice { text, is_trouble: false })
    }

    /// Messages of the open conversation that the search finds, oldest first.
    pub(super) fn hits(&self) -> Vec<MessageId> {
        let (Some(search), Some(talk)) = (&self.search, self.talk()) else { return Vec::new() };
        let fits = |text: &Option<String>| text.as_deref().is_some_and(|text| search.fits(text));
        talk.messages.values().filter(|message| fits(&message.text)).map(|message| message.id).collect()
    }

    /// The open conversation as rows.
    pub(crate) fn rows(&self) -> Option<Rows<'_>> {
        let history = self.areas().history;
        Some(Rows {
            talk: self.talk()?,
            columns: if self.sees_talk() { history.width } else { self.size.columns },
            height: usize::from(history.height),
            clock: &self.clock,
            hit: self.search.as_ref().and_then(|search| search.hit),
            is_up: self.is_up(),
        })
    }

    /// Says something; what was said before is gone.
    pub(super) fn say(&mut self, text: impl Into<String>) {
        self.notice = Some(Notice { text: text.into(), is_trouble: false });
    }

    /// Says that something failed, and what to do about it.
    pub(super) fn trouble(&mut self, text: impl Into<String>, hint: Option<&str>) {
        let mut text = text.into();
        if let Some(hint) = hint {
            text.push_str(&format!("\n{hint}"));
        }
        self.notice = Some(Notice { text, is_trouble: true });
    }

    /// What follows from any change: what is looked at is read, and what is missing of it is asked for.
    fn settle(&mut self) -> Vec<Effect> {
        if self.talk().is_none() && self.is_listed {
            self.open = self.talks.first().map(Talk::id);
        }
        let may_ask = self.is_up() && self.is_listed;
        if !self.sees_talk() {
            return Vec::new();
        }
        let mut effects = if may_ask { self.ask_history() } else { Vec::new() };
        if self.looks_at_end()
            && may_ask
            && let Some(talk) = self.talk_mut()
            && let Some(up_to) = talk.look()
        {
            effects.push(Effect::Ask(Ask::Read { conversation: talk.id(), up_to }));
        }
        effects
    }

    /// Whether the newest messages of the open conversation can be seen.
    pub(super) fn looks_at_end(&self) -> bool {
        self.sees_talk() && self.panel.is_none() && self.talk().is_some_and(|talk| talk.anchor.is_none())
    }

    /// Asks for the newest page, or for an older one once the first row can be seen.
    fn ask_history(&mut self) -> Vec<Effect> {
        let shows_first = self.rows().is_some_and(|rows| rows.shows_first());
        let is_seeking = self.search.as_ref().is_some_and(|search| search.is_seeking);
        let Some(talk) = self.talk_mut() else { return Vec::new() };
        let conversation = talk.id();
        match talk.history {
            History::Unknown => {
                talk.history = History::Asked;
                vec![Effect::Ask(Ask::Messages { conversation, before: None })]
            }
            History::From(before) if !talk.asks_older && (shows_first || is_seeking) => {
                talk.asks_older = true;
                vec![Effect::Ask(Ask::Messages { conversation, before: Some(before) })]
            }
            _ => Vec::new(),
        }
    }

    /// Leaves the place in the history of the conversation that was open; opens this one.
    pub(super) fn show(&mut self, id: ConversationId) {
        if self.open == Some(id) {
            return;
        }
        if let Some(before) = self.talk_mut() {
            before.first_unread = None;
        }
        (self.open, self.search, self.notice) = (Some(id), None, None);
    }

    /// Moves through the history; a negative count is down.
    pub(super) fn scroll(&mut self, count: isize) {
        let Some(rows) = self.rows() else { return };
        let anchor = if count > 0 {
            // At the end, where everything fits, there is nothing to scroll.
            let anchor = rows.scrolled_up(count.unsigned_abs());
            let newest = rows.talk.items().next_back().map(|item| item.key());
            anchor.filter(|anchor| Some(anchor.key) != newest || anchor.below > 0)
        } else {
            rows.scrolled_down(count.unsigned_abs())
        };
        if let Some(talk) = self.talk_mut() {
            talk.anchor = anchor;
        }
    }

    /// To the next hit of the search, older or newer; fetches older history when none is here.
    pub(super) fn seek(&mut self, older: bool) {
        let hits = self.hits();
        let whole = self.talk().is_none_or(|talk| talk.history == History::Whole);
        let Some(search) = &mut self.search else { return };
        let found = match (older, search.hit) {
            (true, None) => hits.last(),
            (true, Some(hit)) => hits.iter().rev().find(|one| **one < hit),
            (false, None) => None,
            (false, Some(hit)) => hits.iter().find(|one| **one > hit),
        };
        search.is_seeking = older && found.is_none() && !whole;
        if let Some(found) = found.copied() {
            search.hit = Some(found);
            let anchor = self.rows().and_then(|rows| rows.showing(found));
            if let Some(talk) = self.talk_mut() {
                talk.anchor = anchor;
            }
        }
    }

    /// An anchor of a message that is gone, or of a text that became a message, moves to what is there.
    pub(super) fn mend_anchor(talk: &mut Talk) {
        let Some(anchor) = talk.anchor else { return };
        let gone = match anchor.key {
            Key::Message(id) => !talk.messages.contains_key(&id),
            Key::Pending(place) => place >= talk.pending.len(),
        };
        if gone {
            let nearest = talk.items().rev().map(|item| item.key()).find(|key| *key < anchor.key);
            talk.anchor = nearest.map(|key| super::talk::Anchor { key, below: 0 });
        }
    }

    /// Conversations by last activity; the chosen one stays chosen.
    pub(super) fn sort(&mut self) {
        self.talks.sort_by_key(|talk| (std::cmp::Reverse(talk.last_activity), talk.id()));
    }
}

#[cfg(test)]
pub(crate) mod tests;
