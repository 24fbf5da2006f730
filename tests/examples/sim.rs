//! Replays one seed of the simulator, shows what happened and whether all was well:
//! `just sim SEED [NODES]`.

use std::process::ExitCode;
use std::time::Instant;

use starling_tests::sim::{Plan, World};

fn number(arguments: &[String], name: &str) -> Option<u64> {
    let place = arguments.iter().position(|argument| argument == name)?;
    arguments.get(place + 1)?.parse().ok()
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some(seed) = number(&arguments, "--seed") else {
        eprintln!("usage: sim --seed SEED [--nodes 2..1000] [--quiet]");
        return ExitCode::from(2);
    };
    let nodes = number(&arguments, "--nodes").unwrap_or(30).clamp(2, 1_000) as usize;
    let quiet = arguments.iter().any(|argument| argument == "--quiet");
    let plan = Plan::of_seed(seed, nodes);
    println!("{plan:#?}");
    let began = Instant::now();
    let report = World::new(plan, None, !quiet).run();
    for line in &report.trace {
        println!("{line}");
    }
    println!("{:#?}", report.counts);
    println!(
        "seed {seed}, {nodes} nodes: {} h of virtual time in {:.1} s, settled {} s after trouble ended",
        report.virtual_ms / 3_600_000,
        began.elapsed().as_secs_f64(),
        report.settled_ms / 1_000
    );
    for violation in &report.violations {
        println!("{violation}");
    }
    if report.violations.is_empty() {
        println!("all rules kept");
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
