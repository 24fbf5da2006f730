//! `starling-testnet`: real nodes on this machine, for developers.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
