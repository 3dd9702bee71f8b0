//! Lists as tables, and other results.

use std::fmt::Write as _;
use std::io::{self, IsTerminal};

use anyhow::Context;
use serde_json::Value;

use super::output;

/// What stands between columns.
const GAP: usize = 2;

/// The least that is shown of a column that does not fit.
const NARROWEST: usize = 8;

/// A column: its heading, and the field that it shows.
pub(in crate::cli) type Column = (&'static str, &'static str);

/// Prints a list: as JSON, or as a table that fits the terminal.
pub(in crate::cli) fn print_list(
    items: &[Value],
    columns: &[Column],
    as_json: bool,
) -> anyhow::Result<()> {
    let text = if as_json {
        serde_json::to_string_pretty(items)? + "\n"
    } else {
        table(items, columns, width())
    };
    print(&text)
}

/// Prints a result: as JSON, or as a sentence.
pub(super) fn print_done(value: &Value, sentence: &str, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        return print(&(serde_json::to_string_pretty(value)? + "\n"));
    }
    print(&format!("{sentence}\n"))
}

/// Prints a text.
pub(in crate::cli) fn print(text: &str) -> anyhow::Result<()> {
    output::print(text).context("cannot write to standard output")
}

/// Returns the width of the terminal; none where the output goes elsewhere.
fn width() -> Option<usize> {
    let output = io::stdout();
    if !output.is_terminal() {
        return None;
    }
    let size = rustix::termios::tcgetwinsize(output).ok()?;
    Some(usize::from(size.ws_col)).filter(|width| *width > 0)
}

/// Writes a table, whose last columns become narrower where it is too wide.
fn table(items: &[Value], columns: &[Column], width: Option<usize>) -> String {
    let mut rows: Vec<Vec<String>> =
        vec![columns.iter().map(|(heading, _)| (*heading).to_owned()).collect()];
    rows.extend(
        items.iter().map(|item| columns.iter().map(|(_, field)| cell(&item[*field])).collect()),
    );
    let mut widths: Vec<usize> = (0..columns.len())
        .map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    if let Some(width) = width {
        let gaps = GAP * columns.len().saturating_sub(1);
        for column in (0..columns.len()).rev() {
            let total = widths.iter().sum::<usize>() + gaps;
            let excess = total.saturating_sub(width);
            let least = widths[column].min(NARROWEST);
            widths[column] = widths[column].saturating_sub(excess).max(least);
        }
    }
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{:width$}{:GAP$}", cut(cell, *width), "");
        }
        text.extend([line.trim_end(), "\n"]);
    }
    text
}

/// Writes a value on one line.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) => output::escape(text),
        Value::Array(items) => items.iter().map(cell).collect::<Vec<_>>().join(" "),
        value => value.to_string(),
    }
}

/// Leaves the end of a text out that is too long.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const COLUMNS: &[Column] = &[("NAME", "name"), ("ADMIN", "admin"), ("DETAIL", "detail")];

    #[test]
    fn a_table_fits_the_terminal() {
        let items = [
            json!({ "name": "anna", "admin": true, "detail": "a\nlong\u{1b}[2J text with many words" }),
            json!({ "name": "ben", "admin": false, "detail": null }),
        ];
        let wide = table(&items, COLUMNS, None);
        let expected = "NAME  ADMIN  DETAIL\n\
            anna  yes    a\\nlong\\u{1b}[2J text with many words\n\
            ben   no     -\n";
        assert_eq!(wide, expected);
        for width in [30, 40, 60] {
            let narrow = table(&items, COLUMNS, Some(width));
            assert!(narrow.lines().all(|line| line.chars().count() <= width), "{narrow}");
            assert!(narrow.contains("anna"), "{narrow}");
        }
    }
}
