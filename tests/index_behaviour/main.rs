//! What every index has to do, whichever database holds it: each case runs on each row of the table.
//!
//! SQLite needs nothing. Postgres needs `TEST_POSTGRES_URL`, whose user may create schemas; without
//! it its cases show as ignored, and fail under `TEST_REQUIRE_ALL=1`.

mod accounts;
mod blobs;
mod browse;
mod cache;
mod events;
mod fixtures;
mod home;
mod locking;
mod locks;
mod manifests;
mod nodes;
mod opening;
mod public;
mod published;
mod pulls;
mod queue;
mod quotas;
mod referrers;
mod removals;
mod tags;
mod unreferenced;
mod uploads;
mod visibility;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::time::Duration;

use libtest_mimic::{Arguments, Failed, Trial};
use roadstead::index::INDEXES;

use home::Home;

/// How a case ends.
type Outcome = Result<(), Box<dyn Error>>;

/// No case takes longer, except one that hangs.
const LIMIT: Duration = Duration::from_mins(1);

/// A case under way.
type Running = Pin<Box<dyn Future<Output = Outcome>>>;

/// A sentence that has to be true of an index.
struct Case {
    name: &'static str,
    only: Option<&'static str>,
    run: Box<dyn Fn(Home) -> Running + Send + Sync>,
}

/// A case for every database, named like its function.
fn case<F, R>(run: F) -> Case
where
    F: Fn(Home) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + 'static,
{
    let name = std::any::type_name::<F>().rsplit("::").next().unwrap_or_default();
    Case { name, only: None, run: Box::new(move |home| Box::pin(run(home))) }
}

/// A case for one database.
fn case_on<F, R>(only: &'static str, run: F) -> Case
where
    F: Fn(Home) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + 'static,
{
    Case { only: Some(only), ..case(run) }
}

fn main() {
    let arguments = Arguments::from_args();
    let must_run_all = std::env::var("TEST_REQUIRE_ALL").is_ok_and(|value| value == "1");
    let mut trials = Vec::new();
    for kind in INDEXES {
        for case in all_cases() {
            if case.only.is_some_and(|only| only != kind.name) {
                continue;
            }
            let name = format!("{}::{}", kind.name, case.name);
            let is_ready = home::is_configured(kind.name);
            let trial = Trial::test(name, move || run(kind.name, &case));
            trials.push(trial.with_ignored_flag(!is_ready && !must_run_all));
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}

fn all_cases() -> Vec<Case> {
    [
        blobs::cases(),
        browse::cases(),
        manifests::cases(),
        tags::cases(),
        referrers::cases(),
        removals::cases(),
        uploads::cases(),
        queue::cases(),
        quotas::cases(),
        events::cases(),
        locking::cases(),
        locks::cases(),
        cache::cases(),
        nodes::cases(),
        public::cases(),
        published::cases(),
        pulls::cases(),
        opening::cases(),
        accounts::cases(),
        visibility::cases(),
        unreferenced::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn run(kind: &str, case: &Case) -> Result<(), Failed> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let home = runtime.block_on(Home::make(kind)).map_err(|error| error.to_string())?;
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(async { tokio::time::timeout(LIMIT, (case.run)(home.clone())).await })
    }));
    runtime.block_on(home.unmake()).map_err(|error| error.to_string())?;
    match outcome {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) => Err(format!("{error}: {:?}", error.source()).into()),
        Ok(Err(_)) => Err(format!("took longer than {LIMIT:?}").into()),
        Err(panic) => resume_unwind(panic),
    }
}
