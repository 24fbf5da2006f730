//! The command line. `starling` alone starts the node; every other command asks the running node through its local
//! API and never opens the vault itself. SPEC: product, CLI.
//!
//! One file a command. Results go to stdout, all else to stderr; exit codes are [`failure::Exit`].

#![deny(clippy::print_stdout, clippy::print_stderr)]

mod add;
mod backup;
mod change;
mod chat;
mod clean;
mod completions;
mod connect;
mod contacts;
mod doctor;
mod exec;
mod failure;
mod files;
mod follow;
mod hints;
mod id;
mod interrupt;
mod invite;
mod lock;
mod log;
mod names;
mod open;
mod passphrase;
mod peers;
mod qr;
mod receipts;
mod requests;
mod scan;
mod secret;
mod send;
mod status;
mod stop;
mod terminal;
mod times;
mod trace;
mod unlock;
mod up;
mod verify;
mod watch;
mod wipe;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

use connect::Context;
use failure::{Exit, Failure};
use terminal::Terminal;

use crate::memory::Guard;
use crate::spans::{self, counted};

/// Starling: a messenger with nobody in the middle.
///
/// Without a command, starts the node in the foreground. All other commands talk to the running node.
#[derive(Debug, Parser)]
#[command(name = "starling", version, max_term_width = 100, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    global: Global,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    up: up::Flags,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Data directory [default: starling in the user's data directory].
    #[arg(long, global = true, value_name = "DIR", env = "STARLING_DATA")]
    data: Option<PathBuf>,
    /// In the place of --data: node N of a testnet, after eval "$(starling-testnet env)".
    #[arg(long, global = true, value_name = "N")]
    node: Option<u16>,
    /// Print results and errors as JSON, one object a line.
    #[arg(long, global = true)]
    json: bool,
    /// Print results and errors only.
    #[arg(long, short, global = true)]
    quiet: bool,
    /// No colours (also: NO_COLOR).
    #[arg(long, global = true)]
    no_color: bool,
    /// How long to wait [default: 30s; 120s for `send --wait delivered` and `read`; `watch` and `log --follow` go on].
    #[arg(long, global = true, value_name = "TIME", value_parser = spans::parse)]
    timeout: Option<Duration>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Start the node in the foreground (the same as `starling` alone).
    Up(up::Flags),
    /// State, peers, reach, outbox, warnings.
    Status(status::Arguments),
    /// What is wrong, why, and what to do next; exits with 9 when something fails.
    Doctor(doctor::Arguments),
    /// Open the page in a browser, by a link that is good once.
    Open(open::Arguments),
    /// Your address, device and peer id; set your own name.
    Id(id::Arguments),
    /// Make an invite for one person; list and withdraw invites.
    Invite(invite::Arguments),
    /// Use an invite, or somebody's address.
    Add(add::Arguments),
    /// People you can write to, by last activity.
    Contacts(contacts::Arguments),
    /// Compare a number, words or a QR code with a contact, to be sure that nobody sits between you.
    Verify(verify::Arguments),
    /// People who wrote to you without an invite.
    Requests(requests::Arguments),
    /// Send a text, a picture or a file.
    Send(send::Arguments),
    /// Save the file of a message.
    Save(files::Arguments),
    /// A conversation in the terminal: contacts, what was said, what is on its way; /help inside.
    Chat(chat::Arguments),
    /// React to a message, or take a reaction back.
    React(change::ReactArguments),
    /// Change what you wrote, for both of you.
    Edit(change::EditArguments),
    /// Delete a message: your own for both of you, any here.
    Delete(change::DeleteArguments),
    /// What was said.
    Log(log::Arguments),
    /// Follow everything that happens, one event a line.
    Watch(watch::Arguments),
    /// The life of one message: why it is where it is.
    Trace(trace::Arguments),
    /// Whether contacts are told what you read, and you what they read: on or off.
    Receipts(receipts::Arguments),
    /// Nodes this one is connected to.
    Peers(peers::Arguments),
    /// Protect this computer's copy by a passphrase, change it, or remove it.
    Passphrase(passphrase::Arguments),
    /// Open a node that waits for its passphrase.
    #[command(after_help = format!("Forgotten? {}", hints::FORGOTTEN))]
    Unlock(unlock::Arguments),
    /// Close the vault until its passphrase is given again.
    Lock(lock::Arguments),
    /// Account, contacts and history in one sealed file.
    Backup(backup::Arguments),
    /// Stop the node.
    Stop(stop::Arguments),
    /// Destroy account, contacts and messages on this computer.
    Wipe(wipe::Arguments),
    /// Completions for a shell, on stdout.
    Completions(completions::Arguments),
}

