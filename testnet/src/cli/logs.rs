//! `logs`: what the nodes wrote, each line with its node's name.

use std::io::{BufRead, BufReader, Write};

use clap::Args;
use starling_testnet::run_folder::{NetState, NodeState};

use super::{EXIT_NOT_FOUND, EXIT_OK, Failure, Outcome};

#[derive(Args)]
pub(crate) struct LogsArgs {
    /// Numbers or names; all if none is given
    nodes: Vec<String>,
    /// Only lines that contain this
    #[arg(long)]
    grep: Option<String>,
    /// Only the last lines of each node
    #[arg(long, default_value_t = 200)]
    limit: usize,
}

/// Prints the logs.
pub(crate) fn logs(state: &NetState, args: &LogsArgs) -> Outcome {
    for wanted in &args.nodes {
        if !state.nodes.iter().any(|node| is(node, wanted)) {
            return Err(Failure::new(
                EXIT_NOT_FOUND,
                format!("there is no node '{wanted}' in testnet '{}'", state.name),
            ));
        }
    }
    let mut out = std::io::stdout().lock();
    for node in &state.nodes {
        if !args.nodes.is_empty() && !args.nodes.iter().any(|wanted| is(node, wanted)) {
            continue;
        }
        for path in [&node.output, &node.log] {
            let Ok(file) = std::fs::File::open(path) else { continue };
            let lines = BufReader::new(file).lines().map_while(Result::ok);
            let lines: Vec<_> =
                lines.filter(|line| args.grep.as_ref().is_none_or(|word| line.contains(word.as_str()))).collect();
            for line in &lines[lines.len().saturating_sub(args.limit)..] {
                if writeln!(out, "{:<8} {line}", node.name).is_err() {
                    return Ok(EXIT_OK); // whoever read it has seen enough
                }
            }
        }
    }
    Ok(EXIT_OK)
}

fn is(node: &NodeState, wanted: &str) -> bool {
    node.name == wanted || node.number.to_string() == wanted
}
