//! Questions on a terminal.

use std::io::{self, Read, Write};

use anyhow::{Context, bail};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use secrecy::SecretString;

const DOING: &str = "cannot ask on the terminal";

/// The longest password that is typed.
const LONGEST: usize = 64 * 1024;

/// Asks for a name.
pub(super) fn name(question: &str) -> anyhow::Result<String> {
    ask(question)?;
    let mut answer = String::new();
    io::stdin().read_line(&mut answer).context(DOING)?;
    Ok(answer.trim().to_owned())
}

/// Asks for a password, which is not shown.
pub(super) fn password(question: &str) -> anyhow::Result<SecretString> {
    ask(question)?;
    let hidden = Hidden::begin()?;
    let typed = read();
    drop(hidden);
    // The end of the line was not shown either.
    let _ = writeln!(io::stderr());
    let text =
        String::from_utf8(typed?).ok().context("cannot use the password: it is not UTF-8")?;
    if text.is_empty() {
        bail!("no password was typed");
    }
    Ok(text.into())
}

fn ask(question: &str) -> anyhow::Result<()> {
    let mut terminal = io::stderr().lock();
    write!(terminal, "{question}: ").and_then(|()| terminal.flush()).context(DOING)
}

/// Reads the keys up to the end of the line. Signals are keys as well, so that the terminal is shown again.
fn read() -> anyhow::Result<Vec<u8>> {
    const INTERRUPT: u8 = 3;
    const END: u8 = 4;
    const BACKSPACES: [u8; 2] = [8, 127];
    const LINE: u8 = 21;

    let mut typed = Vec::new();
    for key in io::stdin().lock().bytes() {
        match key.context(DOING)? {
            b'\r' | b'\n' | END => break,
            INTERRUPT => bail!("interrupted"),
            LINE => typed.clear(),
            key if BACKSPACES.contains(&key) => {
                // A character may have several bytes.
                while typed.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
            }
            key if typed.len() < LONGEST => typed.push(key),
            _ => {}
        }
    }
    Ok(typed)
}

/// A terminal that does not show what is typed, as long as this is there.
struct Hidden(Termios);

impl Hidden {
    fn begin() -> anyhow::Result<Self> {
        let before = tcgetattr(io::stdin()).context(DOING)?;
        let mut hidden = before.clone();
        hidden.local_modes &= !(LocalModes::ECHO | LocalModes::ICANON | LocalModes::ISIG);
        tcsetattr(io::stdin(), OptionalActions::Now, &hidden).context(DOING)?;
        Ok(Self(before))
    }
}

impl Drop for Hidden {
    fn drop(&mut self) {
        // If that fails, nothing else helps.
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}
