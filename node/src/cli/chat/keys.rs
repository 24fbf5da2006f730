//! What keys and the mouse do.

use super::commands::{self, Command, HELP};
use super::input::{Ask, Effect, Key, Mouse, Place};
use super::layout;
use super::state::{Focus, Panel, Search, State};
use super::talk::{Pending, Talk};

/// Rows that the wheel moves.
const WHEEL_ROWS: usize = 3;

impl State {
    pub(super) fn key(&mut self, key: Key) -> Vec<Effect> {
        if key == Key::Interrupt {
            return self.leave();
        }
        if key == Key::Redraw {
            return vec![Effect::Redraw];
        }
        self.may_leave = false;
        if self.panel.is_some() {
            return self.panel_key(key);
        }
        if self.search.is_some() && self.search_key(key) {
            return Vec::new();
        }
        match (key, self.focus) {
            (Key::PageUp, _) => self.scroll(self.page()),
            (Key::PageDown, _) => self.scroll(-self.page()),
            (Key::Tab | Key::BackTab, Focus::List) => self.focus = Focus::Composer,
            (Key::Tab | Key::BackTab, Focus::Composer) => self.focus = Focus::List,
            (_, Focus::List) => self.list_key(key),
            (_, Focus::Composer) => return self.composer_key(key),
        }
        Vec::new()
    }

    fn page(&self) -> isize {
        isize::try_from(self.areas().history.height.saturating_sub(1).max(1)).unwrap_or(1)
    }

    fn list_key(&mut self, key: Key) {
        match key {
            Key::Up => self.choose(|place, _| place.saturating_sub(1)),
            Key::Down => self.choose(|place, last| (place + 1).min(last)),
            Key::Home => self.choose(|_, _| 0),
            Key::End => self.choose(|_, last| last),
            Key::Enter | Key::Right => self.focus = Focus::Composer,
            Key::Char(character) => {
                self.focus = Focus::Composer;
                self.composer_mut().insert(character.encode_utf8(&mut [0; 4]));
            }
            _ => {}
        }
    }

    fn choose(&mut self, next: impl Fn(usize, usize) -> usize) {
        let Some(last) = self.talks.len().checked_sub(1) else { return };
        let place = self.talks.iter().position(|talk| Some(talk.id()) == self.open).unwrap_or(0);
        if let Some(id) = self.talks.get(next(place, last)).map(Talk::id) {
            self.show(id);
        }
    }

    fn composer_key(&mut self, key: Key) -> Vec<Effect> {
        let is_empty = self.composer().is_empty();
        match key {
            Key::Enter => return self.enter(),
            Key::Escape if self.notice.is_some() => self.notice = None,
            Key::Escape => self.focus = Focus::List,
            Key::Up if is_empty => self.scroll(1),
            Key::Down if is_empty => self.scroll(-1),
            Key::End if is_empty => {
                if let Some(talk) = self.talk_mut() {
                    talk.anchor = None;
                }
            }
            _ => self.edit(key),
        }
        Vec::new()
    }

    fn edit(&mut self, key: Key) {
        let composer = self.composer_mut();
        match key {
            Key::Char(character) => composer.insert(character.encode_utf8(&mut [0; 4])),
            Key::NewLine => composer.insert("\n"),
            Key::Left => composer.left(),
            Key::Right => composer.right(),
            Key::Up => composer.up(),
            Key::Down => composer.down(),
            Key::Home => composer.home(),
            Key::End => composer.end(),
            Key::Backspace => composer.backspace(),
            Key::Delete => composer.delete_at(),
            Key::DeleteWord => composer.delete_word(),
            Key::DeleteLine => composer.delete_line(),
            _ => {}
        }
    }

    pub(super) fn paste(&mut self, text: &str) -> Vec<Effect> {
        (self.panel, self.search, self.focus) = (None, None, Focus::Composer);
        self.composer_mut().insert(text);
        Vec::new()
    }

    fn panel_key(&mut self, key: Key) -> Vec<Effect> {
        let page = usize::from(self.areas().whole.height.saturating_sub(2).max(1));
        let Some(panel) = &mut self.panel else { return Vec::new() };
        match key {
            Key::Up => panel.above = panel.above.saturating_sub(1),
            Key::Down => panel.above += 1,
            Key::PageUp => panel.above = panel.above.saturating_sub(page),
            Key::PageDown => panel.above += page,
            Key::Home => panel.above = 0,
            _ => self.panel = None,
        }
        // Not beyond the last row.
        let most = self.panel_rows().saturating_sub(page);
        if let Some(panel) = &mut self.panel {
            panel.above = panel.above.min(most);
        }
        Vec::new()
    }

    /// Rows of the open panel at this width.
    pub(crate) fn panel_rows(&self) -> usize {
        let columns = self.size.columns;
        let rows = |line: &String| super::glyphs::wrap(line, columns, 0, 0).len();
        self.panel.as_ref().map_or(0, |panel| panel.lines.iter().map(rows).sum())
    }

    /// Whether the key was one of the search. Any other one ends it, and does what it does.
    fn search_key(&mut self, key: Key) -> bool {
        match key {
            Key::Char('n') | Key::Up => self.seek(true),
            Key::Char('N') | Key::Down => self.seek(false),
            Key::PageUp | Key::PageDown => return false,
            Key::Escape | Key::Enter => self.search = None,
            _ => {
                self.search = None;
                return false;
            }
        }
        true
    }

