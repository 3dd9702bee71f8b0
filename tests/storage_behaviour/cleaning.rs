//! Cleaning: what is of no more use goes, and nothing else.

use bytes::Bytes;
use roadstead::ipld::file::CHUNK_SIZE;
use roadstead::oci::TreeId::Public;
use roadstead::storage::{Edit, TreePath};

use super::{EditOneTree, Subject, noise, sha256};

pub(crate) async fn cleaning_takes_nothing_away_that_counts(subject: &mut Subject) {
    let path = |text: &str| TreePath::parse(text).unwrap();
    let bytes = noise(1, 3 * CHUNK_SIZE);
    let mut ingest = subject.storage.begin("unfinished").await.unwrap();
    ingest.append(Bytes::from(bytes[..CHUNK_SIZE + 9].to_vec())).await.unwrap();
    let checkpoint = ingest.checkpoint().await.unwrap();
    drop(ingest);
    let mut stored = Vec::new();
    for round in 0..4 {
        let (name, bytes) = (format!("upload-{round}"), noise(round, 2_000_000));
        let content = subject.take_in(&name, &bytes, 90_000).await.content;
        let edits = [Edit::link(path(&format!("data-{round}")), &content)];
        subject.storage.edit(Public, &edits).await.unwrap();
        subject.storage.clean().await.unwrap();
        stored.push(content);
    }
    subject.storage.clean().await.unwrap();
    subject.reopen();
    for (round, content) in stored.iter().enumerate() {
        let path = path(&format!("data-{round}"));
        assert!(subject.storage.contains(content).await.unwrap());
        assert!(subject.storage.is_linked(Public, &path, content).await.unwrap());
        assert_eq!(subject.storage.verify(&content.canonical).await.unwrap(), *content);
    }
    assert_eq!(subject.storage.ingests().await.unwrap(), ["unfinished"]);
    let offset = CHUNK_SIZE as u64 + 9;
    let mut ingest = subject.storage.resume("unfinished", offset, &checkpoint).await.unwrap();
    ingest.append(Bytes::from(bytes[CHUNK_SIZE + 9..].to_vec())).await.unwrap();
    let finished = ingest.finish(&sha256(&bytes)).await.unwrap();
    assert_eq!(
        subject.storage.verify(&finished.content.canonical).await.unwrap(),
        finished.content
    );
}
