//! `up`: in the foreground this process owns the nodes; in the background it starts such an owner, waits
//! until it is ready, and leaves it running.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use starling_testnet::binary::starling;
use starling_testnet::control::{ControlSocket, Next, Request, ask};
use starling_testnet::introduce::{Contacts, introduce};
use starling_testnet::net::{Net, NetOptions, check_memory};
use starling_testnet::run_folder::RunFolder;

use super::{EXIT_CONFLICT, EXIT_INTERRUPTED, EXIT_OK, EXIT_UNEXPECTED, EXIT_USAGE, Failure, Outcome, on_interrupt};

/// How often the owner looks for requests, interrupts and dead nodes.
const POLL: Duration = Duration::from_millis(20);
/// Longest wait for a background owner: its nodes have deadlines of their own.
const OWNER_DEADLINE: Duration = Duration::from_secs(300);

#[derive(Args)]
pub(crate) struct UpArgs {
    /// Number of nodes
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=200))]
    nodes: u16,
    /// Seed of what is random; drawn and shown if not given
    #[arg(long)]
    seed: Option<u64>,
    /// Who becomes whose contact
    #[arg(long, value_enum, default_value_t = ContactsArg::Ring)]
    contacts: ContactsArg,
    /// Own the nodes from this terminal; Ctrl-C takes the testnet down
    #[arg(long)]
    foreground: bool,
    /// Start even if memory looks too small
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ContactsArg {
    /// Everyone knows everyone
    All,
    /// Each knows the next, the last the first
    Ring,
    /// Nobody knows anybody
    None,
}

impl From<ContactsArg> for Contacts {
    fn from(arg: ContactsArg) -> Self {
        match arg {
            ContactsArg::All => Self::All,
            ContactsArg::Ring => Self::Ring,
            ContactsArg::None => Self::None,
        }
    }
}

/// Starts a testnet.
pub(crate) fn up(name: &str, folder: &RunFolder, args: &UpArgs, json: bool) -> Outcome {
    let nodes = usize::from(args.nodes);
    if let Some(state) = folder.running()? {
        let since = local_time(state.started_unix_ms);
        let count = state.nodes.len();
        return Err(Failure::new(
            EXIT_CONFLICT,
            format!("Testnet '{name}' runs since {since} ({count} nodes). Use it, or: down, or: up --name other"),
        ));
    }
    if !args.force {
        check_memory(nodes).map_err(|error| Failure { code: EXIT_USAGE, error })?;
    }
    if let Some(ended) = folder.clear_leftovers()? {
        eprintln!("Cleared what an earlier run of '{name}' left ({ended} nodes ended).");
    }
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u16>()));
    if args.foreground { own(name, nodes, seed, args, json) } else { in_background(name, folder, seed, args, json) }
}

