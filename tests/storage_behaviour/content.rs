//! Content: taking in, going on, reading.

use futures_util::{StreamExt, TryStreamExt};
use roadstead::ipld::file::{CHUNK_SIZE, FileHasher};
use roadstead::ipld::raw_cid;
use roadstead::oci::{Algorithm, CanonicalDigest, Digest};
use roadstead::storage::{Content, SourceFolder, StorageErrorKind, TreePath};

use super::{Subject, noise, sha256};

/// Sizes around the bounds where the shape of a file changes.
const SIZES: [usize; 8] =
    [0, 1, 1000, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 2 * CHUNK_SIZE, 3 * CHUNK_SIZE + 7];

fn content(bytes: &[u8]) -> Content {
    let mut hasher = FileHasher::new();
    hasher.append(bytes);
    let file = hasher.finish();
    Content { canonical: CanonicalDigest::of(bytes), cid: file.cid, size: bytes.len() as u64 }
}

async fn read(subject: &Subject, content: &Content, range: std::ops::Range<u64>) -> Vec<u8> {
    let stream = subject.storage.open(content, range).await.unwrap();
    stream
        .try_fold(Vec::new(), |mut all, piece| async move {
            all.extend_from_slice(&piece);
            Ok(all)
        })
        .await
        .unwrap()
}

pub(crate) async fn content_has_the_cid_of_its_bytes_however_they_came(subject: &mut Subject) {
    for (seed, size) in SIZES.into_iter().enumerate() {
        for (lease, piece) in [1_000_000, 7777, 256 * 1024, CHUNK_SIZE].into_iter().enumerate() {
            let bytes = noise((seed * 10 + lease) as u64, size);
            let finished = subject.take_in("upload", &bytes, piece).await;
            assert_eq!(finished.content, content(&bytes), "{size} bytes in pieces of {piece}");
            let leaves: Vec<_> =
                bytes.chunks(CHUNK_SIZE).map(|leaf| CanonicalDigest::of(leaf).0).collect();
            let expected = if size == 0 { vec![CanonicalDigest::of(b"").0] } else { leaves };
            assert_eq!(finished.leaves, expected);
            assert!(subject.storage.contains(&finished.content).await.unwrap());
            assert_eq!(read(subject, &finished.content, 0..size as u64).await, bytes);
        }
    }
}

pub(crate) async fn an_ingest_goes_on_from_its_checkpoint_in_another_process(
    subject: &mut Subject,
) {
    let bytes = noise(1, 3 * CHUNK_SIZE + 5000);
    let stops = [
        0,
        1,
        CHUNK_SIZE - 1,
        CHUNK_SIZE,
        CHUNK_SIZE + 1,
        2 * CHUNK_SIZE,
        2 * CHUNK_SIZE + 9,
        bytes.len(),
    ];
    let (mut offset, mut checkpoint) = (0, Vec::new());
    for stop in stops {
        let mut ingest =
            subject.storage.resume("upload", offset as u64, &checkpoint).await.unwrap();
        assert_eq!(ingest.offset(), offset as u64);
        ingest.append(bytes[offset..stop].to_vec().into()).await.unwrap();
        checkpoint = ingest.checkpoint().await.unwrap();
        offset = stop;
        drop(ingest);
        subject.reopen();
        // Nothing may have been stored of what is empty.
        assert!(stop == 0 || subject.storage.ingests().await.unwrap() == ["upload"]);
    }
    let ingest = subject.storage.resume("upload", offset as u64, &checkpoint).await.unwrap();
    let finished = ingest.finish(&sha256(&bytes)).await.unwrap();
    assert_eq!(finished.content, content(&bytes));
    let leaves: Vec<_> = bytes.chunks(CHUNK_SIZE).map(|leaf| CanonicalDigest::of(leaf).0).collect();
    assert_eq!(finished.leaves, leaves);
}

pub(crate) async fn what_came_after_a_checkpoint_is_dropped(subject: &mut Subject) {
    let bytes = noise(2, 2 * CHUNK_SIZE + 100);
    let half = CHUNK_SIZE + 50;
    let mut ingest = subject.storage.begin("upload").await.unwrap();
    ingest.append(bytes[..half].to_vec().into()).await.unwrap();
    let checkpoint = ingest.checkpoint().await.unwrap();
    ingest.append(noise(3, 3 * CHUNK_SIZE).into()).await.unwrap();
    ingest.checkpoint().await.unwrap();
    drop(ingest);
    subject.reopen();
    let mut ingest = subject.storage.resume("upload", half as u64, &checkpoint).await.unwrap();
    ingest.append(bytes[half..].to_vec().into()).await.unwrap();
    let finished = ingest.finish(&sha256(&bytes)).await.unwrap();
    assert_eq!(finished.content, content(&bytes));
}

