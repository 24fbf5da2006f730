//! `starling open`: a one-use link to the page, opened in a browser if there is one. SPEC: product 0.4.

use std::process::{Command, Stdio};

use clap::Args;
use starling_api::Versioned;

use super::connect::Context;
use super::failure::{Exit, Failure};
use super::{clean, times};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// Print the link and open nothing.
    #[arg(long)]
    print: bool,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    let code = context.client()?.login_code()?;
    let terminal = &context.terminal;
    if terminal.json {
        terminal.object(&Versioned::new(&code))?;
        return Ok(Exit::Ok);
    }
    let opened = !arguments.print && has_desktop() && browse(&code.url);
    if opened {
        terminal.note("Opened in your browser. If nothing shows, open this link yourself:");
    }
    terminal.line(&clean::line(&code.url))?;
    terminal
        .note(&format!("Good once, until {}. Do not hand it on: it signs a browser in.", times::clock(code.expires)));
    Ok(Exit::Ok)
}

/// Whether this session has a screen of its own.
pub(crate) fn has_desktop() -> bool {
    let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    // Over ssh the browser would open on the wrong computer, or in the terminal.
    let remote = set("SSH_CONNECTION") || set("SSH_TTY");
    !remote && (cfg!(target_os = "macos") || set("DISPLAY") || set("WAYLAND_DISPLAY"))
}

/// Asks the desktop to show `url`; whether it took it.
pub(crate) fn browse(url: &str) -> bool {
    let opener = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let spawned =
        Command::new(opener).arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let Ok(mut child) = spawned else { return false };
    // It ends by itself when the browser has it; until then nobody waits for it.
    std::thread::spawn(move || drop(child.wait()));
    true
}
