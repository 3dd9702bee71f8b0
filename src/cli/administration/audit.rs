//! `roadstead audit`: who did what, when and from where.

use std::process::ExitCode;

use clap::Args;
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use super::runtime;
use super::session::{RegistryArguments, Session};
use super::table::{Column, print, print_list};
use crate::config::parse_duration;

const COLUMNS: &[Column] = &[
    ("AT", "at"),
    ("KIND", "kind"),
    ("USER", "user"),
    ("ADDRESS", "address"),
    ("REPOSITORY", "repository"),
    ("REFERENCE", "reference"),
    ("DETAIL", "detail"),
];

const LIST: &str = "query($repository: String, $user: String, $since: Timestamp, $after: String, $first: Int) \
    { audit(repository: $repository, user: $user, since: $since, after: $after, first: $first) \
    { items { seq at kind user address repository reference digest detail } next } }";

/// Shows the audit log of a registry: who did what, when and from where
#[derive(Debug, Args)]
#[command(after_help = "With --json each event is a line.\n\n\
    Examples:\n  roadstead audit --since 1d\n  roadstead audit --repository acme/app --json | jq .user")]
pub(in crate::cli) struct AuditArguments {
    #[command(flatten)]
    target: RegistryArguments,
    /// Only what was done to this repository
    #[arg(long, value_name = "R")]
    repository: Option<String>,
    /// Only what this user did
    #[arg(long, value_name = "U")]
    user: Option<String>,
    /// Only what was done since then: a day such as 2026-01-31 (in UTC), a time such as 2026-01-31T12:00:00Z, or a duration
    /// before now such as 1d
    #[arg(long, value_name = "T", value_parser = moment)]
    since: Option<Timestamp>,
}

fn moment(text: &str) -> Result<Timestamp, String> {
    // Events are shown in UTC, so a day is one of that.
    let midnight = Date::strptime("%Y-%m-%d", text).and_then(|day| day.to_zoned(TimeZone::UTC));
    if let Ok(at) = text.parse().or_else(|_| midnight.map(|day| day.timestamp())) {
        return Ok(at);
    }
    let before = parse_duration(text).and_then(|age| Timestamp::now().checked_sub(age).ok());
    before.ok_or_else(|| {
        "expected a day such as 2026-01-31, a time such as 2026-01-31T12:00:00Z, or a duration such as 1d"
            .to_owned()
    })
}

/// Shows it.
pub(in crate::cli) fn run(arguments: &AuditArguments) -> anyhow::Result<ExitCode> {
    let AuditArguments { target, repository, user, since } = arguments;
    let since = since.map(|since| since.to_string());
    let variables = json!({ "repository": repository, "user": user, "since": since });
    let session = Session::open(target.registry.as_ref())?;
    runtime()?.block_on(async {
        if !target.json {
            let events = session.list(LIST, "audit", variables).await?;
            return print_list(&events, COLUMNS, false);
        }
        session.each_page(LIST, "audit", &variables, |events| print(&lines(&events))).await
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Writes a line of JSON for each.
fn lines(events: &[Value]) -> String {
    events.iter().flat_map(|event| [event.to_string(), "\n".to_owned()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_day_a_moment_or_an_age() {
        for (text, expected) in [
            ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
            ("2026-01-31T12:00:00.5+02:00", "2026-01-31T10:00:00.5Z"),
            ("2026-01-31", "2026-01-31T00:00:00Z"),
        ] {
            assert_eq!(moment(text).unwrap().to_string(), expected, "{text}");
        }
        let hour = Timestamp::now().as_second() - moment("1h").unwrap().as_second();
        assert!((3600..3610).contains(&hour), "{hour}");
        for text in ["yesterday", "2026-02-30", "2026-1", "2026-01-31T12", "31.01.2026", ""] {
            assert!(moment(text).is_err(), "{text}");
        }
    }
}
