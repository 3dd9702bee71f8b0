//! The binary `roadstead`: runs the command, and tells how it went.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use roadstead::cli::{self, Arguments};
use roadstead::config::SettingsError;
use roadstead::heap;

/// A command that could not do what it was to do.
const FAILED: u8 = 1;
/// Wrong usage, as `clap` has it, or wrong settings.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    heap::bound_arenas();
    if let Some(code) = cli::run_as_credential_helper() {
        return code;
    }
    match cli::run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            if let Some(usage) = error.downcast_ref::<clap::Error>() {
                // If that fails, it cannot be reported.
                let _ = usage.print();
                return ExitCode::from(WRONG_USAGE);
            }
            report(&error);
            ExitCode::from(if error.is::<SettingsError>() { WRONG_USAGE } else { FAILED })
        }
    }
}

/// Writes the error and its causes, a line each. If that fails, it cannot be reported.
fn report(error: &anyhow::Error) {
    let mut output = io::stderr().lock();
    let _ = writeln!(output, "error: {}", cli::printable(&error.to_string()));
    for cause in error.chain().skip(1) {
        let _ = writeln!(output, "  caused by: {}", cli::printable(&cause.to_string()));
    }
}
