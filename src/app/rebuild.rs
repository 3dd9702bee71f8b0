//! Opening a registry whose index is to be made anew, and is given up where it is damaged.

use std::path::PathBuf;
use std::sync::Arc;

use super::lock::DataLock;
use super::{App, AppError, filling, index_url, limits, open_index, open_storage};
use crate::config::Settings;
use crate::index::{self, Access, Index, IndexErrorKind};
use crate::registry::Registry;

/// Something to be told when an index is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A change that may be lost with it, as a sentence.
    Lost(String),
    /// It was damaged, and has this name now.
    Aside(PathBuf),
}

impl App {
    /// As [`App::open`], for making the index anew: of what is in it only the queue counts, which is
    /// carried out as far as that is possible. A file that is damaged is set aside. What is to be said
    /// is told at once, since nobody can tell it later.
    ///
    /// # Errors
    /// As [`App::open`].
    pub async fn open_for_rebuild(
        settings: &Settings,
        tell: &mut dyn FnMut(Notice),
    ) -> Result<Self, AppError> {
        let lock = DataLock::take(&settings.server.data)?;
        filling::expect_done(&settings.server.data)?;
        let index = open_or_replace(settings, tell).await?;
        let storage = open_storage(settings, &index).await?;
        storage.tidy().await?;
        let registry = Registry::new(index.clone(), storage, limits(settings));
        Ok(Self { registry, index, _lock: lock })
    }

    /// As [`App::open_for_rebuild`], for looking at what that would do: nothing is carried out or set aside, and an
    /// index that is not there is not made where it would stand.
    ///
    /// # Errors
    /// As [`App::open`]; [`AppError::Index`] where the index is damaged.
    pub async fn open_for_rebuild_plan(settings: &Settings) -> Result<Self, AppError> {
        let data = &settings.server.data;
        let lock = DataLock::take(data)?;
        filling::expect_done(data)?;
        let is_missing = index_url(settings)
            .strip_prefix("sqlite:")
            .is_some_and(|path| !std::path::Path::new(path).exists());
        let index = if is_missing {
            // What stands in this folder goes with the next start.
            let folder = data.join("tmp/files").join(uuid::Uuid::new_v4().simple().to_string());
            std::fs::create_dir_all(&folder)
                .map_err(|source| AppError::Folder { data: data.clone(), source })?;
            index::open(&format!("sqlite:{}", folder.join("index.sqlite").display())).await?
        } else {
            open_index(settings, Access::Full).await?
        };
        index.examine().await?;
        let storage = open_storage(settings, &index).await?;
        let registry = Registry::new(index.clone(), storage, limits(settings));
        Ok(Self { registry, index, _lock: lock })
    }
}

/// Opens the index, and carries out its queue. Where its file is damaged, an empty one takes its place.
async fn open_or_replace(
    settings: &Settings,
    tell: &mut dyn FnMut(Notice),
) -> Result<Arc<dyn Index>, AppError> {
    let (damage, is_read) = match open_index(settings, Access::Full).await {
        Ok(index) => {
            let examined = index.examine().await;
            let storage = open_storage(settings, &index).await?;
            storage.tidy().await?;
            let registry = Registry::new(index.clone(), storage, limits(settings));
            for lost in registry.carry_out_queue().await? {
                tell(Notice::Lost(lost));
            }
            let Err(damage) = examined else { return Ok(index) };
            index.close().await;
            (damage, true)
        }
        Err(damage) => (damage, false),
    };
    if damage.kind != IndexErrorKind::Damaged {
        return Err(damage.into());
    }
    let Some(aside) = index::set_aside(&index_url(settings))? else { return Err(damage.into()) };
    if !is_read {
        let what = "may have lost what the queue held: the index cannot be opened";
        tell(Notice::Lost(what.to_owned()));
    }
    tell(Notice::Aside(aside));
    Ok(open_index(settings, Access::Full).await?)
}