/// Runs the command line of this process.
pub(crate) fn run(guard: Guard) -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return explain(&error).into(),
    };
    let terminal = Terminal::new(cli.global.json, cli.global.quiet, cli.global.no_color);
    let exit = match dispatch(cli, terminal, guard) {
        Ok(exit) => exit,
        Err(failure) => {
            terminal.failure(&failure);
            failure.exit
        }
    };
    exit.into()
}

fn dispatch(cli: Cli, terminal: Terminal, guard: Guard) -> Result<Exit, Failure> {
    let context = Context::new(terminal, &cli.global)?;
    if cli.command.is_some() && cli.up != up::Flags::default() {
        return Err(Failure::bad_input("Flags of 'up' stand behind 'up', or alone; other commands have none of them."));
    }
    let command = match cli.command {
        None => return up::run(&context, &cli.up, guard),
        Some(Command::Up(flags)) => return up::run(&context, &flags, guard),
        Some(Command::Completions(arguments)) => return completions::run(&context, &arguments),
        Some(command) => command,
    };
    interrupt::exit_on_ctrl_c();
    match command {
        Command::Status(arguments) => status::run(&context, &arguments),
        Command::Doctor(arguments) => doctor::run(&context, &arguments),
        Command::Open(arguments) => open::run(&context, &arguments),
        Command::Id(arguments) => id::run(&context, &arguments),
        Command::Invite(arguments) => invite::run(&context, &arguments),
        Command::Add(arguments) => add::run(&context, &arguments),
        Command::Contacts(arguments) => contacts::run(&context, &arguments),
        Command::Verify(arguments) => verify::run(&context, &arguments),
        Command::Requests(arguments) => requests::run(&context, &arguments),
        Command::Send(arguments) => send::run(&context, &arguments),
        Command::Save(arguments) => files::save(&context, &arguments),
        Command::Chat(arguments) => chat::run(&context, &arguments),
        Command::React(arguments) => change::react(&context, &arguments),
        Command::Edit(arguments) => change::edit(&context, &arguments),
        Command::Delete(arguments) => change::delete(&context, &arguments),
        Command::Log(arguments) => log::run(&context, &arguments),
        Command::Watch(arguments) => watch::run(&context, &arguments),
        Command::Trace(arguments) => trace::run(&context, &arguments),
        Command::Receipts(arguments) => receipts::run(&context, &arguments),
        Command::Peers(arguments) => peers::run(&context, &arguments),
        Command::Passphrase(arguments) => passphrase::run(&context, &arguments),
        Command::Unlock(arguments) => unlock::run(&context, &arguments),
        Command::Lock(arguments) => lock::run(&context, &arguments),
        Command::Backup(arguments) => backup::run(&context, &arguments),
        Command::Wipe(arguments) => wipe::run(&context, &arguments),
        Command::Stop(arguments) => stop::run(&context, &arguments),
        Command::Up(_) | Command::Completions(_) => Ok(Exit::Ok),
    }
}

/// Says what is wrong with the arguments, or shows the help that was asked for.
fn explain(error: &clap::Error) -> Exit {
    use clap::error::ErrorKind;
    let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
    // The flags were not parsed, so they are looked for by hand.
    let json = !asked && std::env::args_os().skip(1).take_while(|word| word != "--").any(|word| word == "--json");
    if json {
        let failure = Failure::new(Exit::Usage, "usage", error.render().to_string().trim_end().to_owned());
        Terminal::new(true, false, true).failure(&failure);
    } else {
        // Nobody may be reading any more; that is not worth a panic.
        let _ = error.print();
    }
    if asked { Exit::Ok } else { Exit::Usage }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_is_described() {
        fn visit(command: &clap::Command) {
            assert!(command.get_about().is_some(), "{} says nothing", command.get_name());
            for argument in command.get_arguments() {
                assert!(argument.get_help().is_some(), "{} {} says nothing", command.get_name(), argument.get_id());
            }
            command.get_subcommands().for_each(visit);
        }
        visit(&Cli::command());
    }
}