pub(crate) async fn a_checkpoint_that_cannot_be_read_costs_a_second_reading(subject: &mut Subject) {
    let is_found_without = subject.is_made_of_files();
    let bytes = noise(4, 2 * CHUNK_SIZE + 100);
    let half = CHUNK_SIZE + 50;
    let mut ingest = subject.storage.begin("upload").await.unwrap();
    ingest.append(bytes[..half].to_vec().into()).await.unwrap();
    let good = ingest.checkpoint().await.unwrap();
    drop(ingest);
    let mut damaged = vec![
        Vec::new(),
        vec![0],
        noise(5, 5000),
        good[..good.len() - 1].to_vec(),
        good[..50].to_vec(),
    ];
    let mut other_version = good.clone();
    other_version[0] = 200;
    damaged.push(other_version);
    for checkpoint in damaged {
        match subject.storage.resume("upload", half as u64, &checkpoint).await {
            Ok(ingest) => drop(ingest),
            Err(error) => {
                assert!(!is_found_without);
                assert_eq!(error.kind, StorageErrorKind::NotFound, "{error:?}");
            }
        }
    }
    if !is_found_without {
        subject.storage.discard("upload").await.unwrap();
        return;
    }
    let mut ingest = subject.storage.resume("upload", half as u64, b"nonsense").await.unwrap();
    ingest.append(bytes[half..].to_vec().into()).await.unwrap();
    let finished = ingest.finish(&sha256(&bytes)).await.unwrap();
    assert_eq!(finished.content, content(&bytes));
}

/// Whatever stands in a checkpoint: what it leads to has the digest that was expected, or is refused.
pub(crate) async fn a_checkpoint_that_was_tampered_with_does_no_harm(subject: &mut Subject) {
    let bytes = noise(6, CHUNK_SIZE + 100);
    for seed in 1..80 {
        let mut ingest = subject.storage.begin("upload").await.unwrap();
        ingest.append(bytes.clone().into()).await.unwrap();
        let mut checkpoint = ingest.checkpoint().await.unwrap();
        drop(ingest);
        let dice = noise(seed, 64);
        for edit in dice.chunks(4).take(1 + usize::from(dice[63]) % 4) {
            let position = usize::from(u16::from_le_bytes([edit[0], edit[1]])) % checkpoint.len();
            match edit[2] % 8 {
                0 => checkpoint.truncate(position + 1),
                1 => checkpoint.insert(position, edit[3]),
                2 => checkpoint.extend(&dice),
                3 => checkpoint[position..].fill(0xff),
                _ => checkpoint[position] = edit[3],
            }
        }
        subject.reopen();
        let size = bytes.len() as u64;
        match subject.storage.resume("upload", size, &checkpoint).await {
            Ok(ingest) => match ingest.finish(&sha256(&bytes)).await {
                Ok(finished) => assert_eq!(finished.content.canonical, CanonicalDigest::of(&bytes)),
                Err(error) => assert_eq!(error.kind, StorageErrorKind::DigestMismatch, "{error:?}"),
            },
            Err(error) => assert_eq!(error.kind, StorageErrorKind::NotFound, "{error:?}"),
        }
        subject.storage.discard("upload").await.unwrap();
    }
}

/// A request that was thought to be gone goes on beside the one that has taken its place.
pub(crate) async fn of_two_ingests_of_one_upload_neither_ends_as_the_others_bytes(
    subject: &mut Subject,
) {
    let common = noise(20, CHUNK_SIZE + 5000);
    for (resumes, slow_first) in [(true, true), (true, false), (false, true), (false, false)] {
        let bytes = |seed: u64| {
            let base = if resumes { common.clone() } else { Vec::new() };
            [base, noise(seed, CHUNK_SIZE + 777)].concat()
        };
        let (slow_bytes, fast_bytes) = (bytes(21), bytes(22));
        let base = if resumes { common.len() } else { 0 };
        let mut slow = subject.storage.begin("upload").await.unwrap();
        slow.append(slow_bytes[..base].to_vec().into()).await.unwrap();
        let checkpoint = slow.checkpoint().await.unwrap();
        // The first part of what only the slow one has is on its way.
        let middle = base + 300_000;
        slow.append(slow_bytes[base..middle].to_vec().into()).await.unwrap();
        let resumed = subject.storage.resume("upload", base as u64, &checkpoint).await;
        let mut fast = resumed.unwrap();
        fast.append(fast_bytes[base..middle].to_vec().into()).await.unwrap();
        // It may be refused, or go on by itself.
        let went_on = slow.append(slow_bytes[middle..].to_vec().into()).await.is_ok();
        fast.append(fast_bytes[middle..].to_vec().into()).await.unwrap();
        let end_slow = async {
            if went_on {
                let _ = slow.finish(&sha256(&slow_bytes)).await;
            }
        };
        if slow_first {
            end_slow.await;
            fast.finish(&sha256(&fast_bytes)).await.unwrap();
        } else {
            fast.finish(&sha256(&fast_bytes)).await.unwrap();
            end_slow.await;
        }
        assert!(subject.storage.contains(&content(&fast_bytes)).await.unwrap());
        for bytes in [&slow_bytes, &fast_bytes] {
            let content = content(bytes);
            if subject.storage.contains(&content).await.unwrap() {
                assert_eq!(&read(subject, &content, 0..content.size).await, bytes);
                subject.storage.forget(&[content.canonical]).await.unwrap();
            }
        }
        subject.storage.discard("upload").await.unwrap();
    }
}

