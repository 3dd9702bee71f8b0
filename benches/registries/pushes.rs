//! Blobs, in the ways in which clients push them.

use crate::client::Client;
use crate::content::Content;
use crate::subject::Subject;
use crate::table::Row;
use crate::{Arguments, MB, rounds, rows, timed};

/// The chunks of clients that push in chunks.
const CHUNK: usize = 16 * 1024 * 1024;

const REPOSITORY: &str = "bench/push";

type Push = fn(&mut Client, &str, &[u8]);

const WAYS: [(&str, &str, Push); 3] = [
    ("push, one PUT", "≥ 1.8", |client, digest, bytes| client.push(REPOSITORY, digest, bytes)),
    ("push, one streamed PATCH", "≥ 2.2", |client, digest, bytes| {
        client.push_streamed(REPOSITORY, digest, bytes, 1);
    }),
    ("push, 16 MiB PATCHes", "≥ 2.4", |client, digest, bytes| {
        client.push_chunked(REPOSITORY, digest, bytes, CHUNK);
    }),
];

pub(crate) fn measure(arguments: &Arguments, subjects: &mut [Subject]) -> Vec<Row> {
    let content = std::cell::RefCell::new(Content::new(arguments.size * MB));
    let mut found = Vec::new();
    for (work, goal, push) in WAYS {
        // Neither the disk nor the page cache shall know how much the ways before have pushed.
        subjects.iter_mut().for_each(Subject::renew);
        let subjects: Vec<&Subject> = subjects.iter().collect();
        let renew = || content.borrow_mut().renew();
        let figures = rounds(arguments.rounds, &subjects, renew, |subject| {
            let content = content.borrow();
            let mut client = subject.client();
            // Nobody pays for what the one before left to the disk.
            rustix::fs::sync();
            let seconds = timed(|| push(&mut client, &content.digest, &content.bytes));
            #[allow(clippy::cast_precision_loss, reason = "a figure of three digits")]
            let megabytes = arguments.size as f64;
            megabytes / seconds
        });
        found.extend(rows(work, &[("v3.1.1", goal)], "MB/s", &subjects, &figures));
    }
    found
}
