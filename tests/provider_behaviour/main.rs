//! What every provider does: each case runs on each row of the table of providers.
//!
//! `rfc2136` writes to a real bind, a real Knot and a real `PowerDNS`; the program that `exec` runs, which is the one
//! in `examples/`, to bind; `cloudflare` to a server of ours that holds to the published contract of the API. Cases
//! whose server is not installed show as ignored, and fail under `TEST_REQUIRE_ALL=1`.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

#[path = "../common/bind.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod bind;
mod cases;
mod cloud;
mod home;
mod lossy;
#[path = "../common/ports.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod ports;
#[path = "../common/process.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod process;
mod servers;
#[path = "../common/tools.rs"]
#[allow(dead_code, reason = "other tests use the rest")]
mod tools;

use libtest_mimic::{Arguments, Failed, Trial};
use roadstead::dnslink::PROVIDERS;

use home::Subject;
use servers::Kind;

type Case = (&'static str, fn(Subject) -> Result<(), Failed>);

/// Makes a case out of an async function.
macro_rules! cases {
    ($($name:ident),* $(,)?) => {
        &[$((stringify!($name), |mut subject: Subject| {
            tokio::runtime::Runtime::new()?.block_on(cases::$name(&mut subject));
            Ok(())
        })),*]
    };
}

const CASES: &[Case] = cases![
    a_name_gets_the_new_records,
    what_was_ours_gives_way,
    records_of_others_stay,
    repeating_it_changes_nothing,
    a_foreign_link_stays_and_is_reported,
    a_foreign_link_is_replaced_by_force,
    a_link_that_was_taken_away_comes_back,
    a_long_hint_is_written_whole,
    without_the_right_key_nothing_is_written,
    a_lost_answer_is_settled_by_trying_again,
    a_zone_that_is_down_is_written_to_when_it_is_back,
    of_two_who_write_at_once_neither_undoes_the_other_unseen,
    another_ttl_is_written_for_each_record,
    another_ttl_is_written_beside_records_of_others,
    a_wildcard_gives_way_to_what_is_published,
    a_wildcard_of_the_whole_zone_and_a_delegation_are_in_nobodys_way,
    a_link_of_a_wildcard_is_foreign,
    an_alias_at_the_name_is_reported,
    what_would_fail_is_reported_without_a_change,
];

fn main() {
    let is_required = std::env::var_os("TEST_REQUIRE_ALL").is_some_and(|value| value == "1");
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for kind in PROVIDERS {
        let servers = if kind.name == "rfc2136" { &Kind::ALL[..] } else { &[Kind::Bind] };
        for &server in servers {
            let is_left_out = !home::is_possible(kind.name, server) && !is_required;
            let prefix = match server {
                Kind::Bind => kind.name.to_owned(),
                other => format!("{}::{}", kind.name, other.name()),
            };
            for (name, case) in CASES {
                let run = move || case(Subject::new(kind, server)?);
                let trial = Trial::test(format!("{prefix}::{name}"), run);
                trials.push(trial.with_ignored_flag(is_left_out));
            }
        }
    }
    trials.extend(home::EXEC_ONLY.iter().map(|(name, case)| {
        let kind = PROVIDERS.iter().find(|kind| kind.name == "exec").unwrap();
        Trial::test(format!("exec::{name}"), move || case(Subject::new(kind, Kind::Bind)?))
            .with_ignored_flag(!home::is_possible("exec", Kind::Bind) && !is_required)
    }));
    trials.extend(cloud::CASES.iter().map(|(name, case)| {
        Trial::test(format!("cloudflare::{name}"), || {
            let kind = PROVIDERS.iter().find(|kind| kind.name == "cloudflare").unwrap();
            case(Subject::new(kind, Kind::Bind)?)
        })
    }));
    libtest_mimic::run(&arguments, trials).exit();
}
