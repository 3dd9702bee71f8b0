//! What is logged, and how.

use tracing_subscriber::EnvFilter;

use super::{SettingsError, Values};

/// The words for levels, the quietest first.
const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// What is logged, and how.
#[derive(Debug, Clone)]
pub struct LogSettings {
    /// How log lines look.
    pub format: LogFormat,
    /// Directives of `tracing`'s `EnvFilter`, checked.
    pub level: String,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// One line of text for each event.
    Human,
    /// One JSON object for each event.
    Json,
}

impl LogSettings {
    pub(super) fn read(values: &Values) -> Result<Self, SettingsError> {
        Ok(Self {
            format: values.parse("log.format", |text| match text {
                "auto" => Some(LogFormat::Auto),
                "human" => Some(LogFormat::Human),
                "json" => Some(LogFormat::Json),
                _ => None,
            })?,
            level: values.parse("log.level", filter)?,
        })
    }
}

/// Returns the directives without spaces around them, if each can be followed.
///
/// `EnvFilter` takes a misspelt level (`inof`) for the name of a part of the program and would log
/// nothing but that; so a word alone has to be a level.
fn filter(text: &str) -> Option<String> {
    let directives: Vec<&str> = text.split(',').map(str::trim).collect();
    let is_word = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphabetic());
    let is_level = |text: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(text));
    let filter = directives.join(",");
    let is_good = directives.iter().all(|directive| !is_word(directive) || is_level(directive))
        && EnvFilter::builder().parse(&filter).is_ok();
    is_good.then_some(filter)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_is_a_level_with_exceptions() {
        for text in ["info", "WARN", "off", "info,roadstead=debug", "warn, roadstead::http=trace"] {
            assert_eq!(filter(text), Some(text.replace(' ', "")), "{text}");
        }
        for text in ["", "inof", "info,", "info,debgu", "roadstead=loud", "=info"] {
            assert_eq!(filter(text), None, "{text}");
        }
    }
}
