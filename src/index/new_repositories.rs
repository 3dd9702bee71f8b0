//! Who may see a repository that comes into being with the first thing that is written for it.

use std::sync::atomic::{AtomicU8, Ordering};

use super::Result;
use super::columns::parsed;
use super::connection::{Connection, on};
use crate::oci::{RepositoryName, TreeId, Visibility};

/// In this order, behind 0 for none.
const ALL: [Visibility; 3] = [Visibility::Public, Visibility::Internal, Visibility::Private];

/// What a process has been told about new repositories: their visibility where their namespace has none, or that
/// all are public.
#[derive(Debug, Default)]
pub(super) struct NewRepositories(AtomicU8);

impl NewRepositories {
    pub(super) fn set(&self, default: Option<Visibility>) {
        let found = default.and_then(|it| ALL.iter().position(|visibility| *visibility == it));
        let number = found.map_or(0, |position| position + 1);
        self.0.store(u8::try_from(number).expect("there are three"), Ordering::Release);
    }

    pub(super) fn get(&self) -> Option<Visibility> {
        let number = usize::from(self.0.load(Ordering::Acquire));
        number.checked_sub(1).and_then(|position| ALL.get(position).copied())
    }
}

/// Returns who may see a repository when it is made now.
pub(super) async fn visibility(
    connection: &mut Connection,
    repository: &RepositoryName,
) -> Result<Visibility> {
    let Some(default) = connection.new_visibility() else { return Ok(Visibility::Public) };
    let found: Option<(Option<String>,)> = on!(connection, "finding a default visibility", db =>
        sqlx::query_as("SELECT default_visibility FROM namespaces WHERE name = $1")
            .bind(first_component(repository))
            .fetch_optional(db)
            .await)?;
    let found = found.and_then(|(visibility,)| visibility);
    Ok(found.as_deref().map(parsed).transpose()?.unwrap_or(default))
}

/// Returns who may see a repository when it is made now in that tree, for which something was planned: its namespace may
/// say another thing since.
pub(super) async fn visibility_in(
    connection: &mut Connection,
    repository: &RepositoryName,
    tree: TreeId,
) -> Result<Visibility> {
    let visibility = visibility(connection, repository).await?;
    Ok(match tree {
        _ if visibility.tree() == tree => visibility,
        TreeId::Public => Visibility::Public,
        TreeId::Private => Visibility::Private,
    })
}

/// Returns the name of a repository's namespace.
pub(super) fn first_component(repository: &RepositoryName) -> &str {
    let name = repository.as_str();
    name.split_once('/').map_or(name, |(first, _)| first)
}
