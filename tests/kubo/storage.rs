//! The driver without a registry around it: what tests do by the thousand goes faster that way.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use roadstead::config::{Settings, Sources};
use roadstead::storage::{DRIVERS, Place, Result, Storage, Turn, Turns};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::common::KuboNode;

/// Opens a registry's storage in that folder of the node's MFS, with turns of its own.
pub(crate) async fn open(node: &KuboNode, mfs_root: &str) -> Arc<dyn Storage> {
    let settings = [
        ("DRIVER", "kubo".to_owned()),
        ("KUBO__API", node.api()),
        ("KUBO__GATEWAY", node.gateway()),
        ("KUBO__MFS_ROOT", mfs_root.to_owned()),
    ];
    let settings = settings.map(|(name, value)| (format!("ROADSTEAD_STORAGE__{name}"), value));
    let environment = settings.map(|(name, value)| (name.into(), value.into())).to_vec();
    let settings = Settings::load(&Sources { environment, ..Sources::default() }).unwrap();
    let driver = DRIVERS.iter().find(|driver| driver.name == "kubo").unwrap();
    let turns = Arc::<InProcess>::default();
    let place = Place { data: Path::new("/nonexistent"), settings: &settings.storage, turns };
    let storage = (driver.open)(place).await.unwrap();
    storage.tidy().await.unwrap();
    storage
}

/// Turns among the tasks of this process.
#[derive(Default)]
struct InProcess(Arc<RwLock<()>>);

enum Held {
    Linking(#[expect(dead_code, reason = "it is held")] OwnedRwLockReadGuard<()>),
    Cleaning(#[expect(dead_code, reason = "it is held")] OwnedRwLockWriteGuard<()>),
}

#[async_trait]
impl Turns for InProcess {
    async fn begin_linking(&self) -> Result<Option<Box<dyn Turn>>> {
        Ok(Some(Box::new(Held::Linking(Arc::clone(&self.0).read_owned().await))))
    }

    async fn begin_cleaning(&self) -> Result<Box<dyn Turn>> {
        Ok(Box::new(Held::Cleaning(Arc::clone(&self.0).write_owned().await)))
    }
}

#[async_trait]
impl Turn for Held {
    async fn end(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}
