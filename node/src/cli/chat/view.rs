//! Draws the core's state into a buffer of cells. Only glyphs are drawn, so no text of anybody's can do anything to the
//! terminal. What a colour says, a word or a mark says too.

use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};
use ratatui::style::{Color, Modifier, Style};
use starling_api::people::ContactState;

use super::glyphs::{self, Glyph};
use super::input::Gone;
use super::layout::{Areas, PROMPT_COLUMNS, has_two_panes};
use super::rows::Tone;
use super::state::{Focus, Link, State};
use super::talk::{History, Talk};
use super::words;

/// The bar while no node runs. SPEC: product, section 5.
const STOPPED: &str = "Node stopped. Start it: starling";
const LOCKED: &str = "Node locked. Open it: starling unlock";

/// How things look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Theme {
    /// Colours may be used.
    pub(crate) colors: bool,
}

impl Theme {
    fn color(self, color: Color) -> Style {
        if self.colors { Style::new().fg(color) } else { Style::new() }
    }

    fn tone(self, tone: Tone) -> Style {
        match tone {
            Tone::Plain => Style::new(),
            Tone::Name => Style::new().add_modifier(Modifier::BOLD),
            Tone::Hit => Style::new().add_modifier(Modifier::BOLD | Modifier::REVERSED),
            Tone::Aside => Style::new().add_modifier(Modifier::DIM),
            Tone::Divider => self.color(Color::Cyan),
        }
    }

    fn trouble(self) -> Style {
        self.color(Color::Yellow).add_modifier(Modifier::BOLD)
    }

    fn bar() -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}

/// Draws all of it; where the cursor is, if there is one.
pub(crate) fn draw(state: &State, theme: Theme, buffer: &mut Buffer) -> Option<Position> {
    let areas = state.areas();
    let screen = buffer.area;
    buffer.set_style(screen, Style::reset());
    status(state, theme, areas.status, buffer);
    if state.panel.is_some() {
        panel(state, areas.whole, buffer);
        return None;
    }
    list(state, theme, areas.list, buffer);
    for row in areas.divider.rows() {
        put(buffer, row, &glyphs::glyphs("│"), theme.tone(Tone::Aside));
    }
    head(state, theme, areas.head, buffer);
    history(state, theme, areas.history, buffer);
    if let Some(notice) = state.notice_line() {
        let style = if notice.is_trouble { theme.trouble() } else { theme.tone(Tone::Divider) };
        for (row, line) in areas.notice.rows().zip(glyphs::wrap(&notice.text, areas.notice.width, 0, 0)) {
            put(buffer, row, &line, style);
        }
    }
    for row in areas.rule.rows() {
        put(buffer, row, &glyphs::glyphs(&"─".repeat(usize::from(row.width))), theme.tone(Tone::Aside));
    }
    more_below(state, &areas, buffer);
    let cursor = composer(state, areas.composer, buffer);
    cursor.filter(|_| state.focus == Focus::Composer && state.search.is_none())
}

/// Puts glyphs into a row, as many as fit. The columns that they take.
fn put(buffer: &mut Buffer, row: Rect, line: &[Glyph], style: Style) -> u16 {
    let row = row.intersection(buffer.area);
    let mut column = 0;
    for glyph in line {
        if row.height == 0 || column + glyph.width > row.width {
            break;
        }
        buffer.set_stringn(row.x + column, row.y, &glyph.shown, usize::from(glyph.width), style);
        column += glyph.width;
    }
    column
}

/// What is right of these columns of a row.
fn after(row: Rect, columns: u16) -> Rect {
    let columns = columns.min(row.width);
    Rect { x: row.x + columns, width: row.width - columns, ..row }
}

