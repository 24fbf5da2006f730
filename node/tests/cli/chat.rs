//! The chat in a terminal of the tests' own: what a person types, and what they then see.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Child;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

use rustix::fs::OFlags;
use rustix::process::{Pid, Signal, kill_process};
use rustix::pty::OpenptFlags;
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};

use crate::harness::{DEADLINE, Done, Home, finish, network};
use crate::talk::Pair;

/// A terminal with a program in it.
pub(crate) struct Terminal {
    child: Option<Child>,
    keyboard: File,
    program_side: File,
    shown: Arc<(Mutex<vt100::Parser>, Condvar)>,
}

impl Terminal {
    /// Runs a command in a terminal of this size.
    pub(crate) fn run(home: &Home, arguments: &[&str], columns: u16, rows: u16) -> Self {
        let (keyboard, slave) = pair_of_files(columns, rows);
        let shown = Arc::new((Mutex::new(vt100::Parser::new(rows, columns, 0)), Condvar::new()));
        let (mut output, shows) = (keyboard.try_clone().unwrap(), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut bytes = [0; 65_536];
            while let Ok(count @ 1..) = output.read(&mut bytes) {
                shows.0.lock().unwrap().process(&bytes[..count]);
                shows.1.notify_all();
            }
        });
        let mut command = home.command(arguments);
        let side = || slave.try_clone().unwrap();
        command.env("TERM", "xterm-256color").stdin(side()).stdout(side()).stderr(side());
        Self { child: Some(command.spawn().unwrap()), keyboard, program_side: slave, shown }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits until the screen is as wanted; its rows.
    #[track_caller]
    fn sees(&self, what: &str, wanted: impl Fn(&vt100::Screen, &str) -> bool) -> String {
        let end = Instant::now() + DEADLINE;
        let mut parser = self.shown.0.lock().unwrap();
        loop {
            let text = parser.screen().contents();
            if wanted(parser.screen(), &text) {
                return text;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "not seen: {what}\n{text}");
            parser = self.shown.1.wait_timeout(parser, left).unwrap().0;
        }
    }

    #[track_caller]
    pub(crate) fn reads(&self, words: &str) -> String {
        self.sees(words, |_, text| text.contains(words))
    }

    fn resizes(&self, columns: u16, rows: u16) {
        self.shown.0.lock().unwrap().screen_mut().set_size(rows, columns);
        tcsetwinsize(&self.keyboard, winsize(columns, rows)).unwrap();
        // The terminal belongs to no session, so that nobody else tells.
        self.signals(Signal::WINCH);
    }

    fn signals(&self, signal: Signal) {
        let pid = self.child.as_ref().unwrap().id();
        kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
    }

    /// Whether keys are shown and lines are edited, as a shell wants it.
    fn is_cooked(&self) -> bool {
        let modes = tcgetattr(&self.program_side).unwrap().local_modes;
        modes.contains(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG)
    }