pub(crate) async fn a_checkpoint_is_bounded(subject: &mut Subject) {
    let piece = bytes::Bytes::from(noise(6, CHUNK_SIZE));
    let mut ingest = subject.storage.begin("upload").await.unwrap();
    for _ in 0..200 {
        ingest.append(piece.clone()).await.unwrap();
    }
    let checkpoint = ingest.checkpoint().await.unwrap();
    assert!(checkpoint.len() <= 150_000, "{} bytes", checkpoint.len());
    drop(ingest);
    subject.storage.discard("upload").await.unwrap();
    subject.storage.discard("upload").await.unwrap();
}

pub(crate) async fn bytes_of_another_digest_are_not_stored(subject: &mut Subject) {
    let bytes = noise(7, 5000);
    let mut ingest = subject.storage.begin("upload").await.unwrap();
    ingest.append(bytes.clone().into()).await.unwrap();
    let error = ingest.finish(&sha256(b"other")).await.unwrap_err();
    assert_eq!(error.kind, StorageErrorKind::DigestMismatch);
    assert!(!subject.storage.contains(&content(&bytes)).await.unwrap());
    assert!(subject.storage.contents().await.unwrap().is_empty());
    subject.storage.discard("upload").await.unwrap();
}

pub(crate) async fn content_is_checked_against_a_sha512_digest_too(subject: &mut Subject) {
    let bytes = noise(8, CHUNK_SIZE + 9);
    for (expected, is_stored) in [
        (Digest::of(Algorithm::Sha512, b"other"), false),
        (Digest::of(Algorithm::Sha512, &bytes), true),
    ] {
        let mut ingest = subject.storage.begin("upload").await.unwrap();
        ingest.append(bytes.clone().into()).await.unwrap();
        let finished = ingest.finish(&expected).await;
        assert_eq!(finished.is_ok(), is_stored);
        assert_eq!(subject.storage.contains(&content(&bytes)).await.unwrap(), is_stored);
    }
}

pub(crate) async fn the_same_content_may_come_from_many_at_once(subject: &mut Subject) {
    let bytes = noise(9, CHUNK_SIZE + 9);
    let names: Vec<String> = (0..8).map(|number| format!("upload-{number}")).collect();
    let uploads = names.iter().map(|name| subject.take_in(name, &bytes, 100_000));
    for finished in futures_util::future::join_all(uploads).await {
        assert_eq!(finished.content, content(&bytes));
    }
    assert_eq!(subject.storage.contents().await.unwrap(), [CanonicalDigest::of(&bytes)]);
}

pub(crate) async fn a_dropped_ingest_can_be_gone_on_with(subject: &mut Subject) {
    let bytes = noise(10, 4 * CHUNK_SIZE);
    let half = 2 * CHUNK_SIZE;
    let mut ingest = subject.storage.begin("upload").await.unwrap();
    ingest.append(bytes[..half].to_vec().into()).await.unwrap();
    let checkpoint = ingest.checkpoint().await.unwrap();
    // Dropped while it may still be writing what the next one has to write again.
    ingest.append(bytes[half..].to_vec().into()).await.unwrap();
    drop(ingest);
    let mut ingest = subject.storage.resume("upload", half as u64, &checkpoint).await.unwrap();
    ingest.append(bytes[half..].to_vec().into()).await.unwrap();
    assert_eq!(ingest.finish(&sha256(&bytes)).await.unwrap().content, content(&bytes));
}

pub(crate) async fn an_ingest_whose_bytes_are_gone_is_not_found(subject: &mut Subject) {
    let mut ingest = subject.storage.begin("upload").await.unwrap();
    ingest.append(noise(11, 1000).into()).await.unwrap();
    let checkpoint = ingest.checkpoint().await.unwrap();
    drop(ingest);
    subject.storage.discard("upload").await.unwrap();
    let error = subject.storage.resume("upload", 1000, &checkpoint).await.err().unwrap();
    assert_eq!(error.kind, StorageErrorKind::NotFound);
}

