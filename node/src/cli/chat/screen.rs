//! The terminal while the chat has it: raw, its other screen, keys and mouse read. However the program ends, the terminal
//! is given back as it was: at the end of [`Screen`], at a signal, and when the program fails, as release builds abort
//! before anything is dropped.

use std::io::{self, BufWriter, Stdout, Write as _};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::SyncSender;

use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::buffer::Buffer;
use ratatui::crossterm::cursor::Show;
use ratatui::crossterm::event::{
    self, DisableBracketedPaste, DisableMouseCapture, EnableBracketedPaste, EnableMouseCapture, Event, KeyCode,
    KeyEvent, KeyEventKind, KeyModifiers, MouseButton, MouseEvent, MouseEventKind,
};
use ratatui::crossterm::terminal::{
    BeginSynchronizedUpdate, EndSynchronizedUpdate, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode,
    enable_raw_mode,
};
use ratatui::crossterm::{execute, queue};
use ratatui::layout::{Position, Rect};

use super::input::{Input, Key, Mouse, Place, Size};
use crate::cli::failure::{Exit, Failure};
use crate::cli::interrupt;

/// Bytes of a drawing that leave at once: a whole screen of any size in use, so that none is seen half drawn.
const DRAWING_BYTES: usize = 256 * 1024;

/// The terminal is ours.
static IS_OURS: AtomicBool = AtomicBool::new(false);

/// The terminal, while it is ours.
pub(crate) struct Screen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

fn failed(error: &io::Error) -> Failure {
    // Whoever notices first that the terminal is closed, the program ends as at that: there is nowhere to say more.
    interrupt::exit_if_closed();
    Failure::unexpected(format!("The terminal can not be used: {error}"))
}

impl Screen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// It is none, or it is gone.
    pub(crate) fn enter(mouse: bool) -> Result<Self, Failure> {
        interrupt::at_end(give_back_for_good);
        interrupt::exit_on_terminate();
        let before = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            give_back_for_good();
            before(panic);
            // A thread that is gone must not leave a program that only looks alive.
            std::process::exit(Exit::Unexpected as i32);
        }));
        IS_OURS.store(true, Ordering::SeqCst);
        let take = || -> io::Result<Self> {
            enable_raw_mode()?;
            execute!(io::stdout(), EnterAlternateScreen, EnableBracketedPaste)?;
            if mouse {
                execute!(io::stdout(), EnableMouseCapture)?;
            }
            let out = BufWriter::with_capacity(DRAWING_BYTES, io::stdout());
            Ok(Self { terminal: Terminal::new(CrosstermBackend::new(out))? })
        };
        take().map_err(|error| {
            give_back();
            failed(&error)
        })
    }

    /// Columns and rows.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn size(&self) -> Result<Size, Failure> {
        let size = self.terminal.size().map_err(|error| failed(&error))?;
        Ok(Size { columns: size.width, rows: size.height })
    }

    /// Draws, and puts the cursor where `draw` says. Only cells that differ from those before are written.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn draw(&mut self, draw: impl FnOnce(&mut Buffer) -> Option<Position>) -> Result<(), Failure> {
        let drawn = || -> io::Result<()> {
            queue!(self.terminal.backend_mut(), BeginSynchronizedUpdate)?;
            self.terminal.draw(|frame| {
                if let Some(position) = draw(frame.buffer_mut()) {
                    frame.set_cursor_position(position);
                }
            })?;
            execute!(self.terminal.backend_mut(), EndSynchronizedUpdate)
        };
        drawn().map_err(|error| failed(&error))
    }

    /// Forgets what is on the screen, so that all of it is drawn again.
    ///
    /// # Errors
    /// The terminal is gone.
    pub(crate) fn clear(&mut self) -> Result<(), Failure> {
        // Not `clear`, which asks the terminal where its cursor is, and waits for an answer that some never give.
        let size = self.terminal.size().map_err(|error| failed(&error))?;
        self.terminal.resize(Rect::from((Position::ORIGIN, size))).map_err(|error| failed(&error))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.terminal.show_cursor();
        give_back();
    }
}

