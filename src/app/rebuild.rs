//! Opening a registry whose index is to be made anew, and is given up where it is damaged.

use std::sync::Arc;

use super::lock::DataLock;
use super::{App, AppError, adoption, index_url, limits, open_storage};
use crate::config::Settings;
use crate::index::{self, Index, IndexErrorKind};
use crate::registry::Registry;
use crate::storage::Storage;

impl App {
    /// As [`App::open`], for making the index anew: of what is in it only the queue counts, which
    /// [`Registry::rebuild_index`] carries out. A file that is damaged is set aside; returns also what
    /// is to be said about that, a sentence each.
    ///
    /// # Errors
    /// As [`App::open`].
    pub async fn open_for_rebuild(settings: &Settings) -> Result<(Self, Vec<String>), AppError> {
        let lock = DataLock::take(&settings.server.data)?;
        adoption::expect_done(&settings.server.data)?;
        let storage = open_storage(settings)?;
        let (index, said) = open_or_replace(settings, &storage).await?;
        Ok((Self { registry: Registry::new(index, storage, limits(settings)), _lock: lock }, said))
    }
}

/// Opens the index. Where its file is damaged, the queue in it is carried out as far as it can be read,
/// and an empty one takes its place.
async fn open_or_replace(
    settings: &Settings,
    storage: &Arc<dyn Storage>,
) -> Result<(Arc<dyn Index>, Vec<String>), AppError> {
    let url = index_url(settings);
    let (damage, mut said) = match index::open(&url).await {
        Ok(index) => match index.examine().await {
            Ok(()) => return Ok((index, Vec::new())),
            Err(error) => {
                let registry = Registry::new(index.clone(), storage.clone(), limits(settings));
                let lost = registry.carry_out_queue().await?;
                index.close().await;
                (error, lost)
            }
        },
        Err(error) => (
            error,
            vec!["may have lost what the queue held: the index cannot be opened".to_owned()],
        ),
    };
    if damage.kind != IndexErrorKind::Damaged {
        return Err(damage.into());
    }
    let Some(aside) = index::set_aside(&url)? else { return Err(damage.into()) };
    said.push(format!("the index was damaged, and stands aside as {}", aside.display()));
    Ok((index::open(&url).await?, said))
}