fn list(state: &State, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let mut rows = area.rows();
    let Some(title) = rows.next() else { return };
    let unread: u32 = state.talks.iter().map(|talk| talk.unread).sum();
    let words = if unread > 0 { format!("Contacts · {unread} new") } else { "Contacts".to_owned() };
    put(buffer, title, &glyphs::fitted(&words, title.width), theme.tone(Tone::Name));
    if state.talks.is_empty() && !has_two_panes(state.size) {
        // There is no other pane that would say it.
        for (row, line) in rows.by_ref().zip(glyphs::wrap(empty(state), area.width, 0, 0)) {
            put(buffer, row, &line, theme.tone(Tone::Aside));
        }
    }
    for (row, talk) in rows.zip(state.talks.iter().skip(state.first_listed())) {
        listed(state, theme, talk, row, buffer);
    }
}

fn listed(state: &State, theme: Theme, talk: &Talk, row: Rect, buffer: &mut Buffer) {
    let is_open = state.open == Some(talk.id());
    let mark = match (is_open, talk.unread) {
        (true, _) => ">",
        (false, 1..) => "*",
        (false, 0) => " ",
    };
    let more = match talk.unread {
        0 => words::mark(talk.contact.state).to_owned(),
        unread => format!("{unread} new"),
    };
    let style = match (is_open && state.focus == Focus::List, talk.unread > 0 || is_open) {
        (true, _) => Theme::bar(),
        (false, true) => theme.tone(Tone::Name),
        (false, false) => Style::new(),
    };
    buffer.set_style(row.intersection(buffer.area), style);
    let used = put(buffer, row, &glyphs::glyphs(mark), style);
    let more = glyphs::glyphs(&more);
    let wide = u16::try_from(glyphs::width(&more)).unwrap_or(u16::MAX);
    // Of a narrow list the name has the better half.
    let wide = if wide + 6 <= row.width { wide } else { 0 };
    let room = row.width.saturating_sub(used + wide + u16::from(wide > 0));
    put(buffer, after(row, used), &glyphs::fitted(&talk.contact.name, room), style);
    if wide > 0 {
        put(buffer, after(row, row.width - wide), &more, style);
    }
}

fn head(state: &State, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(row) = area.rows().next() else { return };
    let Some(talk) = state.talk() else {
        put(buffer, row, &glyphs::fitted("Starling", row.width), theme.tone(Tone::Name));
        return;
    };
    let used = put(buffer, row, &glyphs::fitted(&talk.contact.name, row.width), theme.tone(Tone::Name));
    let rest = after(row, used);
    let words = format!(" · {}", words::contact(&talk.contact, &state.clock));
    let is_trouble = matches!(talk.contact.state, ContactState::Forked | ContactState::Blocked);
    let style = if is_trouble { theme.trouble() } else { theme.tone(Tone::Aside) };
    put(buffer, rest, &glyphs::fitted(&words, rest.width), style);
}

/// What is said where nothing is to be seen yet.
fn empty(state: &State) -> &'static str {
    match (&state.link, state.talk()) {
        (Link::Connecting, _) => "Asking the node...",
        (_, None) if state.is_listed => {
            "Nobody can find you unless you invite them.\n\n/invite NAME  makes an invite for one person\n/add LINK     uses \
             an invite that you were given"
        }
        (_, None) => "",
        (_, Some(talk)) if talk.history == History::Whole && talk.contact.verified_at.is_none() => {
            "Messages are end-to-end encrypted. You have not compared security numbers yet: /verify"
        }
        (_, Some(talk)) if talk.history == History::Whole => "Messages are end-to-end encrypted.",
        (_, Some(_)) => "",
    }
}

fn history(state: &State, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.is_empty() {
        return;
    }
    let rows = state.rows().filter(|rows| rows.talk.items().next().is_some());
    let Some(rows) = rows else {
        for (row, line) in area.rows().zip(glyphs::wrap(empty(state), area.width, 0, 0)) {
            put(buffer, row, &line, theme.tone(Tone::Aside));
        }
        return;
    };
    let shown = rows.visible();
    // A short conversation stands above what is written, not at the top.
    let free = usize::from(area.height).saturating_sub(shown.len());
    for (row, line) in area.rows().skip(free).zip(&shown) {
        let mut column = 0;
        for (tone, glyph) in line {
            column += put(buffer, after(row, column), std::slice::from_ref(glyph), theme.tone(*tone));
        }
    }
}

