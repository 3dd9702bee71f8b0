//! The binary `roadstead`: runs the command, and tells how it went.

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;
use roadstead::cli::{self, Arguments};
use roadstead::config::SettingsError;

/// A command that could not do what it was to do.
const FAILED: u8 = 1;
/// Wrong usage, as `clap` has it, or wrong settings.
const WRONG_USAGE: u8 = 2;

fn main() -> ExitCode {
    bound_arenas();
    match cli::run(&Arguments::parse()) {
        Ok(code) => code,
        Err(error) => {
            if let Some(usage) = error.downcast_ref::<clap::Error>() {
                // There is nobody to tell if that fails.
                let _ = usage.print();
                return ExitCode::from(WRONG_USAGE);
            }
            report(&error);
            ExitCode::from(if error.is::<SettingsError>() { WRONG_USAGE } else { FAILED })
        }
    }
}

/// Has glibc keep free memory in few places.
///
/// It makes up to eight arenas for each core, threads come to all of them in turn, and each keeps the most that it ever
/// needed: after pushes into 90,000 repositories that was half a gigabyte, of which some megabytes were in use
/// (`scripts/bench --growth`). One for each core, and two at the least, is enough for threads not to wait for each other.
fn bound_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    {
        let cores = std::thread::available_parallelism().map_or(2, |cores| cores.get().max(2));
        let arenas = libc::c_int::try_from(cores).unwrap_or(libc::c_int::MAX);
        #[expect(
            unsafe_code,
            reason = "mallopt(3) has no safe form; it runs before there are other threads"
        )]
        // SAFETY: a parameter that glibc defines, with a number that it takes.
        let _ = unsafe { libc::mallopt(libc::M_ARENA_MAX, arenas) };
    }
}

/// Writes the error and its causes, a line each. There is nobody to tell if that fails.
fn report(error: &anyhow::Error) {
    let mut output = io::stderr().lock();
    let _ = writeln!(output, "error: {}", cli::printable(&error.to_string()));
    for cause in error.chain().skip(1) {
        let _ = writeln!(output, "  caused by: {}", cli::printable(&cause.to_string()));
    }
}
