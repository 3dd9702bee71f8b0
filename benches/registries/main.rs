//! Roadstead beside the stock registry and nginx, in one run; `scripts/bench` installs what it needs.
//!
//! Every figure of others is from the same run on the same machine, the rounds in alternating order: only the
//! ratios mean anything elsewhere.
#![allow(clippy::print_stdout, reason = "the table is what this program is for")]

use std::path::PathBuf;
use std::time::Instant;

use clap::Parser;

#[path = "../../tests/common/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the tests use the rest")]
mod common;

mod accounts;
mod calm;
mod client;
mod collections;
mod content;
mod distant;
mod encrypted;
mod far;
mod federation;
mod growth;
mod kubo;
mod many;
mod offline;
mod pulls;
mod pushes;
mod subject;
mod table;
mod transfers;

use subject::Subject;
use table::{Figures, Row};

/// The type of the manifests that are pushed.
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";

const MB: usize = 1_000_000;

/// Measures registries
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of the command line")]
struct Arguments {
    /// Rounds of which the median is told
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// Size of the blobs, in megabytes
    #[arg(long, default_value_t = 500)]
    size: usize,
    /// Where Roadstead keeps everything: embedded, or kubo, which is Kubo and Postgres
    #[arg(long, default_value = "embedded", value_parser = ["embedded", "kubo"])]
    storage: String,
    /// Measures pulls of other people's images instead, beside two Kubo nodes
    #[arg(long)]
    federation: bool,
    /// Measures memory and lists with very many repositories, tags and blobs instead
    #[arg(long)]
    growth: bool,
    /// Measures how soon others are answered while a million files of the cache are counted and a fifth of them
    /// evicted, and while 10 GB of somebody else's are hashed, instead
    #[arg(long)]
    calm: bool,
    /// Measures what accounts cost instead, beside the same registry without them
    #[arg(long)]
    accounts: bool,
    /// Measures a collection instead, beside pushes and beside the stock registry's own
    #[arg(long)]
    gc: bool,
    /// Measures our client instead, beside skopeo and crane at the same server
    #[arg(long)]
    client: bool,
    /// How much of growth and gc, of the small images of crowd, and of the repositories of offline is made, in percent
    #[arg(long, default_value_t = 100)]
    percent: usize,
    /// Only the phases whose name has this in it: push, crowd, pull, thousand, tls, manifest, head, growth, offline; of kubo push, pull, commit, manifest,
    /// replicas; of federation cold, first, warm, distant; of accounts manifest, pull, push, token, catalog
    #[arg(long, default_value = "")]
    only: String,
    /// Another registry that is running and takes pushes from everybody, as NAME=HOST:PORT
    #[arg(long, value_name = "NAME=HOST:PORT")]
    other: Vec<String>,
    /// A zot to compare with
    #[arg(long, value_name = "BINARY")]
    zot: Option<PathBuf>,
    /// An olareg to compare with
    #[arg(long, value_name = "BINARY")]
    olareg: Option<PathBuf>,
    /// Another build of Roadstead to compare with, such as one of an earlier version
    #[arg(long, value_name = "BINARY")]
    before: Option<PathBuf>,
    /// Where everything is kept; on a disk, its speed is a part of every push
    #[arg(long, default_value = env!("CARGO_TARGET_TMPDIR"))]
    folder: PathBuf,
    /// Given by `cargo bench`; means nothing
    #[arg(long, hide = true)]
    bench: bool,
}

/// What another build of Roadstead is called.
const BEFORE: &str = "before";

type Phase = fn(&Arguments, &mut [Subject]) -> Vec<Row>;

/// Times something in seconds.
fn timed(work: impl FnOnce()) -> f64 {
    let begun = Instant::now();
    work();
    begun.elapsed().as_secs_f64()
}

