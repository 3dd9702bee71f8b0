//! Log lines: human on a terminal, JSON otherwise, always to standard error.
//!
//! `cli` sets them up once the settings are known; every other room just uses `tracing`'s macros. A
//! thread of its own writes them, as many at once as there are, so that no request waits for a
//! terminal or a file. None is dropped: when too many wait, requests wait too.

mod json;

use std::env;
use std::io::{self, BufWriter, IsTerminal};
use std::sync::{Mutex, PoisonError};

use tracing::Dispatch;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

use crate::config::{LogFormat, LogSettings};
use json::JsonLines;

/// What the HTTP library says of broken requests is of no use to the operator, and would let any
/// client write errors into the log; what the database driver says of tables that are there already, and of connections that it
/// replaces, reads like a fault. Settings may name them again.
const QUIET: &str =
    "actix_http=off,actix_server=warn,sqlx::postgres::notice=off,sqlx_core::pool=error";

/// How many lines may wait to be written.
const WAITING: usize = 8192;

/// How many bytes are written at once.
const BUFFER: usize = 64 * 1024;

/// The thread that writes; none before [`init`] and after [`end`].
static WRITER: Mutex<Option<WorkerGuard>> = Mutex::new(None);

/// Writes the lines that wait when it is dropped.
#[must_use = "the last lines are lost without it"]
pub struct Log(());

impl Drop for Log {
    fn drop(&mut self) {
        end();
    }
}

/// Sends log lines to standard error from now on, until what it returns is dropped. A second call
/// changes nothing, so that tests in one process may each make one.
pub fn init(settings: &LogSettings) -> Log {
    let is_terminal = io::stderr().is_terminal();
    let (lines, writer) = NonBlockingBuilder::default()
        .lossy(false)
        .buffered_lines_limit(WAITING)
        .thread_name("log")
        .finish(BufWriter::with_capacity(BUFFER, io::stderr()));
    let dispatch = dispatch(settings, is_terminal, lines);
    if tracing::dispatcher::set_global_default(dispatch).is_ok() {
        *WRITER.lock().unwrap_or_else(PoisonError::into_inner) = Some(writer);
    }
    Log(())
}

/// Writes the lines that wait, for about a second. Later ones are lost: to be called where the process
/// ends without dropping anything.
pub fn end() {
    WRITER.lock().unwrap_or_else(PoisonError::into_inner).take();
}

fn dispatch<W>(settings: &LogSettings, is_terminal: bool, writer: W) -> Dispatch
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let is_human = match settings.format {
        LogFormat::Auto => is_terminal,
        LogFormat::Human => true,
        LogFormat::Json => false,
    };
    let lines = tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::new(format!("{QUIET},{}", settings.level)))
        .with_writer(writer);
    if is_human {
        let is_coloured = is_terminal && env::var_os("NO_COLOR").is_none_or(|it| it.is_empty());
        lines.with_ansi(is_coloured).into()
    } else {
        lines.event_format(JsonLines).into()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Logs an event and one below the level, and returns the lines.
    fn logged(format: LogFormat, is_terminal: bool) -> String {
        lines(format, is_terminal, || {
            tracing::info!(size_bytes = 5, "stored blob");
            tracing::debug!("not to be seen");
        })
    }

    /// Returns the lines of what is logged.
    fn lines(format: LogFormat, is_terminal: bool, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let settings = LogSettings { format, level: "info".to_owned() };
        let writer = buffer.clone();
        let dispatch = dispatch(&settings, is_terminal, move || writer.clone());
        tracing::dispatcher::with_default(&dispatch, log);
        String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap()
    }

    #[test]
    fn lines_are_json_unless_a_person_reads_them() {
        for text in [logged(LogFormat::Json, true), logged(LogFormat::Auto, false)] {
            let line: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(line["message"], "stored blob");
            assert_eq!(line["size_bytes"], 5);
            assert_eq!(line["level"], "INFO");
        }
        for text in [logged(LogFormat::Human, false), logged(LogFormat::Auto, true)] {
            assert!(text.contains("stored blob") && !text.starts_with('{'), "{text}");
            assert_eq!(text.lines().count(), 1, "{text}");
        }
    }

    #[test]
    fn a_line_of_json_says_what_was_logged_whatever_that_is() {
        let odd = "\"quoted\" \\ and\nlines\r\t\u{1b}[31m \u{0} \u{7f} caf\u{e9} \u{1f980}";
        let lines = lines(LogFormat::Json, false, || {
            let absent: Option<&str> = None;
            tracing::info!(
                text = odd,
                shown = %odd,
                debugged = ?odd,
                least = i64::MIN,
                most = u64::MAX,
                huge = u128::MAX,
                tiny = i128::MIN,
                part = 1.5,
                large = 1e300,
                endless = f64::INFINITY,
                is_so = true,
                is_not = false,
                absent,
                r#type = "a keyword",
                some.name = 1,
                "{odd}"
            );
        });
        let line: serde_json::Value = serde_json::from_str(&lines).unwrap();
        for name in ["text", "shown", "message"] {
            assert_eq!(line[name], odd, "{name}");
        }
        assert_eq!(line["debugged"], format!("{odd:?}"));
        assert_eq!((&line["least"], &line["most"]), (&i64::MIN.into(), &u64::MAX.into()));
        assert!(lines.contains(&format!(",\"huge\":{},\"tiny\":{},", u128::MAX, i128::MIN)));
        assert_eq!((&line["part"], &line["large"]), (&1.5.into(), &1e300.into()));
        assert!(line.get("endless").is_some_and(serde_json::Value::is_null), "{line}");
        assert_eq!((&line["is_so"], &line["is_not"]), (&true.into(), &false.into()));
        assert_eq!((&line["type"], &line["some.name"]), (&"a keyword".into(), &1.into()));
        assert!(line.get("absent").is_none(), "{line}");
        assert_eq!(line["target"], module_path!());
        assert!(line["timestamp"].as_str().unwrap().parse::<jiff::Timestamp>().is_ok(), "{line}");
        assert_eq!(lines.matches('\n').count(), 1, "{lines}");
    }

    #[test]
    fn a_second_set_up_changes_nothing() {
        let settings = LogSettings { format: LogFormat::Json, level: "off".to_owned() };
        let _first = init(&settings);
        let _second = init(&settings);
    }
}
