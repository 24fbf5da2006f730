//! How the chat looks: at ordinary sizes, at absurd ones, and with texts that were made to break it.

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use starling_api::message::StateName;
use unicode_width::UnicodeWidthStr as _;

use super::*;
use crate::cli::chat::input::{Input, Key, Node, Size};
use crate::cli::chat::samples;
use crate::cli::chat::state::tests::Chat;

const PLAIN: Theme = Theme { colors: false };

/// The rows of the screen, without spaces at their ends.
fn screen(chat: &Chat) -> Vec<String> {
    let Size { columns, rows } = chat.state.size;
    let mut terminal = Terminal::new(TestBackend::new(columns, rows)).unwrap();
    terminal
        .draw(|frame| {
            if let Some(cursor) = draw(&chat.state, PLAIN, frame.buffer_mut()) {
                assert!(frame.area().contains(cursor), "{cursor:?}");
                frame.set_cursor_position(cursor);
            }
        })
        .unwrap();
    let buffer = terminal.backend().buffer();
    let mut lines = Vec::new();
    for row in 0..rows {
        let (mut line, mut column) = (String::new(), 0);
        while column < columns {
            let symbol = buffer[(column, row)].symbol();
            assert!(!symbol.chars().any(char::is_control), "{symbol:?}");
            assert!(symbol.chars().count() <= 16 && symbol.width() <= 2, "{symbol:?}");
            line.push_str(symbol);
            column += u16::try_from(symbol.width().max(1)).unwrap();
        }
        lines.push(line.trim_end().to_owned());
    }
    lines
}

fn conversation(columns: u16, rows: u16) -> Chat {
    let mut mine = samples::own(1, 2, "hi there");
    mine.state = samples::state(StateName::Delivered);
    let mut held = samples::own(1, 3, "and a second one\nof two lines");
    held.state = starling_api::message::MessageState { held_by: 7, ..samples::state(StateName::Held) };
    Chat::with(columns, rows, vec![samples::theirs(1, 1, "hello"), mine, held])
}

#[test]
fn two_panes_at_eighty_columns() {
    let mut chat = conversation(80, 16);
    chat.input(Input::Event(Box::new(starling_api::EventBody::MessageReceived(samples::theirs(2, 9, "psst")))));
    let expected = [
        "Contacts · 1 new    │Bob · ready · not verified",
        ">Bob                │",
        "*Carol         1 new│",
        "                    │── 23 Nov ──",
        "                    │14:02  Bob",
        "                    │  hello",
        "                    │14:02  me · Delivered 14:02",
        "                    │  hi there",
        "                    │14:02  me · Held by 7 nodes",
        "                    │  and a second one",
        "                    │  of two lines",
        "                    │",
        "                    │",
        "                    │───────────────────────────────────────────────────────────",
        "                    │>",
        "online · 2 peers                                                Tab list · /help",
    ];
    let shown = screen(&chat);
    // The last activity is on top; both were active now.
    assert_eq!(shown.len(), expected.len());
    for line in ["Contacts · 1 new", ">Bob", "*Carol         1 new"] {
        assert!(shown.iter().any(|row| row.starts_with(line)), "{line}: {shown:#?}");
    }
    assert_eq!(shown[0], expected[0]);
    assert_eq!(shown[15], expected[15]);
    let right = |row: &String| row.split_once('│').map(|(_, right)| right.to_owned()).unwrap_or_default();
    let said: Vec<String> = shown[1..13].iter().map(right).filter(|row| !row.is_empty()).collect();
    let wanted: Vec<String> = expected[3..11].iter().map(|row| right(&(*row).to_owned())).collect();
    assert_eq!(said, wanted);
    assert_eq!(right(&shown[12]), "  of two lines", "it stands above what is written");
}

#[test]
fn one_pane_below_sixty_columns() {
    let mut chat = conversation(40, 12);
    let shown = screen(&chat);
    assert_eq!(shown[0], "Bob · ready · not verified");
    assert!(shown.iter().any(|row| row == "14:02  me · Held by 7 nodes"), "{shown:#?}");
    assert!(shown.iter().all(|row| !row.contains('│')));
    chat.input(Input::Key(Key::Escape));
    let shown = screen(&chat);
    assert_eq!(shown[..3], ["Contacts", ">Bob", " Carol"]);
}

