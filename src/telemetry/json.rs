//! A log line as one object of JSON, written field by field.
//!
//! With the formatter that comes with the library the line took an eighth of the processor time of a manifest's pull
//! (docs/PERFORMANCE.md). Spans are left out: this program makes none.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

/// Writes `timestamp` (RFC 3339, UTC), `level`, the fields of the event with `message` first, and `target`.
pub(super) struct JsonLines;

impl<S, N> FormatEvent<S, N> for JsonLines
where
    S: Subscriber + for<'span> LookupSpan<'span>,
    N: for<'writer> FormatFields<'writer> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        writer.write_str("{\"timestamp\":\"")?;
        SystemTime.format_time(&mut writer)?;
        writer.write_str("\",\"level\":\"")?;
        writer.write_str(event.metadata().level().as_str())?;
        writer.write_char('"')?;
        let mut fields = Fields { writer: &mut writer, result: Ok(()) };
        event.record(&mut fields);
        fields.result?;
        writer.write_str(",\"target\":")?;
        quoted(&mut writer, format_args!("{}", event.metadata().target()))?;
        writer.write_str("}\n")
    }
}

/// The fields of one event.
struct Fields<'line, 'text> {
    writer: &'line mut Writer<'text>,
    result: fmt::Result,
}

impl Fields<'_, '_> {
    /// Writes a field, unless one before it could not be written.
    fn add(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        if self.result.is_ok() {
            self.result = self.name(field).and_then(|()| value(self.writer));
        }
    }

    /// A name is an identifier of Rust, with dots perhaps.
    fn name(&mut self, field: &Field) -> fmt::Result {
        self.writer.write_str(",\"")?;
        self.writer.write_str(field.name().trim_start_matches("r#"))?;
        self.writer.write_str("\":")
    }
}

impl Visit for Fields<'_, '_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, |writer| {
            writer.write_char('"')?;
            escape(writer, value)?;
            writer.write_char('"')
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, |writer| write!(writer, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, |writer| write!(writer, "{value}"));
    }

    fn record_u128(&mut self, field: &Field, value: u128) {
        self.add(field, |writer| write!(writer, "{value}"));
    }

    fn record_i128(&mut self, field: &Field, value: i128) {
        self.add(field, |writer| write!(writer, "{value}"));
    }

    /// JSON has no number that is infinite, or none.
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, |writer| {
            if value.is_finite() { write!(writer, "{value:?}") } else { writer.write_str("null") }
        });
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, |writer| writer.write_str(if value { "true" } else { "false" }));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, |writer| quoted(writer, format_args!("{value:?}")));
    }
}

/// Writes what is formatted as a string.
fn quoted(writer: &mut Writer<'_>, text: fmt::Arguments<'_>) -> fmt::Result {
    writer.write_char('"')?;
    Escaped(writer).write_fmt(text)?;
    writer.write_char('"')
}

/// Escapes whatever is written to it.
struct Escaped<'line, 'text>(&'line mut Writer<'text>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        escape(self.0, text)
    }
}

/// Writes a text as the inside of a string (RFC 8259, 7).
fn escape(writer: &mut Writer<'_>, text: &str) -> fmt::Result {
    let mut rest = text;
    let special = |byte: u8| byte < b' ' || byte == b'"' || byte == b'\\';
    while let Some(at) = rest.bytes().position(special) {
        writer.write_str(&rest[..at])?;
        match rest.as_bytes()[at] {
            b'\n' => writer.write_str("\\n")?,
            byte @ (b'"' | b'\\') => {
                writer.write_char('\\')?;
                writer.write_char(char::from(byte))?;
            }
            byte => write!(writer, "\\u{byte:04x}")?,
        }
        rest = &rest[at + 1..];
    }
    writer.write_str(rest)
}
