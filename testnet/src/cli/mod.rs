//! The command line. Results go to stdout, everything else to stderr; exit codes are those of
//! `starling`.

mod demo;
mod env;
mod logs;
mod ps;
mod send;
mod up;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{Parser, Subcommand};
use starling_testnet::control::{Request, ask};
use starling_testnet::run_folder::{NetState, RunFolder};

/// Ended well.
const EXIT_OK: u8 = 0;
/// Something unexpected.
const EXIT_UNEXPECTED: u8 = 1;
/// Bad input.
const EXIT_USAGE: u8 = 2;
/// No testnet runs.
const EXIT_NOT_RUNNING: u8 = 3;
/// No such node or message.
const EXIT_NOT_FOUND: u8 = 5;
/// One runs already.
const EXIT_CONFLICT: u8 = 6;
/// Not reached in time.
const EXIT_TIMEOUT: u8 = 7;
/// A step could not run.
const EXIT_SKIPPED: u8 = 77;
/// Ctrl-C.
const EXIT_INTERRUPTED: u8 = 130;

/// Starts, stops and breaks networks of real Starling nodes on this machine.
#[derive(Parser)]
#[command(name = "starling-testnet", version, max_term_width = 100)]
struct Cli {
    /// Which testnet
    #[arg(long, global = true, default_value = "default", env = "STARLING_TESTNET")]
    name: String,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Start a testnet and introduce its nodes to each other
    Up(up::UpArgs),
    /// List the nodes: name, pid, state, peers, memory, address
    Ps,
    /// Show the health of the testnet
    Status,
    /// Print shell variables for `starling --node N`; use: eval "$(starling-testnet env)"
    Env,
    /// Send a text from one node to another and wait until it is delivered
    Send(send::SendArgs),
    /// Print the nodes' logs
    Logs(logs::LogsArgs),
    /// Kill a node with SIGKILL
    Kill {
        /// Number or name
        node: String,
    },
    /// Start a node again; one that runs is stopped first
    Restart {
        /// Number or name
        node: String,
    },
    /// Stop all nodes and remove their data
    Down {
        /// All testnets of this user
        #[arg(long)]
        all: bool,
    },
    /// Measure a network from its start to the loss of its first node
    Demo(demo::DemoArgs),
}

/// An error with its exit code.
pub(crate) struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: EXIT_UNEXPECTED, error: error.into() }
    }
}

impl Failure {
    fn new(code: u8, text: impl Into<String>) -> Self {
        Self { code, error: anyhow::anyhow!(text.into()) }
    }
}

type Outcome = Result<u8, Failure>;

/// Parses the command line and runs it.
pub(crate) fn run() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { EXIT_USAGE } else { EXIT_OK });
        }
    };
    let json = cli.json;
    match dispatch(cli) {
        Ok(code) => ExitCode::from(code),
        Err(failure) => {
            if json {
                let message = format!("{:#}", failure.error);
                eprintln!(
                    "{}",
                    serde_json::json!({ "v": 1, "error": { "exit_code": failure.code, "message": message } })
                );
            } else {
                eprintln!("{:#}", failure.error);
            }
            ExitCode::from(failure.code)
        }
    }
}

fn dispatch(cli: Cli) -> Outcome {
    let folder = RunFolder::of(&cli.name).map_err(|error| Failure { code: EXIT_USAGE, error })?;
    match cli.command {
        Command::Up(args) => up::up(&cli.name, &folder, &args, cli.json),
        Command::Ps => ps::ps(&running(&folder, &cli.name)?, cli.json),
        Command::Status => ps::status(&running(&folder, &cli.name)?, cli.json),
        Command::Env => env::env(&running(&folder, &cli.name)?),
        Command::Send(args) => send::send(&running(&folder, &cli.name)?, &args, cli.json),
        Command::Logs(args) => logs::logs(&running(&folder, &cli.name)?, &args),
        Command::Kill { node } => order(&folder, &cli.name, &Request::Kill { node }, cli.json),
        Command::Restart { node } => order(&folder, &cli.name, &Request::Restart { node }, cli.json),
        Command::Down { all } => down(&folder, &cli.name, all, cli.json),
        Command::Demo(args) => demo::demo(&args, cli.json),
    }
}

fn running(folder: &RunFolder, name: &str) -> Result<NetState, Failure> {
    folder.running()?.ok_or_else(|| {
        Failure::new(EXIT_NOT_RUNNING, format!("No testnet '{name}' runs. Start it: starling-testnet up --name {name}"))
    })
}

fn order(folder: &RunFolder, name: &str, request: &Request, json: bool) -> Outcome {
    running(folder, name)?;
    let answer = ask(folder, request)?;
    if !answer.ok {
        return Err(Failure::new(EXIT_NOT_FOUND, answer.text));
    }
    if json {
        println!("{}", serde_json::json!({ "v": 1, "ok": true, "text": answer.text }));
    } else {
        println!("{}", answer.text);
    }
    Ok(EXIT_OK)
}

fn down(folder: &RunFolder, name: &str, all: bool, json: bool) -> Outcome {
    let names = if all { starling_testnet::run_folder::all()? } else { vec![name.to_owned()] };
    let (mut stopped, mut left, mut removed_bytes) = (0, 0, 0);
    for name in &names {
        let folder = if all { RunFolder::of(name)? } else { folder.clone() };
        if folder.running()?.is_some() {
            let answer = ask(&folder, &Request::Down)?;
            left += usize::from(!answer.ok);
            stopped += answer.stopped;
            removed_bytes += answer.removed_bytes;
        } else if let Some(ended) = folder.clear_leftovers()? {
            stopped += ended;
        } else if !all {
            running(&folder, name)?;
        }
    }
    if json {
        println!("{}", serde_json::json!({ "v": 1, "stopped": stopped, "left": left, "removed_bytes": removed_bytes }));
    } else {
        println!("{stopped} stopped, {left} left, {} MB removed", removed_bytes / 1_000_000);
    }
    Ok(if left == 0 { EXIT_OK } else { EXIT_UNEXPECTED })
}

/// Set by Ctrl-C, SIGTERM and SIGHUP from now on, which then no longer end the process by themselves.
pub(crate) fn on_interrupt() -> Result<Arc<AtomicBool>, Failure> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = interrupted.clone();
    ctrlc::set_handler(move || flag.store(true, Ordering::SeqCst))?;
    Ok(interrupted)
}