    /// Waits for the end, after which the terminal must be as it was before.
    #[track_caller]
    pub(crate) fn ends(&mut self) -> Done {
        let done = finish(self.child.take().unwrap(), &["chat"]);
        self.sees("the screen of before", |screen, _| {
            !screen.alternate_screen() && !screen.hide_cursor() && !screen.bracketed_paste()
        });
        assert!(self.is_cooked(), "the terminal is as it was");
        done
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Both sides of a terminal: the one of its person, and the one of its program.
fn pair_of_files(columns: u16, rows: u16) -> (File, File) {
    let master = rustix::pty::openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    rustix::pty::grantpt(&master).unwrap();
    rustix::pty::unlockpt(&master).unwrap();
    let name = rustix::pty::ptsname(&master, Vec::new()).unwrap();
    // No program gets the side of its person too: it would keep its own terminal open.
    rustix::io::fcntl_setfd(&master, rustix::io::FdFlags::CLOEXEC).unwrap();
    let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
    let slave = rustix::fs::open(name.as_c_str(), flags, rustix::fs::Mode::empty()).unwrap();
    let master = File::from(master);
    tcsetwinsize(&master, winsize(columns, rows)).unwrap();
    (master, slave.into())
}

fn winsize(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

#[test]
fn a_conversation_in_a_terminal() {
    let pair = Pair::new(&[]);
    let mut terminal = Terminal::run(&pair.ana, &["chat", "Bob"], 80, 24);
    terminal.reads("  the first one");
    assert!(!terminal.is_cooked());
    terminal.types("hello from a terminal\r");
    terminal.reads("  hello from a terminal");
    // The words of its last state; the text before it was Bob's.
    terminal.reads("me · Delivered ");
    assert!(pair.bob.run(&["log", "Ana"]).ok().contains("Ana: hello from a terminal"));

    pair.bob.run(&["send", "Ana", "an answer \u{1b}[2J\u{202e}"]).ok();
    let screen = terminal.reads("  an answer <U+001B>[2J<U+202E>");
    assert!(screen.contains(">Bob") && screen.contains('│'), "{screen}");

    terminal.resizes(40, 12);
    let narrow = terminal.sees("one pane", |_, text| text.starts_with("Bob · ready") && !text.contains('│'));
    assert!(narrow.contains("an answer"), "{narrow}");
    terminal.types("\u{1b}[200~two\rlines\u{1b}[201~");
    terminal.sees("a paste that is not sent", |_, text| {
        let rows: Vec<&str> = text.lines().map(str::trim_end).collect();
        rows.windows(2).any(|two| two == ["> two", "  lines"])
    });
    terminal.types("\u{15}\u{7f}\u{15}/search first\r");
    terminal.reads("Search 'first': 1 of 1");
    // Something else wrote to the terminal: Ctrl-L draws all of it again.
    terminal.shown.0.lock().unwrap().process(b"\x1b[2J");
    terminal.types("\u{c}");
    terminal.sees("all of it again", |_, text| text.contains("the first one") && text.contains("Search"));
    terminal.types("\u{1b}");
    terminal.sees("the search is over", |_, text| !text.contains("Search"));
    terminal.types("/quit\r");
    assert_eq!(terminal.ends().code, Some(0));
}

#[test]
fn the_chat_outlives_its_node_and_sends_once_what_was_written_meanwhile() {
    let mut pair = Pair::new(&[]);
    let mut terminal = Terminal::run(&pair.ana, &["chat"], 80, 24);
    terminal.reads("  the first one");
    pair.ana.run(&["stop"]).ok();
    terminal.reads("Node stopped. Start it: starling");
    terminal.types("\twritten meanwhile\r");
    terminal.reads("your text stays here");
    pair.ana_node = pair.ana.start(&pair.network);
    terminal.sees("the node again", |_, text| !text.contains("Node stopped"));
    assert!(terminal.reads("> written meanwhile").contains("  the first one"));
    terminal.types("\r");
    terminal.reads("me · Delivered ");
    let log = pair.bob.run(&["log", "Ana"]).ok();
    assert_eq!(log.matches("written meanwhile").count(), 1, "{log}");
    // What comes from elsewhere is shown too, once.
    pair.ana.run(&["send", "Bob", "from another window"]).ok();
    assert_eq!(terminal.reads("  from another window").matches("from another window").count(), 1);
    terminal.signals(Signal::TERM);
    assert_eq!(terminal.ends().code, Some(130));
}

#[test]
fn without_a_terminal_or_a_node_the_chat_says_so() {
    let home = Home::new();
    home.run(&["chat"]).fails(2, "'chat' needs a terminal.");
    assert_eq!(home.run(&["chat", "--json"]).error(2)["code"], "usage");
    let mut terminal = Terminal::run(&home, &["chat"], 80, 24);
    assert_eq!(terminal.ends().code, Some(3));
    terminal.reads("No node runs for");

    let _node = home.start(&network());
    let mut terminal = Terminal::run(&home, &["chat", "Zed"], 80, 24);
    assert_eq!(terminal.ends().code, Some(5));
    terminal.reads("Nobody here is called 'Zed'.");
    let mut terminal = Terminal::run(&home, &["chat"], 20, 5);
    terminal.reads("Nobody can");
    terminal.types("\u{3}");
    assert_eq!(terminal.ends().code, Some(0));
}

#[test]
fn the_chat_ends_with_its_terminal() {
    let home = Home::new();
    let _node = home.start(&network());
    let (mut master, slave) = pair_of_files(80, 24);
    let mut command = home.command(&["chat"]);
    let side = || slave.try_clone().unwrap();
    let child = command.stdin(side()).stdout(side()).stderr(side()).spawn().unwrap();
    drop((command, slave));
    let (mut said, mut bytes) = (Vec::new(), [0; 4_096]);
    while !said.windows(8).any(|part| part == b"Contacts") {
        let count = master.read(&mut bytes).unwrap();
        said.extend_from_slice(&bytes[..count]);
    }
    drop(master);
    let done = finish(child, &["chat"]);
    assert_eq!(done.code, Some(130), "{done:?}");
}
