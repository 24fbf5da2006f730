//! `starling`: the node daemon and its command line in one binary. SPEC: the design's sections 3 and 7.

mod cli;
mod config;
mod core;
mod export;
mod logging;
mod memory;
mod picture;
mod server;
mod spans;

fn main() -> std::process::ExitCode {
    cli::run(memory::guard())
}
