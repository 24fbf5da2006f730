//! `demo`: prints each step as it ends, and a last line with everything measured.

use std::io::Write;
use std::sync::atomic::Ordering;

use clap::Args;
use serde_json::json;
use starling_testnet::binary::starling;
use starling_testnet::control::{ControlSocket, Next};
use starling_testnet::demo::{Demo, NODES_MIN, Step, Summary, rounded};
use starling_testnet::net::{Net, NetOptions, check_memory};
use starling_testnet::run_folder::RunFolder;

use super::{EXIT_INTERRUPTED, EXIT_OK, EXIT_SKIPPED, EXIT_UNEXPECTED, EXIT_USAGE, Failure, Outcome, on_interrupt};

#[derive(Args)]
pub(crate) struct DemoArgs {
    /// Number of nodes
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u16).range(1..=200))]
    nodes: u16,
    /// Keep the net running afterwards, until Ctrl-C
    #[arg(long)]
    keep: bool,
    /// Seed of what is random; drawn and shown if not given
    #[arg(long)]
    seed: Option<u64>,
}

/// Steps that cannot run with this number of nodes.
const NEED_A_STRANGER: [&str; 3] = ["sealed", "offline", "founder"];

/// Runs the demo.
pub(crate) fn demo(args: &DemoArgs, json: bool) -> Outcome {
    let nodes = usize::from(args.nodes);
    let seed = args.seed.unwrap_or_else(|| u64::from(rand::random::<u16>()));
    let mut out = std::io::stdout();
    if nodes < NODES_MIN {
        let reason = format!("{nodes} nodes are too few: the steps need a founder, two who talk and a stranger");
        if json {
            let skipped: Vec<_> =
                NEED_A_STRANGER.iter().map(|step| json!({ "step": step, "reason": reason })).collect();
            let line =
                json!({ "v": 1, "step": "summary", "ok": null, "nodes": nodes, "seed": seed, "skipped": skipped });
            writeln!(out, "{line}")?;
        }
        eprintln!("{reason}. Try --nodes {NODES_MIN}");
        return Ok(EXIT_SKIPPED);
    }
    check_memory(nodes).map_err(|error| Failure { code: EXIT_USAGE, error })?;
    let interrupted = on_interrupt()?;
    let name = format!("demo-{}", std::process::id());
    clear_dead_demos();
    let options = NetOptions { name, nodes, seed, binary: starling()?, names: Vec::new() };
    if !json {
        let backend = "processes on loopback";
        writeln!(
            out,
            "Starling demo · {nodes} nodes · seed {seed} · {backend}    every line is measured, none is scripted"
        )?;
    }
    let demo = Demo::new(options, &interrupted)?;
    let result = demo.run(&mut |step| print_step(step, json));
    let (net, summary) = match result {
        Ok(done) => done,
        Err(error) if interrupted.load(Ordering::SeqCst) => return Err(Failure { code: EXIT_INTERRUPTED, error }),
        Err(error) => return Err(error.into()),
    };
    print_summary(&summary, &net, args, seed, json)?;
    if args.keep && summary.ok {
        keep(net, &interrupted)?;
    } else {
        net.down()?;
    }
    Ok(if summary.ok { EXIT_OK } else { EXIT_UNEXPECTED })
}

/// Leftovers of demos that were killed: their nodes are gone with them, their folders are not.
fn clear_dead_demos() {
    for name in starling_testnet::run_folder::all().unwrap_or_default() {
        if name.starts_with("demo-")
            && let Ok(folder) = RunFolder::of(&name)
            && matches!(folder.running(), Ok(None))
        {
            let _ = folder.clear_leftovers();
        }
    }
}

fn print_step(step: &Step, json: bool) {
    let mut out = std::io::stdout();
    let result = if json {
        let mut line = json!({ "v": 1, "step": step.name, "ok": step.ok, "ms": step.ms });
        if let Some(object) = line.as_object_mut() {
            object.extend(step.figures.clone());
            if !step.ok {
                object.insert("error".to_owned(), step.text.clone().into());
            }
        }
        writeln!(out, "{line}")
    } else {
        writeln!(out, "  {:<8} {:>7.1} s   {}", step.name, step.ms as f64 / 1e3, step.text)
    };
    // A reader that has gone does not change what is measured.
    let _ = result.and_then(|()| out.flush());
}

fn print_summary(summary: &Summary, net: &Net, args: &DemoArgs, seed: u64, json: bool) -> anyhow::Result<()> {
    let mut out = std::io::stdout();
    let (p50, p95) = (summary.delays.percentile_ms(50), summary.delays.percentile_ms(95));
    let rss_mb_max = rounded(summary.rss_bytes_max as f64 / 1e6);
    if json {
        let line = json!({
            "v": 1, "step": "summary", "ok": summary.ok, "nodes": args.nodes, "seed": seed,
            "start_to_first_delivery_ms": summary.start_to_first_delivery_ms,
            "sent": summary.sent, "delivered": summary.delivered, "duplicates": summary.duplicates,
            "offline": summary.offline, "founder": summary.founder, "sealed": summary.sealed,
            "p50_ms": rounded(p50), "p95_ms": rounded(p95), "answers": summary.answers.figures(), "rss_mb_max": rss_mb_max, "skipped": [],
            "version": env!("CARGO_PKG_VERSION"),
        });
        writeln!(out, "{line}")?;
        return Ok(());
    }
    if !summary.delays.0.is_empty() {
        writeln!(out, "  median {p50:.1} ms · p95 {p95:.1} ms · {rss_mb_max} MB at the largest node")?;
    }
    writeln!(out, "{}", if summary.ok { "PASS" } else { "FAIL" })?;
    if args.keep && summary.ok {
        for node in net.running().filter(|node| ["alice", "bob"].contains(&node.plan.name.as_str())) {
            writeln!(out, "Talk yourself: starling --data {} contacts", node.plan.data().display())?;
        }
        writeln!(out, "Ctrl-C takes the net down.")?;
    }
    Ok(())
}

/// Keeps the net, and serves `kill`, `restart` and `down` on it, until it is interrupted.
fn keep(mut net: Net, interrupted: &std::sync::atomic::AtomicBool) -> anyhow::Result<()> {
    let socket = ControlSocket::open(net.run_folder())?;
    while !interrupted.load(Ordering::SeqCst) {
        match socket.serve_one(net)? {
            Next::GoOn(same) => net = same,
            Next::End => return Ok(()),
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    net.down().map(drop)
}
