//! Ctrl-C in a command that waits: exit code 130, and a terminal that shows what is typed again.

use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::process;
use std::sync::{Mutex, PoisonError, mpsc};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use tokio::signal::unix::{SignalKind, signal};

use super::failure::Exit;

/// The terminal of this process, whatever stdin is.
const TERMINAL: &str = "/dev/tty";

/// The terminal as it was before a passphrase was asked for.
static TERMINAL_BEFORE: Mutex<Option<Termios>> = Mutex::new(None);

/// Gives the terminal back that a command has for itself.
static AT_END: Mutex<Option<fn()>> = Mutex::new(None);

/// A file or folder of a command that is not finished.
static UNFINISHED: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Ends the process with 130 at Ctrl-C, from now on: it returns when that holds. Nothing of a command needs to be
/// undone, as what the node took, it has; but for a file that is only half there.
pub(crate) fn exit_on_ctrl_c() {
    let (ready, armed) = mpsc::channel();
    // Without a thread or a signal handler the default still ends the process, with the shell's own 130.
    let _ = std::thread::Builder::new().name("interrupt".to_owned()).spawn(move || wait(&ready));
    let _ = armed.recv();
}

fn wait(ready: &mpsc::Sender<()>) {
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
    let interrupted = runtime.block_on(async {
        let mut interrupts = signal(SignalKind::interrupt()).ok()?;
        ready.send(()).ok()?;
        interrupts.recv().await
    });
    if interrupted.is_some() {
        exit();
    }
}

fn exit() -> ! {
    let give_back = *AT_END.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(give_back) = give_back {
        give_back();
    }
    restore_terminal();
    remove_unfinished();
    process::exit(Exit::Interrupted as i32)
}

/// What an interrupt from now on does first.
pub(crate) fn at_end(give_back: fn()) {
    *AT_END.lock().unwrap_or_else(PoisonError::into_inner) = Some(give_back);
}

/// Ends the process in the same way when it is told to end, or when its terminal is closed: for a command that must
/// give the terminal back. It returns when that holds.
pub(crate) fn exit_on_terminate() {
    let (ready, armed) = mpsc::channel();
    // Without a thread the default still ends the process.
    let _ = std::thread::Builder::new().name("terminate".to_owned()).spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_io().build() else { return };
        let ended = runtime.block_on(async {
            let mut terminated = signal(SignalKind::terminate()).ok()?;
            let mut closed = signal(SignalKind::hangup()).ok()?;
            ready.send(()).ok()?;
            tokio::select! {
                ended = terminated.recv() => ended,
                ended = closed.recv() => ended,
            }
        });
        if ended.is_some() {
            exit();
        }
    });
    let _ = armed.recv();
    let _ = std::thread::Builder::new().name("closed".to_owned()).spawn(exit_when_closed);
}

/// What an interrupt from now on would leave half done, and so removes: `None` when nothing.
pub(crate) fn leaves(path: Option<impl Into<PathBuf>>) {
    *UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner) = path.map(Into::into);
}

fn remove_unfinished() {
    let Some(path) = UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner).take() else { return };
    // Nobody is there to be told; a leftover is removed by the next attempt.
    let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
}

/// Remembers the terminal, so that an interrupt can restore it.
pub(crate) fn remember_terminal() {
    let before = File::open(TERMINAL).ok().and_then(|terminal| tcgetattr(terminal).ok());
    *TERMINAL_BEFORE.lock().unwrap_or_else(PoisonError::into_inner) = before;
}

/// Waits until the terminal behind stdin was closed. Who belongs to no session of it gets no signal, and what reads keys
/// would read nothing for ever, as fast as it can.
fn exit_when_closed() {
    if closes(None) {
        exit();
    }
}

/// Ends the process if the terminal behind stdin is closed.
pub(crate) fn exit_if_closed() {
    if closes(Some(&Timespec { tv_sec: 0, tv_nsec: 0 })) {
        exit();
    }
}

/// Whether the terminal behind stdin is closed within so long; for ever, if no time is given.
fn closes(timeout: Option<&Timespec>) -> bool {
    let terminal = io::stdin();
    loop {
        // Asked for nothing, it tells of the end alone.
        let mut ends = [PollFd::new(&terminal, PollFlags::empty())];
        match poll(&mut ends, timeout) {
            Err(Errno::INTR) => {}
            Ok(_) => return ends.iter().any(|end| end.revents().intersects(PollFlags::HUP | PollFlags::ERR)),
            Err(_) => return false,
        }
    }
}

/// Restores the terminal as it was remembered, if it was.
pub(crate) fn restore_terminal() {
    let before = TERMINAL_BEFORE.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let (Some(before), Ok(terminal)) = (before, File::open(TERMINAL)) {
        let _ = tcsetattr(terminal, OptionalActions::Now, &before);
    }
}
