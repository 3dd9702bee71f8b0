//! What a command prints.

use std::io::{self, ErrorKind, Write};

/// Writes a text to standard output. That nobody reads on (`roadstead config | head -1`) is no
/// failure.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    match output.write_all(text.as_bytes()).and_then(|()| output.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        result => result,
    }
}
