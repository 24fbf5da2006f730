//! `starling completions SHELL`

use clap::{Args, CommandFactory as _};
use clap_complete::Shell;

use super::connect::Context;
use super::failure::{Exit, Failure};

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// bash, elvish, fish, powershell or zsh.
    shell: Shell,
}

pub(crate) fn run(context: &Context, arguments: &Arguments) -> Result<Exit, Failure> {
    // Generated into memory: the generator panics when its writer fails, and a closed pipe is no reason to.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut super::Cli::command(), "starling", &mut script);
    context.terminal.part(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Ok)
}
