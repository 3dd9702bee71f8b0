//! The content of a folder: what links lead to is taken in, compared, and given to repositories.

use std::collections::{HashMap, HashSet};
use std::num::NonZero;
use std::thread::available_parallelism;

use futures_util::{StreamExt, stream};

use super::super::blobs::{content, new_blob};
use super::super::walk::Link;
use super::super::{Registry, RegistryError, Result, layout, now};
use super::role::Role;
use super::{Adoption, SoundLinks};
use crate::oci::{Algorithm, CanonicalDigest, Digest, RepositoryName};
use crate::storage::{Content, Finished, StorageError, StorageErrorKind, TreePath};

impl Adoption<'_> {
    /// Takes in what the links lead to; returns each name whose content has it.
    pub(super) async fn resolve(
        &mut self,
        name: &RepositoryName,
        links: &[Link<Digest>],
        role: Role,
    ) -> Result<Vec<(Digest, Finished)>> {
        let targets: HashSet<CanonicalDigest> =
            links.iter().filter_map(|link| link.target).collect();
        let taken = self.take_in(targets, role).await?;
        let mut sound = Vec::new();
        for link in links {
            let why = match link.target {
                // The stock registry deletes a link, and leaves its directory.
                None if !self.is_there(&link.path).await => continue,
                None => "cannot read its link".to_owned(),
                Some(target) => match taken.get(&target) {
                    None => self.unfit.get(&target).cloned().unwrap_or_default(),
                    Some(finished) if self.is_named(&finished.content, &link.name).await? => {
                        sound.push((link.name, finished.clone()));
                        continue;
                    }
                    Some(_) => {
                        self.useless.insert(target);
                        format!("its link points to {target}")
                    }
                },
            };
            let (kind, what) = role.left_out();
            self.leave_out(kind, format!("{what} {} of `{name}`", link.name), why);
        }
        Ok(sound)
    }

    async fn is_there(&self, path: &TreePath) -> bool {
        !matches!(self.walk().read(path, 0).await, Ok(None))
    }

    async fn is_named(&self, content: &Content, name: &Digest) -> Result<bool> {
        Ok(match name.algorithm() {
            Algorithm::Sha256 => *name == content.canonical.into(),
            Algorithm::Sha512 => *name == self.registry.sha512(content).await?,
        })
    }

    /// Takes content in, several at a time; what is not in the answer is unfit.
    async fn take_in(
        &mut self,
        requested: HashSet<CanonicalDigest>,
        role: Role,
    ) -> Result<HashMap<CanonicalDigest, Finished>> {
        let requested =
            requested.into_iter().filter(|canonical| !self.unfit.contains_key(canonical));
        let requested: Vec<CanonicalDigest> = requested.collect();
        let width = available_parallelism().map_or(2, NonZero::get);
        let (registry, source) = (self.registry, self.source);
        let mut taking = stream::iter(requested)
            .map(|canonical| async move {
                let known = known(registry, &canonical, role).await?;
                if let Some(finished) = known {
                    return Ok((canonical, Ok((finished, None))));
                }
                let path = layout::blob_data(&canonical);
                Ok::<_, RegistryError>(
                    match registry.storage.import(source, &path, &canonical).await {
                        Ok(taken) => (canonical, Ok((taken.finished, Some(taken.is_linked)))),
                        Err(error) => (canonical, Err((error.is_forbidden(), blame(error)?))),
                    },
                )
            })
            .buffer_unordered(width);
        let mut taken = HashMap::new();
        while let Some(next) = taking.next().await {
            let (canonical, came) = next?;
            if self.unreferenced.remove(&canonical) {
                self.progress.advance(1);
            }
            match came {
                Ok((finished, is_linked)) => {
                    if let Some(is_linked) = is_linked {
                        self.result.blobs += 1;
                        self.result.bytes += finished.content.size;
                        self.result.linked += usize::from(is_linked);
                    }
                    taken.insert(canonical, finished);
                }
                Err((is_forbidden, why)) => {
                    self.result.is_partial |= is_forbidden;
                    self.unfit.insert(canonical, why);
                }
            }
        }
        Ok(taken)
    }

    /// Gives repositories their blobs, also those that no manifest names.
    pub(super) async fn layers(&self, repositories: &[SoundLinks]) -> Result<()> {
        if repositories.iter().all(|repository| repository.layers.is_empty()) {
            return Ok(());
        }
        let mut writer = self.registry.index.lock().await?;
        writer.begin().await?;
        for SoundLinks { name, layers, .. } in repositories {
            for (digest, finished) in layers {
                writer.put_blob(Some(name), &new_blob(finished, vec![*digest])?, now()).await?;
            }
        }
        Ok(writer.commit().await?)
    }

    /// Keeps content no longer that turned out to be of no use, unless a repository has it.
    pub(super) async fn forget(&self, canonical: &CanonicalDigest) -> Result<()> {
        let index = &self.registry.index;
        if index.stored_blob(canonical).await?.is_none()
            && index.stored_manifest(canonical).await?.is_none()
        {
            self.registry.storage.forget(&[*canonical]).await?;
        }
        Ok(())
    }
}

/// Finds content that is stored already, as a thing of that kind.
async fn known(
    registry: &Registry,
    canonical: &CanonicalDigest,
    role: Role,
) -> Result<Option<Finished>> {
    let index = &registry.index;
    let found = match role {
        Role::Layer => index.stored_blob(canonical).await?.map(|row| content(&row)),
        Role::Manifest => index.stored_manifest(canonical).await?.map(|stored| Content {
            canonical: stored.canonical,
            cid: stored.cid,
            size: stored.bytes.len() as u64,
        }),
    };
    let Some(content) = found else { return Ok(None) };
    let is_stored = registry.storage.contains(&content).await?;
    Ok(is_stored.then(|| Finished { content, leaves: Vec::new(), is_replaced: false }))
}

/// Says what is wrong with content, if the fault is that of the folder.
fn blame(error: StorageError) -> Result<String> {
    match error.kind {
        StorageErrorKind::NotFound => Ok("its content is missing".to_owned()),
        StorageErrorKind::DigestMismatch => Ok(format!("its bytes are {}", error.context)),
        StorageErrorKind::Damaged => Ok(format!("cannot read its content: {}", error.context)),
        StorageErrorKind::Full
        | StorageErrorKind::Stuck
        | StorageErrorKind::Unavailable
        | StorageErrorKind::ReadOnly
        | StorageErrorKind::Unusable
        | StorageErrorKind::Failed => Err(error.into()),
    }
}
