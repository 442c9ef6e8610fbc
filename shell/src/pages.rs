//! Completions and manual pages, made from the definition of the command line.

use std::{io::Write, path::Path};

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use clap_mangen::{Man, generate_to};

use crate::cli::Cli;

/// Writes what `shell` is to read.
pub(crate) fn completions(shell: Shell, out: &mut impl Write) -> Result<(), String> {
    let mut text = Vec::new();
    generate(shell, &mut Cli::command(), "trunkline", &mut text);
    out.write_all(&text).map_err(|error| format!("it cannot be written: {error}"))
}

/// Writes the manual page, or one for each command into `folder`.
pub(crate) fn manual(folder: Option<&Path>, out: &mut impl Write) -> Result<(), String> {
    let cli = Cli::command();
    match folder {
        None => Man::new(cli).render(out).map_err(|error| format!("it cannot be written: {error}")),
        Some(folder) => generate_to(cli, folder).map_err(|error| format!("{}: {error}", folder.display())),
    }
}
