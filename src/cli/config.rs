//! `roadstead config`: the settings in force.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::{Map, Value, json};

use super::{CommonArguments, output};
use crate::config::{Effective, Origin, SETTINGS, Settings, Values};

/// Prints the settings in effect and where each comes from; secrets are hidden
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    roadstead config --config roadstead.toml\n  \
    ROADSTEAD_LOG__LEVEL=debug roadstead config --json\n  \
    roadstead config --defaults > roadstead.toml")]
pub(super) struct ConfigArguments {
    /// Prints JSON: each setting with its value and origin
    #[arg(long, conflicts_with = "defaults")]
    json: bool,
    /// Prints a settings file with all settings, their defaults and their meaning
    #[arg(long)]
    defaults: bool,
}

/// Prints the settings, once they were checked.
pub(super) fn run(
    common: &CommonArguments,
    arguments: &ConfigArguments,
) -> anyhow::Result<ExitCode> {
    let text = if arguments.defaults {
        commented_defaults()
    } else {
        let values = Values::gather(&common.sources(Vec::new()))?;
        Settings::read(&values)?;
        if arguments.json { as_json(&values) } else { as_toml(&values) }
    };
    output::print(&text).context("cannot write to standard output")?;
    Ok(ExitCode::SUCCESS)
}

/// Prints a file that can be read again, secrets aside.
fn as_toml(values: &Values) -> String {
    let mut text = String::new();
    let mut section = "";
    for Effective { setting, value, origin } in values.iter() {
        let key = enter(&mut text, &mut section, setting.name);
        text.extend([key, " = ", &as_toml_value(&value)]);
        if *origin != Origin::Default {
            text.extend(["  # ", &origin.to_string()]);
        }
        text += "\n";
    }
    text
}

/// Writes a value: JSON's texts, numbers and lists are TOML too, and its keys in quotes.
fn as_toml_value(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let member = |(name, value): (&String, &Value)| {
                format!("{} = {}", json!(name), as_toml_value(value))
            };
            format!("{{ {} }}", members.iter().map(member).collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(as_toml_value).collect::<Vec<_>>().join(","))
        }
        other => other.to_string(),
    }
}

fn as_json(values: &Values) -> String {
    let source = |origin: &Origin| match origin {
        Origin::Default => json!("default"),
        Origin::File(path) => json!({ "file": path.display().to_string() }),
        Origin::Variable(variable) => json!({ "variable": variable }),
        Origin::Flag(flag) => json!({ "flag": flag }),
    };
    let settings: Map<String, Value> = values
        .iter()
        .map(|Effective { setting, value, origin }| {
            (setting.name.to_owned(), json!({ "value": value, "source": source(origin) }))
        })
        .collect();
    format!("{:#}\n", Value::Object(settings))
}

fn commented_defaults() -> String {
    let mut text = "# Every setting of Roadstead, with its default.\n\
                    # Remove the `#` in front of a setting to change it. Environment variables\n\
                    # override this file: ROADSTEAD_SERVER__LISTEN for `listen` below.\n\n"
        .to_owned();
    let mut section = "";
    for (index, setting) in SETTINGS.iter().enumerate() {
        let key = enter(&mut text, &mut section, setting.name);
        let end = if index + 1 == SETTINGS.len() { "" } else { "\n" };
        let comment = wrapped(setting.help);
        let expected = wrapped(&format!("Expected: {}.", setting.expects));
        text.extend([&comment, &expected, "#", key, " = ", setting.default, "\n", end]);
    }
    text
}

/// Returns the last part of a setting's name, and opens the section of the rest if it is a new one.
fn enter<'a>(text: &mut String, section: &mut &'a str, name: &'a str) -> &'a str {
    let (concern, key) = name.rsplit_once('.').unwrap_or(("", name));
    if *section != concern {
        let space = if text.is_empty() || text.ends_with("\n\n") { "" } else { "\n" };
        text.extend([space, "[", concern, "]\n"]);
        *section = concern;
    }
    key
}

/// Breaks a text into lines of a comment.
fn wrapped(text: &str) -> String {
    let mut lines = String::from("#");
    let mut width = 1;
    for word in text.split_whitespace() {
        if width + 1 + word.len() > 80 {
            lines += "\n#";
            width = 1;
        }
        lines += " ";
        lines += word;
        width += 1 + word.len();
    }
    lines + "\n"
}