pub(crate) async fn a_range_is_read_exactly(subject: &mut Subject) {
    let bytes = noise(12, 2 * CHUNK_SIZE + 77);
    let finished = subject.take_in("upload", &bytes, CHUNK_SIZE).await;
    let size = bytes.len();
    for (from, to) in [
        (0, 0),
        (0, 1),
        (size - 1, size),
        (5, 300_000),
        (CHUNK_SIZE - 1, CHUNK_SIZE + 1),
        (0, size),
    ] {
        let read = read(subject, &finished.content, from as u64..to as u64).await;
        assert_eq!(read, bytes[from..to], "{from}..{to}");
    }
}

pub(crate) async fn what_is_not_there_is_not_found(subject: &mut Subject) {
    let absent = content(b"absent");
    assert!(!subject.storage.contains(&absent).await.unwrap());
    let error = subject.storage.open(&absent, 0..1).await.err().unwrap();
    assert_eq!(error.kind, StorageErrorKind::NotFound);
    let finished = subject.take_in("upload", b"here", 10).await;
    let longer = Content { size: 5, ..finished.content };
    let error = subject.storage.open(&longer, 0..5).await.err().unwrap();
    assert_eq!(error.kind, StorageErrorKind::Damaged);
    let other = Content { cid: raw_cid([1; 32]), ..finished.content };
    match subject.storage.open(&other, 0..4).await {
        Ok(mut stream) => {
            assert!(subject.is_made_of_files(), "files are found by the digest alone");
            assert!(stream.next().await.is_some());
        }
        Err(error) => assert_eq!(error.kind, StorageErrorKind::NotFound),
    }
}

pub(crate) async fn forgotten_content_is_gone_and_can_come_again(subject: &mut Subject) {
    let bytes = noise(13, 5000);
    for _ in 0..2 {
        let finished = subject.take_in("upload", &bytes, 1000).await;
        assert_eq!(read(subject, &finished.content, 0..5000).await, bytes);
        for _ in 0..2 {
            subject.storage.forget(&[finished.content.canonical]).await.unwrap();
            assert!(!subject.storage.contains(&finished.content).await.unwrap());
        }
    }
    assert!(subject.storage.contents().await.unwrap().is_empty());
}

pub(crate) async fn examining_tells_what_content_is(subject: &mut Subject) {
    for size in SIZES {
        let bytes = noise(size as u64, size);
        let finished = subject.take_in("upload", &bytes, CHUNK_SIZE).await;
        assert_eq!(
            subject.storage.verify(&finished.content.canonical).await.unwrap(),
            finished.content
        );
    }
}

pub(crate) async fn a_file_of_a_folder_is_taken_in_if_it_is_what_it_should_be(
    subject: &mut Subject,
) {
    let folder = tempfile::TempDir::new().unwrap();
    let (bytes, other) = (noise(1, 2 * CHUNK_SIZE + 5), noise(2, 100));
    std::fs::create_dir_all(folder.path().join("place/below")).unwrap();
    std::fs::write(folder.path().join("place/below/file"), &bytes).unwrap();
    std::os::unix::fs::symlink("file", folder.path().join("place/below/symbolic")).unwrap();
    let tree_path = TreePath::parse("place").unwrap();
    let path = |name: &str| TreePath::parse(&format!("place/below/{name}")).unwrap();
    // The folder around the place, and the place itself.
    for source in [folder.path().to_owned(), folder.path().join("place")] {
        let source = SourceFolder::find(&source, &tree_path, &["below"]).unwrap().unwrap();
        let take = async |name: &str, expected: &[u8]| {
            let expected = CanonicalDigest::of(expected);
            subject.storage.import(&source, &path(name), &expected).await
        };
        for name in ["file", "symbolic", "file"] {
            let taken = take(name, &bytes).await.unwrap();
            assert_eq!(taken.finished.content, content(&bytes));
            assert!(name != "symbolic" || !taken.is_linked, "a link would lead astray");
            let size = bytes.len() as u64;
            assert_eq!(read(subject, &taken.finished.content, 0..size).await, bytes);
        }
        let wrong = take("file", &other).await.unwrap_err();
        assert_eq!(wrong.kind, StorageErrorKind::DigestMismatch);
        assert_eq!(wrong.context, CanonicalDigest::of(&bytes).to_string());
        assert!(!subject.storage.contains(&content(&other)).await.unwrap());
        assert_eq!(take("none", &bytes).await.unwrap_err().kind, StorageErrorKind::NotFound);
        let no_file = subject.storage.import(&source, &tree_path, &CanonicalDigest::of(b"")).await;
        assert_eq!(no_file.unwrap_err().kind, StorageErrorKind::Damaged);
        subject.storage.forget(&[content(&bytes).canonical]).await.unwrap();
    }
    assert_eq!(std::fs::read(folder.path().join("place/below/file")).unwrap(), bytes);
}
