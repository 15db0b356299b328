//! `driftless completions`: a script for the user's shell.

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::exit::Exit;
use crate::output::{self, OutputError};

pub(crate) fn run(shell: Shell) -> Result<Exit, OutputError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "driftless", &mut script);
    output::write(&script)?;
    Ok(Exit::Done)
}
