//! What every storage driver does: each case runs on each row of the table of drivers, and on each inside a storage
//! that can fail.
//!
//! A case gets a storage in a folder of its own: of the machine, or of the Kubo node that `TEST_KUBO_API`
//! and `TEST_KUBO_GATEWAY` name. When it ends well, nothing unfinished may be left in the store.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod cleaning;
mod content;
mod faults;
mod home;
mod tree;

use libtest_mimic::{Arguments, Failed, Trial};
use roadstead::oci::{Digest, TreeId};
use roadstead::storage::{DRIVERS, Edit, Finished, Result as StorageResult, Storage, TreeEdit};

use home::Subject;

impl Subject {
    /// Takes content in, in pieces of that size.
    async fn take_in(&self, id: &str, bytes: &[u8], piece: usize) -> Finished {
        let mut ingest = self.storage.begin(id).await.unwrap();
        for part in bytes.chunks(piece) {
            ingest.append(part.to_vec().into()).await.unwrap();
        }
        ingest.finish(&sha256(bytes)).await.unwrap()
    }
}

/// Edits of one tree.
trait EditOneTree {
    async fn edit(&self, tree: TreeId, edits: &[Edit]) -> StorageResult<()>;
}

impl EditOneTree for dyn Storage + '_ {
    async fn edit(&self, tree: TreeId, edits: &[Edit]) -> StorageResult<()> {
        self.apply(&TreeEdit::all(tree, edits.iter().cloned())).await
    }
}

fn sha256(bytes: &[u8]) -> Digest {
    Digest::of(roadstead::oci::Algorithm::Sha256, bytes)
}

/// Bytes that look random, other ones for each seed.
fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

type Case = (&'static str, fn(Subject) -> Result<(), Failed>);

/// Makes a case out of an async function.
macro_rules! cases {
    ($($module:ident :: $name:ident),* $(,)?) => {
        &[$((stringify!($name), |mut subject: Subject| {
            let runtime = tokio::runtime::Runtime::new()?;
            runtime.block_on(async {
                subject.storage.repair().await.unwrap();
                $module::$name(&mut subject).await;
                let left = subject.storage.ingests().await.unwrap();
                assert!(left.is_empty(), "left in the store: {left:?}");
            });
            Ok(())
        })),*]
    };
}

const CASES: &[Case] = cases![
    content::content_has_the_cid_of_its_bytes_however_they_came,
    content::an_ingest_goes_on_from_its_checkpoint_in_another_process,
    content::what_came_after_a_checkpoint_is_dropped,
    content::a_checkpoint_that_cannot_be_read_costs_a_second_reading,
    content::a_checkpoint_that_was_tampered_with_does_no_harm,
    content::of_two_ingests_of_one_upload_neither_ends_as_the_others_bytes,
    content::a_checkpoint_is_bounded,
    content::bytes_of_another_digest_are_not_stored,
    content::content_is_checked_against_a_sha512_digest_too,
    content::the_same_content_may_come_from_many_at_once,
    content::a_dropped_ingest_can_be_gone_on_with,
    content::an_ingest_whose_bytes_are_gone_is_not_found,
    content::a_range_is_read_exactly,
    content::what_is_not_there_is_not_found,
    content::forgotten_content_is_gone_and_can_come_again,
    content::examining_tells_what_content_is,
    content::a_file_of_a_folder_is_taken_in_if_it_is_what_it_should_be,
    cleaning::cleaning_takes_nothing_away_that_counts,
    tree::tidying_keeps_what_counts,
    tree::an_edit_may_be_repeated,
    tree::a_removal_takes_the_directories_that_it_empties,
    tree::a_reader_meets_the_old_file_or_the_new_one,
    tree::the_trees_are_apart,
    tree::edits_of_several_trees_are_one_commit,
    tree::new_content_is_stored_with_the_edits_that_link_it,
    tree::a_commit_that_fails_for_one_tree_is_seen_in_none,
    tree::a_small_file_is_read_up_to_a_limit,
    tree::what_is_not_there_is_none,
    tree::linking_content_that_is_missing_fails,
    tree::a_file_of_a_tree_can_be_adopted,
    tree::an_imported_file_replaces_what_was_stored,
    tree::a_listing_passes_over_what_goes_meanwhile,
    tree::folding_gives_the_root_of_the_whole_tree,
];

/// What a storage does whose calls fail.
const CASES_WITH_FAULTS: &[Case] = cases![
    faults::a_call_that_failed_can_be_repeated,
    faults::a_change_of_two_trees_that_failed_can_be_repeated,
];

fn main() {
    let is_required = || std::env::var_os("TEST_REQUIRE_ALL").is_some_and(|value| value == "1");
    let arguments = Arguments::from_args();
    let mut trials = Vec::new();
    for driver in DRIVERS {
        let is_left_out = !home::is_configured(driver) && !is_required();
        for (is_faulty, around, cases) in
            [(false, "", &[][..]), (true, "faults_around_", CASES_WITH_FAULTS)]
        {
            for (name, case) in CASES.iter().chain(cases) {
                let run = move || case(Subject::new(driver, is_faulty)?);
                let trial = Trial::test(format!("{around}{}::{name}", driver.name), run);
                trials.push(trial.with_ignored_flag(is_left_out));
            }
        }
    }
    libtest_mimic::run(&arguments, trials).exit();
}