/// Measures each subject once in every round, in alternating order; returns the figures of each. The first
/// round is not counted.
fn rounds(
    count: usize,
    subjects: &[&Subject],
    mut prepare: impl FnMut(),
    mut measure: impl FnMut(&Subject) -> f64,
) -> Vec<Vec<f64>> {
    let mut figures = vec![Vec::new(); subjects.len()];
    for round in 0..=count {
        prepare();
        let mut order: Vec<usize> = (0..subjects.len()).collect();
        if round % 2 == 1 {
            order.reverse();
        }
        for index in order {
            let figure = measure(subjects[index]);
            if round > 0 {
                figures[index].push(figure);
            }
        }
    }
    figures
}

/// Each subject's figures, of those that were noted by its name, without those of the round that is not counted.
fn counted(subjects: &[&Subject], noted: &[(String, f64)]) -> Vec<Vec<f64>> {
    let own = |subject: &&Subject| {
        let own = noted.iter().filter(|(name, _)| *name == subject.name);
        own.skip(1).map(|(_, figure)| *figure).collect()
    };
    subjects.iter().map(own).collect()
}

/// Makes a row of each subject, the first of which is ours.
fn rows(
    work: &str,
    goals: &[(&str, &str)],
    unit: &'static str,
    subjects: &[&Subject],
    figures: &[Vec<f64>],
) -> Vec<Row> {
    let ours = &figures[0];
    let row = |(subject, figures): (&&Subject, &Vec<f64>)| {
        let goal = goals.iter().find(|(name, _)| *name == subject.name);
        let ratios = ours.iter().zip(figures).map(|(ours, theirs)| ours / theirs);
        Row {
            work: work.to_owned(),
            goal: goal.map(|(_, goal)| (*goal).to_owned()).unwrap_or_default(),
            subject: subject.name.clone(),
            figure: (Figures::new(figures.clone()), unit),
            ratio: (!std::ptr::eq(ours, figures)).then(|| Figures::new(ratios.collect())),
        }
    };
    subjects.iter().zip(figures).map(row).collect()
}

fn main() {
    let arguments = Arguments::parse();
    let found = match arguments.storage.as_str() {
        _ if arguments.growth => many::measure(&arguments),
        _ if arguments.accounts => accounts::measure(&arguments),
        _ if arguments.calm => calm::measure(&arguments),
        _ if arguments.gc => collections::measure(&arguments),
        _ if arguments.client => transfers::measure(&arguments),
        _ if arguments.federation => federation::measure(&arguments),
        "kubo" => kubo::measure(&arguments),
        _ => embedded(&arguments),
    };
    println!(
        "\nblobs of {} MB, {} rounds after one that is not counted; each with its log as it comes, into a file; client, \
         registries and whatever else on the same {} cores\n",
        arguments.size,
        arguments.rounds,
        std::thread::available_parallelism().map_or(0, usize::from)
    );
    table::print(&found);
}

/// The embedded store beside other registries.
fn embedded(arguments: &Arguments) -> Vec<Row> {
    let mut subjects = vec![Subject::roadstead(&arguments.folder)];
    subjects.extend(Subject::stock(&arguments.folder));
    if let Some(binary) = &arguments.before {
        subjects.push(Subject::before(&arguments.folder, binary.clone()));
    }
    let zot = arguments.zot.iter().map(|it| Subject::zot(&arguments.folder, it.clone()));
    let olareg = arguments.olareg.iter().map(|it| Subject::olareg(&arguments.folder, it.clone()));
    subjects.extend(zot.chain(olareg));
    for other in &arguments.other {
        let (name, address) = other.split_once('=').expect("--other takes NAME=HOST:PORT");
        subjects.push(Subject::other(name, address));
    }
    let mut found = Vec::new();
    let phases: [(&str, Phase); 9] = [
        ("push", pushes::measure),
        ("crowd", pushes::measure_crowd),
        ("pull", pulls::measure),
        ("thousand", pulls::measure_thousand),
        ("tls", encrypted::measure),
        ("manifest", pulls::measure_manifests),
        ("head", pulls::measure_heads),
        ("growth", growth::measure),
        ("offline", offline::measure),
    ];
    for (name, phase) in phases {
        if name.contains(&arguments.only) {
            found.extend(phase(arguments, &mut subjects));
        }
    }
    found
}
