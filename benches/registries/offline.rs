//! What commands do with a data folder: check it, adopt it as the stock registry's, and rebuild its index.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::thread;

use tempfile::TempDir;

use crate::common::roadstead;
use crate::content::Content;
use crate::many::push_image;
use crate::pulls::rate;
use crate::subject::Subject;
use crate::table::Row;
use crate::{Arguments, BEFORE, MB, rounds, rows, timed};

/// How many repositories are adopted, of which `--percent` are made.
const REPOSITORIES: usize = 20_000;

/// How many blobs are checked.
const BLOBS: usize = 20;

/// How many clients push at a time.
const CLIENTS: usize = 8;

pub(crate) fn measure(arguments: &Arguments, _: &mut [Subject]) -> Vec<Row> {
    let mut found = check(arguments);
    found.extend(adopt(arguments));
    found
}

/// `check`, beside `sha256sum` on as many cores.
fn check(arguments: &Arguments) -> Vec<Row> {
    let mut subject = Subject::roadstead(&arguments.folder);
    let size = arguments.size * MB;
    let mut content = Content::new(size);
    let mut client = subject.client();
    for _ in 0..BLOBS {
        content.renew();
        client.push("bench/check", &content.digest, &content.bytes);
    }
    subject.stop();
    let data = subject.data().expect("it has a folder");
    let label = Subject::other("sha256sum", "");
    let figures = rounds(
        arguments.rounds,
        &[&subject, &label],
        || {},
        |it| {
            let seconds = timed(|| {
                if it.name == label.name {
                    let cores = thread::available_parallelism().map_or(1, usize::from);
                    let files = data.join("content");
                    let script = format!(
                        "find {} -type f -print0 | xargs -0 -n1 -P{cores} sha256sum",
                        files.display()
                    );
                    run(Command::new("sh").args(["-c", &script]));
                } else {
                    run(roadstead(["check", "--data"]).arg(&data));
                }
            });
            rate(BLOBS * arguments.size, seconds)
        },
    );
    let work = format!("check of {BLOBS} blobs of {} MB", arguments.size);
    rows(&work, &[("sha256sum", "≥ 0.9")], "MB/s", &[&subject, &label], &figures)
}

/// `adopt` of many repositories, and `index rebuild` of what came of it.
fn adopt(arguments: &Arguments) -> Vec<Row> {
    let count = (REPOSITORIES * arguments.percent / 100).max(CLIENTS);
    let mut subject = Subject::roadstead(&arguments.folder);
    thread::scope(|scope| {
        for worker in 0..CLIENTS {
            let mut client = subject.client();
            scope.spawn(move || {
                for number in (worker..count).step_by(CLIENTS) {
                    push_image(&mut client, &format!("team-{}/app-{number}", number % 100), "v1");
                }
            });
        }
    });
    subject.stop();
    // As the stock registry keeps it.
    let source = subject.data().expect("it has a folder").join("public");
    let before = arguments.before.clone().map(|binary| (Subject::other(BEFORE, ""), binary));
    let labels: Vec<&Subject> =
        std::iter::once(&subject).chain(before.iter().map(|(label, _)| label)).collect();
    let mut rebuilt = vec![Vec::new(); labels.len()];
    let mut measured = 0;
    let adopted = rounds(
        arguments.rounds,
        &labels,
        || {},
        |it| {
            let binary = before.as_ref().filter(|(label, _)| label.name == it.name);
            let command = |words: &[&str]| match binary {
                Some((_, binary)) => command(binary, words),
                None => roadstead(words),
            };
            let data = TempDir::new_in(&arguments.folder).expect("a folder can be made");
            let adopted =
                timed(|| run(command(&["adopt", "--data"]).arg(data.path()).arg(&source)));
            let seconds = timed(|| run(command(&["index", "rebuild", "--data"]).arg(data.path())));
            measured += 1;
            if measured > labels.len() {
                rebuilt[usize::from(binary.is_some())].push(rate(count, seconds));
            }
            rate(count, adopted)
        },
    );
    let goals = [(BEFORE, "≥ 3")];
    let unit = "repositories/s";
    let mut found =
        rows(&format!("adopt of {count} repositories"), &goals, unit, &labels, &adopted);
    found.extend(rows(
        &format!("index rebuild of {count} repositories"),
        &goals,
        unit,
        &labels,
        &rebuilt,
    ));
    found
}

fn command(binary: &PathBuf, words: &[&str]) -> Command {
    let mut command = Command::new(binary);
    command.args(words);
    command
}

/// Runs a command that has to succeed.
pub(crate) fn run(command: &mut Command) {
    let done = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    assert!(done.expect("it can be started").success(), "{command:?}");
}