#[test]
fn any_size_is_drawn() {
    let mut chat = conversation(80, 24);
    chat.enter("/frob");
    for columns in [1, 2, 3, 7, 20, 59, 60, 200] {
        for rows in [1, 2, 3, 4, 5, 9, 30] {
            chat.input(Input::Resized(Size { columns, rows }));
            screen(&chat);
            chat.input(Input::Key(Key::Tab));
            screen(&chat);
            chat.input(Input::Key(Key::PageUp));
            chat.input(Input::Key(Key::Tab));
        }
    }
    let mut chat = conversation(20, 5);
    let shown = screen(&chat);
    assert_eq!(shown[0], "Bob · ready · not v…");
    assert_eq!(shown[1..3], ["  and a second one", "  of two lines"]);
    chat.enter("/help");
    assert_eq!(screen(&chat)[0], "Keys and commands");
}

#[test]
fn no_text_of_anybody_reaches_the_terminal_as_more_than_text() {
    let evil = [
        "\u{1b}[2J\u{1b}]0;title\u{7}\u{1b}P+q\u{1b}\\".to_owned(),
        "\u{9b}31m\u{90}\u{85}\u{0}\u{8}\u{7f}".to_owned(),
        "\u{202e}txt.exe\u{2066}\u{200f}\u{200b}\u{feff}".to_owned(),
        format!("a{}", "\u{301}".repeat(10_000)),
        "\u{301}\u{302}alone\u{200d}\u{fe0f}".to_owned(),
        "李雷和韩梅梅👩\u{200d}👩\u{200d}👧🇩🇪".repeat(9),
        "14:02  me · Delivered 14:02\n14:02  Bob\n── new ──".to_owned(),
        "x".repeat(6_000),
        "﷽ ᄀᄀᄀ각ᆨᆨ \u{115f}\u{3164}\u{1160}".to_owned(),
    ];
    for text in &evil {
        for columns in [20, 60, 80] {
            let mut chat = Chat::with(columns, 12, vec![samples::theirs(1, 1, text), samples::own(1, 2, text)]);
            let name: String = text.chars().take(64).collect();
            let mut contact = samples::contact(1, &name);
            contact.last_activity.0 += 1;
            chat.input(Input::Event(Box::new(starling_api::EventBody::ContactChanged(contact))));
            chat.input(Input::Paste(text.clone()));
            screen(&chat);
            chat.input(Input::Key(Key::Tab));
            screen(&chat);
            chat.input(Input::Key(Key::PageUp));
            let shown = screen(&chat).concat();
            assert!(!shown.contains(['\u{202e}', '\u{2066}', '\u{200b}', '\u{1b}', '\u{9b}']), "{shown}");
        }
    }
    let chat = Chat::with(80, 24, vec![samples::theirs(1, 1, &evil[6])]);
    let shown = screen(&chat);
    let faked = shown.iter().filter_map(|row| row.split_once('│')).filter(|(_, right)| right.starts_with("14:02"));
    assert_eq!(faked.count(), 1, "what a message says is set in: {shown:#?}");
}

#[test]
fn a_node_that_is_gone_is_told_in_words() {
    let mut chat = conversation(80, 24);
    chat.input(Input::Gone(Gone::Stopped));
    assert!(screen(&chat)[23].starts_with("Node stopped. Start it: starling"));
    chat.input(Input::Gone(Gone::Locked));
    assert!(screen(&chat)[23].starts_with("Node locked. Open it: starling unlock"));
    chat.input(Input::Connected(Node { state: "alone", peers: 0 }));
    assert!(screen(&chat)[23].starts_with("alone · 0 peers"));
    let mut chat = Chat::new(80, 24);
    assert!(screen(&chat)[1].ends_with("Asking the node..."));
    chat.input(Input::Connected(Node { state: "online", peers: 1 }));
    chat.input(Input::Conversations(Vec::new()));
    assert!(screen(&chat)[1].contains("Nobody can find you unless you invite them."));
    chat.enter("hi");
    assert!(screen(&chat).concat().contains("Nobody is here to write to."));
}

#[test]
fn the_cursor_stands_where_is_written() {
    let mut chat = conversation(80, 24);
    for character in "ab 李".chars() {
        chat.input(Input::Key(Key::Char(character)));
    }
    let mut buffer = Buffer::empty(Rect::new(0, 0, 80, 24));
    let cursor = draw(&chat.state, PLAIN, &mut buffer);
    assert_eq!(cursor, Some(Position { x: 21 + 2 + 5, y: 22 }));
    chat.input(Input::Key(Key::Tab));
    assert_eq!(draw(&chat.state, PLAIN, &mut buffer), None);
    // Without colours no cell has one.
    assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
}
