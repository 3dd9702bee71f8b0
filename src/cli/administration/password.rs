//! Passwords from standard input.

use std::io::Read;

use anyhow::{Context, bail};
use secrecy::{ExposeSecret, SecretSlice, SecretString};

/// More than any password has.
const LONGEST: u64 = 64 * 1024;

/// Reads all of standard input; the end of a line that ends it is none of the password.
pub(super) fn read() -> anyhow::Result<SecretString> {
    let mut bytes = Vec::new();
    let reading = std::io::stdin().lock().take(LONGEST).read_to_end(&mut bytes);
    reading.context("cannot read the password from standard input")?;
    let bytes = SecretSlice::from(bytes);
    let text = std::str::from_utf8(bytes.expose_secret());
    let text = text.context("cannot use the password: it is not UTF-8")?;
    let line = text.strip_suffix('\n').unwrap_or(text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() {
        bail!("no password: write it to standard input, as in `cat FILE | roadstead …`");
    }
    Ok(line.into())
}
