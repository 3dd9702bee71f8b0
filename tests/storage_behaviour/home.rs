//! What one case has: a folder of the machine, and one on the node.

use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use libtest_mimic::Failed;
use roadstead::config::{Settings, Sources};
use roadstead::storage::{Driver, Lease, Locks, Result, Storage, StorageContext};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

use crate::faults::{FaultInjecting, Faults};

/// The node, as `scripts/test` names it.
const NODE: [(&str, &str); 2] = [
    ("TEST_KUBO_API", "ROADSTEAD_STORAGE__KUBO__API"),
    ("TEST_KUBO_GATEWAY", "ROADSTEAD_STORAGE__KUBO__GATEWAY"),
];

/// A storage under test.
pub(crate) struct Subject {
    pub(crate) storage: Arc<dyn Storage>,
    /// Which of its calls fail, where they can.
    pub(crate) faults: Option<Arc<Faults>>,
    driver: &'static Driver,
    folder: TempDir,
    settings: Settings,
    locks: Arc<Shared>,
}

/// Tells whether cases can run on that driver.
pub(crate) fn is_configured(driver: &Driver) -> bool {
    driver.is_in_data_folder || NODE.iter().all(|(name, _)| env::var_os(name).is_some())
}

impl Subject {
    /// Opens a storage of that driver, inside one whose calls fail when a test says so if `is_faulty`.
    pub(crate) fn new(
        driver: &'static Driver,
        is_faulty: bool,
    ) -> std::result::Result<Self, Failed> {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mfs_root = format!("/test/storage-{}-{number}", std::process::id());
        let mut environment = vec![("ROADSTEAD_STORAGE__KUBO__MFS_ROOT".into(), mfs_root.into())];
        for (name, setting) in NODE.iter().filter(|_| !driver.is_in_data_folder) {
            let value = env::var_os(name).ok_or_else(|| format!("{name} is not set"))?;
            environment.push((setting.into(), value));
        }
        let settings = Settings::load(&Sources { environment, ..Sources::default() })?;
        let (folder, locks) = (TempDir::new()?, Arc::default());
        let faults = is_faulty.then(Arc::default);
        let storage = with_faults(open(driver, &folder, &settings, &locks), faults.as_ref());
        Ok(Self { storage, faults, driver, folder, settings, locks })
    }

    /// Opens the storage anew, as the next process does.
    pub(crate) fn reopen(&mut self) {
        let storage = open(self.driver, &self.folder, &self.settings, &self.locks);
        self.storage = with_faults(storage, self.faults.as_ref());
    }

    /// Tells whether the trees are files of the machine, each with an identity of its own.
    pub(crate) fn is_made_of_files(&self) -> bool {
        self.driver.is_in_data_folder
    }
}

fn with_faults(inner: Arc<dyn Storage>, faults: Option<&Arc<Faults>>) -> Arc<dyn Storage> {
    match faults {
        Some(faults) => Arc::new(FaultInjecting { inner, faults: Arc::clone(faults) }),
        None => inner,
    }
}

fn open(
    driver: &'static Driver,
    folder: &TempDir,
    settings: &Settings,
    locks: &Arc<Shared>,
) -> Arc<dyn Storage> {
    let locks: Arc<dyn Locks> = Arc::<Shared>::clone(locks);
    std::thread::scope(|scope| {
        // Cases open it again from within their runtime.
        let opening = scope.spawn(|| {
            let context =
                StorageContext { data: folder.path(), settings: &settings.storage, locks };
            Runtime::new().unwrap().block_on((driver.open)(context)).unwrap()
        });
        opening.join().unwrap()
    })
}

/// Locks among the tasks of this process.
#[derive(Default)]
struct Shared(Arc<RwLock<()>>);

struct Linking(#[expect(dead_code, reason = "it is held")] OwnedRwLockReadGuard<()>);
struct Cleaning(#[expect(dead_code, reason = "it is held")] OwnedRwLockWriteGuard<()>);

#[async_trait]
impl Locks for Shared {
    async fn begin_linking(&self) -> Result<Option<Box<dyn Lease>>> {
        Ok(Some(Box::new(Linking(Arc::clone(&self.0).read_owned().await))))
    }

    async fn begin_cleaning(&self) -> Result<Box<dyn Lease>> {
        Ok(Box::new(Cleaning(Arc::clone(&self.0).write_owned().await)))
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
        Ok(())
    }
}
