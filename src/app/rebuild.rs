//! Opening a registry whose index is to be made anew, and is given up where it is damaged.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::lock::DataLock;
use super::{App, AppError, index_url, limits, open_index, open_storage, origin};
use crate::config::Settings;
use crate::index::{self, Access, Index, IndexErrorKind};
use crate::registry::Registry;

/// Something to be reported when an index is given up.
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
    /// is reported at once, since it cannot be known later.
    ///
    /// # Errors
    /// As [`App::open`].
    pub async fn open_for_rebuild(
        settings: &Settings,
        tell: &mut dyn FnMut(Notice),
    ) -> Result<Self, AppError> {
        let lock = DataLock::take(&settings.server.data)?;
        origin::expect_done(&settings.server.data)?;
        let index = open_or_replace(settings, tell).await?;
        let storage = open_storage(settings, &index).await?;
        storage.repair().await?;
        let registry = Registry::new(index.clone(), storage, limits(settings)?);
        Ok(Self { registry, index, _lock: lock })
    }

    /// As [`App::open_for_rebuild`], for looking at what that would do: nothing is carried out or set aside, an index
    /// that is not there is not made there, and one of an older version is not migrated.
    ///
    /// # Errors
    /// As [`App::open`]; [`AppError::Index`] where the index is damaged, or is a Postgres of an older version.
    pub async fn open_for_rebuild_plan(settings: &Settings) -> Result<Self, AppError> {
        let data = &settings.server.data;
        let lock = DataLock::take(data)?;
        origin::expect_done(data)?;
        let url = index_url(settings);
        let file = index::file(&url).map(PathBuf::from);
        let index = match file {
            Some(file) if !file.exists() => open_elsewhere(data, None).await?,
            file => match (open_index(settings, Access::ReadOnly).await, file) {
                (Err(error), Some(file)) if error.kind == IndexErrorKind::Older => {
                    open_elsewhere(data, Some(&file)).await?
                }
                (Err(error), None) if error.kind == IndexErrorKind::Older => {
                    return Err(error.into());
                }
                (opened, _) => {
                    if let Ok(index) = opened {
                        index.close().await;
                    }
                    open_index(settings, Access::Full).await?
                }
            },
        };
        index.verify().await?;
        let storage = open_storage(settings, &index).await?;
        let registry = Registry::new(index.clone(), storage, limits(settings)?);
        Ok(Self { registry, index, _lock: lock })
    }
}

/// Opens an index of SQLite in a folder that goes with the next start: a new one, or a copy.
async fn open_elsewhere(data: &Path, original: Option<&Path>) -> Result<Arc<Index>, AppError> {
    let folder = data.join("tmp/files").join(uuid::Uuid::new_v4().simple().to_string());
    let copied = folder.join("index.sqlite");
    let copy = async {
        tokio::fs::create_dir_all(&folder).await?;
        let Some(original) = original else { return Ok(()) };
        // What was committed last may be beside it.
        for suffix in ["", "-wal"] {
            let with = |path: &Path| PathBuf::from(format!("{}{suffix}", path.display()));
            match tokio::fs::copy(with(original), with(&copied)).await {
                Err(error) if error.kind() == io::ErrorKind::NotFound && !suffix.is_empty() => {}
                copied => drop(copied?),
            }
        }
        Ok(())
    };
    copy.await.map_err(|source| AppError::Folder { data: data.to_owned(), source })?;
    Ok(index::open(&format!("sqlite:{}", copied.display())).await?)
}

/// Opens the index, and carries out its queue. Where its file is damaged, an empty one replaces it.
async fn open_or_replace(
    settings: &Settings,
    tell: &mut dyn FnMut(Notice),
) -> Result<Arc<Index>, AppError> {
    let (damage, is_read) = match open_index(settings, Access::Full).await {
        Ok(index) => {
            let examined = index.verify().await;
            let storage = open_storage(settings, &index).await?;
            storage.repair().await?;
            let registry = Registry::new(index.clone(), storage, limits(settings)?);
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
        let what = "may have lost queued changes: cannot open the index";
        tell(Notice::Lost(what.to_owned()));
    }
    tell(Notice::Aside(aside));
    Ok(open_index(settings, Access::Full).await?)
}