/// Says that there is more below: in the line above what is written, where there is one, so that it hides nothing.
fn more_below(state: &State, areas: &Areas, buffer: &mut Buffer) {
    let Some(talk) = state.talk().filter(|talk| talk.anchor.is_some()) else { return };
    let words = if talk.below > 0 { format!(" {} new below: End ", talk.below) } else { " newest: End ".to_owned() };
    let last = areas.history.rows().next_back().filter(|_| areas.history.height > 1);
    let Some(row) = areas.rule.rows().next().or(last) else { return };
    let line = glyphs::fitted(&words, row.width);
    let wide = u16::try_from(glyphs::width(&line)).unwrap_or(row.width);
    put(buffer, after(row, row.width.saturating_sub(wide)), &line, Theme::bar());
}

fn composer(state: &State, area: Rect, buffer: &mut Buffer) -> Option<Position> {
    let inner = after(area, if area.width > PROMPT_COLUMNS { PROMPT_COLUMNS } else { 0 });
    let drawn = state.composer().draw(inner.width);
    // The row of the cursor is always to be seen.
    let above = (drawn.row + 1).saturating_sub(usize::from(area.height));
    let mark = if state.focus == Focus::Composer { "> " } else { "  " };
    for (place, (row, line)) in inner.rows().zip(drawn.lines.iter().skip(above)).enumerate() {
        let prompt = Rect { x: area.x, width: area.width - inner.width, ..row };
        put(buffer, prompt, &glyphs::glyphs(if place + above == 0 { mark } else { "  " }), Style::new());
        put(buffer, row, line, Style::new());
    }
    let row = u16::try_from(drawn.row - above).ok().filter(|row| *row < inner.height)?;
    let column = u16::try_from(drawn.column).ok().filter(|column| *column < inner.width)?;
    Some(Position { x: inner.x + column, y: inner.y + row })
}

fn status(state: &State, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let Some(row) = area.rows().next() else { return };
    let (words, is_trouble) = match &state.link {
        Link::Connecting => ("Connecting...".to_owned(), false),
        Link::Gone(Gone::Stopped) => (STOPPED.to_owned(), true),
        Link::Gone(Gone::Locked) => (LOCKED.to_owned(), true),
        Link::Up(node) => (format!("{} · {}", node.state, crate::cli::counted(u64::from(node.peers), "peer")), false),
    };
    let keys = match (state.panel.is_some(), state.focus) {
        (true, _) => "Up, Down scroll · Esc back",
        (false, Focus::List) => "Tab write · /help",
        (false, Focus::Composer) => "Tab list · /help",
    };
    let style = if is_trouble { theme.trouble().add_modifier(Modifier::REVERSED) } else { Theme::bar() };
    buffer.set_style(row.intersection(buffer.area), style);
    let used = put(buffer, row, &glyphs::fitted(&words, row.width), style);
    let keys = glyphs::glyphs(keys);
    let wide = u16::try_from(glyphs::width(&keys)).unwrap_or(u16::MAX);
    if used.saturating_add(wide).saturating_add(2) <= row.width {
        put(buffer, after(row, row.width - wide), &keys, style);
    }
}

/// Lines over everything else, as wide as the screen: what is copied out of them has nothing beside it.
fn panel(state: &State, area: Rect, buffer: &mut Buffer) {
    let Some(panel) = &state.panel else { return };
    let mut rows = area.rows();
    if let Some(title) = rows.next() {
        put(buffer, title, &glyphs::fitted(&panel.title, title.width), Style::new().add_modifier(Modifier::BOLD));
    }
    let lines = panel.lines.iter().flat_map(|line| glyphs::wrap(line, area.width, 0, 0));
    for (row, line) in rows.skip(usize::from(area.height > 4)).zip(lines.skip(panel.above)) {
        put(buffer, row, &line, Style::new());
    }
}

#[cfg(test)]
mod tests;
