//! `roadstead resolve`: how a name leads to a root, and who has it.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::progress::Bar;
use super::{CommonArguments, output, runtime};
use crate::app::roots;
use crate::config::Settings;
use crate::dnslink::{Domain, Step, Validation};
use crate::oci::{RootName, read_root};
use crate::registry::{
    Diagnosis, Endpoint, Found, Hinted, Listed, ListedRepository, Origin, Progress, SourceCheck,
    Steps,
};

/// Why nothing below a root can be pulled.
const NO_SOURCE: &str = "no source has the root; see above what each answered, or set other sources by \
    `federation.gateways` or `federation.kubo.api`";

/// How wide the names of facts are, with the space behind them.
const WIDTH: usize = 12;

/// Shows how a domain, an IPNS key or a CID resolves to a root, and which sources and repositories it has
#[derive(Debug, Args)]
#[command(
    after_help = "It needs neither a data folder nor a running server, and stores nothing. It shows the DNS \
        records, which of them are ignored and why, the root, the addresses of its publisher, which gateways have \
        the root, whether your Kubo node has it, and the repositories below it: the first hundred with names of \
        up to two components.\n\n\
    Exit code 0: a root was found and a source has it; 1: no root was found, or no source has it; 2: the argument \
    is not a domain, key or CID.\n\n\
    Examples:\n  roadstead resolve example.com\n  roadstead resolve example.com --json | jq .root"
)]
pub(super) struct ResolveArguments {
    /// The domain, the IPNS key or the CID, as in the name of a foreign repository
    #[arg(value_parser = read_name)]
    name: RootName,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

/// Reads what names a root.
pub(super) fn read_name(text: &str) -> anyhow::Result<RootName> {
    // It may be written as people read it, or as other programs show it.
    let root = read_root(text);
    let name = root.as_deref().unwrap_or(text).parse()?;
    if let RootName::Domain(domain) = &name {
        domain.parse::<Domain>()?;
    }
    Ok(name)
}

/// What is printed as JSON.
#[derive(Serialize)]
struct Shown<'a> {
    name: String,
    steps: &'a [Step],
    #[serde(flatten)]
    found: Option<&'a Found>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<String>,
}

/// Resolves.
pub(super) fn run(
    common: &CommonArguments,
    arguments: &ResolveArguments,
) -> anyhow::Result<ExitCode> {
    let ResolveArguments { name, json } = arguments;
    let settings = Settings::load(&common.sources(Vec::new()))?;
    let bar = Bar::new(*json);
    bar.begin("asking", Steps::Unknown);
    let Diagnosis { steps, outcome } =
        runtime()?.block_on(async { anyhow::Ok(roots(&settings)?.diagnose(name).await) })?;
    drop(bar);
    let found = outcome.as_ref().ok();
    let is_unreachable = found.is_some_and(|found| found.repositories.is_none());
    let text = if *json {
        let failure = outcome.as_ref().err().map(ToString::to_string);
        let failure = failure.or_else(|| is_unreachable.then(|| NO_SOURCE.to_owned()));
        let shown = Shown { name: name.to_string(), steps: &steps, found, failure };
        serde_json::to_string_pretty(&shown)? + "\n"
    } else {
        describe(name, &steps, found)
    };
    output::print(&text).context("cannot write to standard output")?;
    outcome.with_context(|| format!("cannot resolve `{name}`"))?;
    anyhow::ensure!(!is_unreachable, "cannot pull from `{name}`: {NO_SOURCE}");
    Ok(ExitCode::SUCCESS)
}

fn describe(name: &RootName, steps: &[Step], found: Option<&Found>) -> String {
    let mut facts = Facts::default();
    facts.add("name", &name.to_string());
    for step in steps {
        facts.step(step);
    }
    if let Some(found) = found {
        facts.found(found);
    }
    facts.0
}

/// Facts, one a line.
#[derive(Default)]
struct Facts(String);