/// Gives the terminal back, if it is ours. Nobody is there to be told when that fails.
fn give_back() {
    if IS_OURS.swap(false, Ordering::SeqCst) {
        let mut out = io::stdout().lock();
        let _ = execute!(
            out,
            EndSynchronizedUpdate,
            DisableMouseCapture,
            DisableBracketedPaste,
            Show,
            LeaveAlternateScreen
        );
        let _ = out.flush();
        let _ = disable_raw_mode();
    }
}

/// The same in a program that ends now: nothing is drawn any more.
fn give_back_for_good() {
    give_back();
    std::mem::forget(io::stdout().lock());
}

/// Reads keys, and the mouse, from now on.
///
/// # Errors
/// There is no thread for it.
pub(crate) fn read_keys(inputs: SyncSender<Input>) -> Result<(), Failure> {
    let read = move || {
        loop {
            let input = match event::read() {
                Ok(event) => input(event),
                Err(_) => Some(Input::NoKeyboard),
            };
            let is_last = input == Some(Input::NoKeyboard);
            if input.is_some_and(|input| inputs.send(input).is_err()) || is_last {
                return;
            }
        }
    };
    let thread = std::thread::Builder::new().name("keyboard".to_owned()).spawn(read);
    thread.map(drop).map_err(|error| failed(&error))
}

fn input(event: Event) -> Option<Input> {
    match event {
        Event::Key(event) if event.kind != KeyEventKind::Release => key(event).map(Input::Key),
        Event::Paste(text) => Some(Input::Paste(text)),
        Event::Mouse(event) => mouse(event).map(Input::Mouse),
        Event::Resize(columns, rows) => Some(Input::Resized(Size { columns, rows })),
        _ => None,
    }
}

fn key(event: KeyEvent) -> Option<Key> {
    let control = event.modifiers.contains(KeyModifiers::CONTROL);
    let alt = event.modifiers.contains(KeyModifiers::ALT);
    Some(match event.code {
        KeyCode::Char(character) if control => match character {
            'c' => Key::Interrupt,
            'j' => Key::NewLine,
            'w' => Key::DeleteWord,
            'u' => Key::DeleteLine,
            'a' => Key::Home,
            'e' => Key::End,
            'h' => Key::Backspace,
            'l' => Key::Redraw,
            _ => return None,
        },
        KeyCode::Char(character) if !alt => Key::Char(character),
        KeyCode::Enter if alt || event.modifiers.contains(KeyModifiers::SHIFT) => Key::NewLine,
        KeyCode::Enter => Key::Enter,
        KeyCode::Tab => Key::Tab,
        KeyCode::BackTab => Key::BackTab,
        KeyCode::Up => Key::Up,
        KeyCode::Down => Key::Down,
        KeyCode::Left => Key::Left,
        KeyCode::Right => Key::Right,
        KeyCode::Home => Key::Home,
        KeyCode::End => Key::End,
        KeyCode::PageUp => Key::PageUp,
        KeyCode::PageDown => Key::PageDown,
        KeyCode::Backspace if alt => Key::DeleteWord,
        KeyCode::Backspace => Key::Backspace,
        KeyCode::Delete => Key::Delete,
        KeyCode::Esc => Key::Escape,
        _ => return None,
    })
}

fn mouse(event: MouseEvent) -> Option<Mouse> {
    let place = Place { column: event.column, row: event.row };
    match event.kind {
        MouseEventKind::ScrollUp => Some(Mouse::WheelUp(place)),
        MouseEventKind::ScrollDown => Some(Mouse::WheelDown(place)),
        MouseEventKind::Down(MouseButton::Left) => Some(Mouse::Click(place)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_what_people_expect() {
        let pressed = |code, modifiers| key(KeyEvent::new(code, modifiers));
        assert_eq!(pressed(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Interrupt));
        assert_eq!(pressed(KeyCode::Char('C'), KeyModifiers::SHIFT), Some(Key::Char('C')));
        assert_eq!(pressed(KeyCode::Enter, KeyModifiers::NONE), Some(Key::Enter));
        assert_eq!(pressed(KeyCode::Enter, KeyModifiers::ALT), Some(Key::NewLine));
        assert_eq!(pressed(KeyCode::BackTab, KeyModifiers::SHIFT), Some(Key::BackTab));
        assert_eq!(pressed(KeyCode::Char('x'), KeyModifiers::ALT), None);
        let resized = input(Event::Resize(40, 12));
        assert_eq!(resized, Some(Input::Resized(Size { columns: 40, rows: 12 })));
    }
}
