//! The driver without a registry around it: what tests do by the thousand goes faster that way.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use async_trait::async_trait;
use roadstead::config::{Settings, Sources};
use roadstead::storage::{DRIVERS, Lease, Locks, Result, Storage, StorageContext};
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::common::KuboNode;

/// Opens a registry's storage in that folder of the node's MFS, with leases of its own.
pub(crate) async fn open(node: &KuboNode, mfs_root: &str) -> Arc<dyn Storage> {
    open_with(node, mfs_root, Arc::default()).await
}

/// The same with leases of which the test knows.
pub(crate) async fn open_with(
    node: &KuboNode,
    mfs_root: &str,
    locks: Arc<InProcess>,
) -> Arc<dyn Storage> {
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
    let context =
        StorageContext { data: Path::new("/nonexistent"), settings: &settings.storage, locks };
    let storage = (driver.open)(context).await.unwrap();
    storage.repair().await.unwrap();
    storage
}

/// Locks among the tasks of this process.
#[derive(Default)]
pub(crate) struct InProcess {
    lock: Arc<RwLock<()>>,
    /// Whether a cleaning was cut short, and none was ended since.
    pub(crate) is_cut: Arc<AtomicBool>,
    /// How many cleanings were begun.
    pub(crate) cleanings: AtomicUsize,
}

struct Linking(#[expect(dead_code, reason = "it is held")] OwnedRwLockReadGuard<()>);

struct Cleaning {
    is_cut: Arc<AtomicBool>,
    _lock: OwnedRwLockWriteGuard<()>,
}

#[async_trait]
impl Locks for InProcess {
    async fn begin_linking(&self) -> Result<Option<Box<dyn Lease>>> {
        let lease = Linking(Arc::clone(&self.lock).read_owned().await);
        Ok((!self.is_cut.load(Ordering::Relaxed)).then(|| Box::new(lease) as Box<dyn Lease>))
    }

    async fn begin_cleaning(&self) -> Result<Box<dyn Lease>> {
        self.cleanings.fetch_add(1, Ordering::Relaxed);
        let lock = Arc::clone(&self.lock).write_owned().await;
        Ok(Box::new(Cleaning { is_cut: Arc::clone(&self.is_cut), _lock: lock }))
    }
}

#[async_trait]
impl Lease for Linking {
    async fn end(self: Box<Self>) -> Result<()> {
        Ok(())
    }
}

#[async_trait]
impl Lease for Cleaning {
    async fn end(self: Box<Self>) -> Result<()> {
        self.is_cut.store(false, Ordering::Relaxed);
        Ok(())
    }
}