fn local_time(unix_ms: u64) -> String {
    let timestamp = i64::try_from(unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    timestamp.map_or_else(
        || "?".to_owned(),
        |at| at.to_zoned_datetime(jiff::tz::TimeZone::system()).strftime("%H:%M").to_string(),
    )
}

/// Owns the nodes until it is interrupted or told to end.
fn own(name: &str, nodes: usize, seed: u64, args: &UpArgs, json: bool) -> Outcome {
    let interrupted = on_interrupt()?;
    let options = NetOptions { name: name.to_owned(), nodes, seed, binary: starling()?, names: Vec::new() };
    say(json, &format!("Testnet {name} · {nodes} nodes · processes on loopback · seed {seed} (repeat: --seed {seed})"));
    let since = Instant::now();
    let mut net = Net::create(&options)?;
    let started = net.start_nodes(
        &options,
        |node| say(json, &format!("  {:<3} {:<10} ready   {}", node.plan.number, node.plan.name, node.ready.url)),
        || interrupted.load(Ordering::SeqCst),
    );
    let introduced = started.and_then(|()| introduce(&net, args.contacts.into(), &interrupted));
    if let Err(error) = introduced {
        let _ = net.down();
        let code = if interrupted.load(Ordering::SeqCst) { EXIT_INTERRUPTED } else { EXIT_UNEXPECTED };
        return Err(Failure { code, error });
    }
    let socket = ControlSocket::open(net.run_folder())?;
    let next = "starling-testnet demo | ps | status | env | send | logs | down";
    say(json, &format!("Ready in {:.1} s. Next: {next}", since.elapsed().as_secs_f64()));
    // Only now: whoever waits for it in another process reads the line above first.
    net.set_ready()?;
    if json {
        println!("{}", serde_json::json!({ "v": 1, "event": "ready", "name": name, "nodes": nodes, "seed": seed }));
    }
    serve(net, &socket, &interrupted, json)
}

fn serve(mut net: Net, socket: &ControlSocket, interrupted: &AtomicBool, json: bool) -> Outcome {
    loop {
        if interrupted.load(Ordering::SeqCst) {
            let (stopped, bytes) = net.down()?;
            say(json, &format!("{stopped} stopped, 0 left, {} MB removed", bytes / 1_000_000));
            return Ok(EXIT_OK);
        }
        match socket.serve_one(net)? {
            Next::GoOn(same) => net = same,
            Next::End => return Ok(EXIT_OK),
        }
        std::thread::sleep(POLL);
    }
}

fn say(json: bool, line: &str) {
    if json {
        eprintln!("{line}");
    } else {
        println!("{line}");
    }
}

/// Starts an owner in a process group of its own, so that Ctrl-C in this terminal does not reach it, and
/// waits until it is ready.
fn in_background(name: &str, folder: &RunFolder, seed: u64, args: &UpArgs, json: bool) -> Outcome {
    let interrupted = on_interrupt()?;
    folder.create()?;
    let output = File::create(folder.owner_output())?;
    let contacts = args.contacts.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
    let mut owner = Command::new(std::env::current_exe()?)
        .args(["--name", name, "up", "--foreground", "--force"])
        .args(["--nodes", &args.nodes.to_string(), "--seed", &seed.to_string(), "--contacts", &contacts])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .process_group(0)
        .spawn()?;
    let since = Instant::now();
    let mut shown = 0;
    loop {
        shown = show_new(folder, shown, json);
        if folder.running()?.is_some_and(|state| state.ready) {
            show_new(folder, shown, json);
            if json {
                let nodes = args.nodes;
                println!(
                    "{}",
                    serde_json::json!({ "v": 1, "event": "ready", "name": name, "nodes": nodes, "seed": seed })
                );
            }
            return Ok(EXIT_OK);
        }
        if let Some(status) = owner.try_wait()? {
            show_new(folder, shown, json);
            return Err(Failure::new(EXIT_UNEXPECTED, format!("the testnet did not start ({status})")));
        }
        if interrupted.load(Ordering::SeqCst) || since.elapsed() > OWNER_DEADLINE {
            let _ = ask(folder, &Request::Down);
            end(&mut owner);
            let code = if interrupted.load(Ordering::SeqCst) { EXIT_INTERRUPTED } else { EXIT_UNEXPECTED };
            return Err(Failure::new(code, "the testnet was taken down before it was ready"));
        }
        std::thread::sleep(POLL);
    }
}

/// Prints what the owner has printed since `shown` bytes.
fn show_new(folder: &RunFolder, shown: usize, json: bool) -> usize {
    let text = std::fs::read_to_string(folder.owner_output()).unwrap_or_default();
    let new = text.get(shown..).unwrap_or_default();
    let whole = new.rfind('\n').map_or(0, |end| end + 1);
    new[..whole].lines().for_each(|line| say(json, line));
    shown + whole
}

/// Asks the owner to end as Ctrl-C would, and waits for it; its nodes end with it in any case.
fn end(owner: &mut std::process::Child) {
    let pid = i32::try_from(owner.id()).ok().and_then(rustix::process::Pid::from_raw);
    if let Some(pid) = pid {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
    let _ = owner.wait();
}