    pub(super) fn mouse(&mut self, mouse: Mouse) -> Vec<Effect> {
        let rows = isize::try_from(WHEEL_ROWS).unwrap_or(1);
        match mouse {
            Mouse::WheelUp(_) if self.panel.is_some() => return self.panel_key(Key::Up),
            Mouse::WheelDown(_) if self.panel.is_some() => return self.panel_key(Key::Down),
            Mouse::Click(_) if self.panel.is_some() => self.panel = None,
            Mouse::WheelUp(place) if self.is_in_list(place) => self.choose(|place, _| place.saturating_sub(1)),
            Mouse::WheelDown(place) if self.is_in_list(place) => self.choose(|place, last| (place + 1).min(last)),
            Mouse::WheelUp(_) => self.scroll(rows),
            Mouse::WheelDown(_) => self.scroll(-rows),
            Mouse::Click(place) if self.is_in_list(place) => {
                let row = usize::from(place.row);
                let first = self.first_listed();
                if let Some(id) = row.checked_sub(1).and_then(|row| self.talks.get(first + row)).map(Talk::id) {
                    self.show(id);
                    self.focus = if layout::has_two_panes(self.size) { Focus::List } else { Focus::Composer };
                }
            }
            Mouse::Click(_) => self.focus = Focus::Composer,
        }
        Vec::new()
    }

    fn is_in_list(&self, place: Place) -> bool {
        self.areas().list.contains((place.column, place.row).into())
    }

    /// The first contact that the list shows: it follows the chosen one. The first row of the list is its title.
    pub(crate) fn first_listed(&self) -> usize {
        let rows = usize::from(self.areas().list.height.saturating_sub(1)).max(1);
        let chosen = self.talks.iter().position(|talk| Some(talk.id()) == self.open).unwrap_or(0);
        (chosen + 1).saturating_sub(rows)
    }

    /// The end; what the node has not taken yet is worth a second thought.
    pub(super) fn leave(&mut self) -> Vec<Effect> {
        let waiting: usize = self.talks.iter().map(|talk| talk.pending.len()).sum();
        if waiting == 0 || self.may_leave {
            return vec![Effect::Quit];
        }
        self.may_leave = true;
        self.trouble("The node has not taken your last text yet; it would be lost. Ctrl-C again ends.", None);
        Vec::new()
    }

    fn enter(&mut self) -> Vec<Effect> {
        if self.composer().text().trim().is_empty() {
            return Vec::new();
        }
        self.notice = None;
        match commands::parse(self.composer().text()) {
            Err(wrong) => self.trouble(wrong, None),
            Ok(Command::Text(text)) => return self.send(text),
            Ok(Command::Quit) => {
                let effects = self.leave();
                if !effects.is_empty() {
                    return effects;
                }
            }
            Ok(command) => return self.command(command),
        }
        Vec::new()
    }

    /// A command that was understood; its line stays until it can be carried out.
    fn command(&mut self, command: Command) -> Vec<Effect> {
        let local = matches!(command, Command::Help | Command::Search(_));
        if !local && !self.is_up() {
            self.trouble("The node does not answer; your line stays here.", None);
            return Vec::new();
        }
        let contact = self.talk().map(|talk| (talk.contact.id, talk.last_own().map(|message| message.id)));
        let ask = match (command, contact) {
            (Command::Help, _) => {
                let lines = HELP.iter().map(|line| (*line).to_owned()).collect();
                self.panel = Some(Panel { title: "Keys and commands".to_owned(), lines, above: 0 });
                None
            }
            (Command::Add(link), _) => Some(Ask::Add(link)),
            (Command::Invite(name), _) => Some(Ask::Invite(name)),
            (_, None) => {
                self.trouble("No conversation is open.", Some("/add LINK uses an invite, /invite NAME makes one."));
                return Vec::new();
            }
            (Command::Search(typed), _) => {
                self.search = Some(Search { typed, hit: None, is_seeking: false });
                self.seek(true);
                None
            }
            (Command::Expires(expires_s), Some((contact, _))) => Some(Ask::Expires { contact, expires_s }),
            (Command::Verify, Some((contact, _))) => Some(Ask::Verification(contact)),
            (Command::Trace, Some((_, Some(own)))) => Some(Ask::Trace(own)),
            (_, Some(_)) => {
                self.say("There is no message of yours here yet.");
                None
            }
        };
        self.composer_mut().take();
        ask.map(Effect::Ask).into_iter().collect()
    }

    fn send(&mut self, text: String) -> Vec<Effect> {
        if !self.is_up() {
            self.trouble("The node does not answer; your text stays here.", None);
            return Vec::new();
        }
        let created = self.clock.now;
        let new_id = (self.client_ids)();
        let Some(talk) = self.talk_mut() else {
            self.trouble("Nobody is here to write to.", Some("/add LINK uses an invite, /invite NAME makes one."));
            return Vec::new();
        };
        talk.composer.take();
        // A text that came back may have been taken all the same: under its first id it is not sent twice.
        let known = talk.returned.take().filter(|(returned, _)| *returned == text);
        let client_id = known.map_or(new_id, |(_, client_id)| client_id);
        let pending = Pending { client_id: client_id.clone(), text: text.clone(), created, tries: 1, asked: true };
        talk.pending.push(pending);
        (talk.anchor, talk.first_unread) = (None, None);
        vec![Effect::Ask(Ask::Send { conversation: talk.id(), client_id, text })]
    }
}