impl Facts {
    /// Adds a line. What others publish cannot move the cursor or begin another one.
    fn add(&mut self, what: &str, fact: &str) {
        self.0.extend([what, &" ".repeat(WIDTH.saturating_sub(what.len()))]);
        self.0.extend([&output::escape(fact), "\n"]);
    }

    fn step(&mut self, step: &Step) {
        match step {
            Step::Query { name, through, ttl, validation, records, failure } => {
                let mut fact = format!("{name} TXT");
                if !through.is_empty() {
                    fact.extend([", by way of ", &through.join(", ")]);
                }
                if let Some(ttl) = ttl {
                    fact.extend([", TTL ", &ttl.to_string(), " s"]);
                }
                fact += match validation {
                    Some(Validation::Secure) => ", DNSSEC: secure",
                    Some(Validation::Insecure) => ", DNSSEC: proven to be unsigned",
                    None => "",
                };
                self.add("queried", &with_failure(fact, failure.as_deref()));
                for record in records {
                    match &record.ignored {
                        None => self.add("  record", &record.text),
                        Some(why) => self.add("  ignored", &format!("{}: {why}", record.text)),
                    }
                }
            }
            Step::Key { name, value, ttl, failure } => {
                let mut fact = format!("the owner of {name}");
                if let Some(ttl) = ttl {
                    fact.extend([", TTL ", &ttl.to_string(), " s"]);
                }
                self.add("queried", &with_failure(fact, failure.as_deref()));
                if let Some(value) = value {
                    self.add("  record", value);
                }
            }
        }
    }

    fn found(&mut self, found: &Found) {
        let Found { root, path, ttl, denied, hints, sources, repositories } = found;
        self.add("root", root);
        if !path.is_empty() {
            self.add("path", path);
        }
        if let Some(ttl) = ttl {
            self.add("cached for", &format!("{ttl} s"));
        }
        if let Some(why) = denied {
            self.add("not served", why);
        }
        for hint in hints {
            self.hint(hint);
        }
        for source in sources {
            self.source(source);
        }
        if sources.is_empty() {
            self.add("source", "none: no gateway may be used, and no node is configured");
        }
        match repositories {
            Some(listed) => self.listed(listed),
            None => self.add("repository", "not known: no source has the root"),
        }
    }

    fn hint(&mut self, hint: &Hinted) {
        let Hinted { endpoint, addresses, refused, connected } = hint;
        let (Endpoint::Gateway(endpoint) | Endpoint::Node(endpoint)) = endpoint;
        let fact = match (refused, connected) {
            (Some(why), Some(_)) => format!("{endpoint}: the node is not connected to it: {why}"),
            (Some(why), None) => format!("{endpoint}: skipped: {why}"),
            (None, Some(_)) => format!("{endpoint}: the node is connected to it"),
            (None, None) => format!("{endpoint}: may be dialled at {}", addresses.join(", ")),
        };
        self.add("hint", &fact);
    }

    fn source(&mut self, check: &SourceCheck) {
        let SourceCheck { source, origin, milliseconds, failure } = check;
        let origin_name = match origin {
            Origin::Hint => "hint",
            Origin::Settings => "federation.gateways",
            Origin::Node => "federation.kubo",
        };
        let fact = match failure {
            None => format!("{source} ({origin_name}): has the root, {milliseconds} ms"),
            Some(why) => format!("{source} ({origin_name}): {why}"),
        };
        self.add("source", &fact);
    }

    fn listed(&mut self, listed: &Listed) {
        let Listed { names, is_whole, failure } = listed;
        for ListedRepository { name, repeats_domain } in names {
            let note = if *repeats_domain { " (the tree repeats the domain)" } else { "" };
            self.add("repository", &format!("{name}{note}"));
        }
        match failure {
            Some(why) => self.add("repository", &format!("the search ended: {why}")),
            None if !is_whole => self.add("repository", "there may be more"),
            None if names.is_empty() => self.add("repository", "none"),
            None => {}
        }
    }
}

fn with_failure(fact: String, failure: Option<&str>) -> String {
    match failure {
        Some(why) => format!("{fact}: {why}"),
        None => fact,
    }
}
