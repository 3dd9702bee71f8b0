//! `scripts/durations`, by which a run tells how long the tests of each file took.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use tempfile::TempDir;

#[test]
fn the_tests_of_each_file_are_counted_and_the_output_goes_through() {
    let text = "\nrunning 4 tests\n\
        test api::uploads::begun ... ok\n\
        test api::uploads::tests::ended ... FAILED\n\
        test api::slow has been running for over 60 seconds\n\
        test api::tags::listed ... ignored, no docker\n\
        test api::slow ... ok\n\n\
        test result: FAILED. 2 passed; 1 failed\n";
    let folder = TempDir::new().expect("a temporary folder can be made");
    let table = folder.path().join("table.tsv");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/scripts/durations");
    let mut command = Command::new(script);
    command.arg("a phase").arg(&table).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = command.spawn().expect("the script can be run");
    let mut input = child.stdin.take().expect("it is a pipe");
    input.write_all(text.as_bytes()).expect("the script reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stdout), text);
    let rows = fs::read_to_string(&table).expect("the table was written");
    let rows: Vec<Vec<&str>> = rows.lines().map(|row| row.split('\t').collect()).collect();
    let counts: Vec<_> = rows.iter().map(|row| (row[0], row[1], row[2])).collect();
    assert_eq!(
        counts,
        [("a phase", "api", "1"), ("a phase", "api::tags", "1"), ("a phase", "api::uploads", "2")]
    );
    assert!(rows.iter().all(|row| row.len() == 6), "{rows:?}");
}
