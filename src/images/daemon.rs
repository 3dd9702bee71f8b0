//! The docker daemon, as a source and as a target. Its export is an archive, and so is what it loads; each is on the disk
//! whole, in a file without a name, before anything is sent on.

use std::error::Error;
use std::fs::File;
use std::future::Future;
use std::io::{self, ErrorKind};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bollard::errors::Error as DaemonError;
use bollard::query_parameters::ImportImageOptions;
use bollard::{API_DEFAULT_VERSION, Docker};
use bytes::Bytes;
use futures_util::{Stream, TryStreamExt};
use tokio::io::{AsyncSeekExt, AsyncWriteExt};

use super::archive_writer::{ArchiveTarget, unnamed_failed};
use super::docker_archive::opened;
use super::error::{ImageError, Result, blocking};
use super::part_file::unnamed;
use super::plan::{Plan, PlannedManifest};
use super::platform::Platform;
use super::progress::TransferProgress;
use super::source::ImageSource;
use super::target::{ImageTarget, Stored};
use crate::client::{Content, Repository};
use crate::oci::Descriptor;

/// How long the daemon may take to say who it is, and what it knows of an image.
const ANSWER: Duration = Duration::from_secs(20);

/// How long nothing may move while it exports or loads an image: before the first byte, and after the last, it unpacks.
const IDLE: Duration = Duration::from_mins(30);

/// How often that is looked at.
const LOOK: Duration = Duration::from_secs(5);

/// The limit of the crate, which is for a whole request. Ours are above.
const WHOLE: Duration = Duration::from_hours(24 * 7);

/// A docker daemon, or podman's service in its place.
#[derive(Clone)]
pub(crate) struct Daemon {
    docker: Docker,
    address: String,
    platform: Platform,
}

impl Daemon {
    /// Connects to the daemon at an address: `unix:///var/run/docker.sock`, `tcp://127.0.0.1:2375`.
    ///
    /// # Errors
    /// [`ImageError::Daemon`] if it does not answer, which says what to do.
    pub(crate) async fn connect(address: &str) -> Result<Self> {
        let opened = if let Some(path) = address.strip_prefix("unix://") {
            Docker::connect_with_unix(path, WHOLE.as_secs(), API_DEFAULT_VERSION)
        } else if address.starts_with("tcp://") || address.starts_with("http://") {
            Docker::connect_with_http(address, WHOLE.as_secs(), API_DEFAULT_VERSION)
        } else {
            let text = format!(
                "cannot reach docker at {address}: only unix:// and tcp:// are known; \
                 use `docker save` and `roadstead push -`, or an archive and `docker load`"
            );
            return Err(ImageError::Daemon(text));
        };
        let docker = opened.map_err(|error| unreachable(address, &error))?;
        let version = tokio::time::timeout(ANSWER, docker.version()).await;
        let version =
            version.map_err(|_| silent(address))?.map_err(|error| unreachable(address, &error))?;
        let this = Platform::of_this_machine();
        let known = |text: Option<String>| text.filter(|text| !text.is_empty());
        let platform = Platform {
            os: known(version.os).unwrap_or(this.os),
            architecture: known(version.arch).unwrap_or(this.architecture),
            variant: String::new(),
        };
        Ok(Self { docker, address: address.to_owned(), platform })
    }

    /// Returns the platform of the images that it runs.
    pub(crate) fn platform(&self) -> &Platform {
        &self.platform
    }

    /// Has it export an image, by a name or an id that it knows. `tag` is the tag that the image is to have.
    ///
    /// # Errors
    /// [`ImageError::Daemon`] if it has no such image, or fails; those of the archive.
    pub(crate) async fn export(
        &self,
        image: &str,
        tag: Option<&str>,
        progress: &Arc<dyn TransferProgress>,
    ) -> Result<Box<dyn ImageSource>> {
        let found = tokio::time::timeout(ANSWER, self.docker.inspect_image(image)).await;
        let found = found.map_err(|_| silent(&self.address))?.map_err(|error| match error {
            DaemonError::DockerResponseServerError { status_code: 404, .. } => {
                let text = format!(
                    "cannot find image {image} in docker: build or pull it first; `docker images` lists what is there"
                );
                ImageError::Daemon(text)
            }
            error => self.failed(&format!("cannot find image {image}"), &error),
        })?;
        progress.begin(found.size.and_then(|size| u64::try_from(size).ok()).unwrap_or_default());
        let id = found.id.unwrap_or_default();
        let hex = id.rsplit(':').next().unwrap_or_default();
        // Docker exports all tags of a name without one.
        let is_id = !image.is_empty() && (id.starts_with(image) || hex.starts_with(image));
        let has_tag = image.rsplit('/').next().is_some_and(|last| last.contains([':', '@']));
        let name = if is_id || has_tag { image.to_owned() } else { format!("{image}:latest") };
        let activity = Activity::begin();
        let export = self.docker.export_images(&[&name]);
        let file = activity.watch(&self.address, self.spool(&name, export, &activity, progress));
        let file = file.await?;
        let (name, tag) = (format!("{name} of docker"), tag.map(str::to_owned));
        blocking(move || opened(name, file, None, tag.as_deref())).await
    }

    /// Writes an export into a file without a name.
    async fn spool(
        &self,
        name: &str,
        export: impl Stream<Item = std::result::Result<Bytes, DaemonError>>,
        activity: &Activity,
        progress: &Arc<dyn TransferProgress>,
    ) -> Result<File> {
        let file = blocking(|| unnamed().map_err(unnamed_failed())).await?;
        let mut file = tokio::fs::File::from_std(file);
        let mut export = pin!(export);
        loop {
            let piece = export.try_next().await;
            let piece =
                piece.map_err(|error| self.failed(&format!("cannot export {name}"), &error))?;
            let Some(piece) = piece else { break };
            activity.note();
            file.write_all(&piece).await.map_err(unnamed_failed())?;
            progress.advance(piece.len() as u64);
        }
        file.flush().await.map_err(unnamed_failed())?;
        file.rewind().await.map_err(unnamed_failed())?;
        Ok(file.into_std().await)
    }

    /// Has it load an archive.
    async fn load(&self, file: Arc<File>, progress: &Arc<dyn TransferProgress>) -> Result<()> {
        let length = file.metadata().map_err(unnamed_failed())?.len();
        progress.begin(length);
        let activity = Activity::begin();
        let (noted, progress) = (activity.clone(), Arc::clone(progress));
        let content = Content::of_file(file, 0..length).observed(move |_, piece| {
            noted.note();
            progress.advance(piece.len() as u64);
        });
        let options = ImportImageOptions { quiet: true, platform: None };
        let mut answers =
            pin!(self.docker.import_image_stream(options, content.read_from(0), None));
        let load = async {
            while let Some(_line) = answers
                .try_next()
                .await
                .map_err(|error| self.failed("cannot load the image", &error))?
            {
                activity.note();
            }
            Ok(())
        };
        activity.watch(&self.address, load).await
    }

    fn failed(&self, what: &str, error: &DaemonError) -> ImageError {
        match error {
            DaemonError::DockerResponseServerError { message, .. } => {
                ImageError::Daemon(format!("{what}: docker answers: {message}"))
            }
            DaemonError::DockerStreamError { error } => {
                ImageError::Daemon(format!("{what}: docker answers: {error}"))
            }
            error => {
                let (address, cause) = (&self.address, cause(error));
                let text = format!("{what}: the connection to docker at {address} failed: {cause}");
                ImageError::Daemon(text)
            }
        }
    }
}

/// When something moved last.
#[derive(Clone)]
struct Activity(Arc<Mutex<Instant>>);

impl Activity {
    fn begin() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    fn note(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Ends work in which nothing moves any more.
    async fn watch<T>(&self, address: &str, work: impl Future<Output = Result<T>>) -> Result<T> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                () = tokio::time::sleep(LOOK) => {
                    let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
                    if last.elapsed() > IDLE {
                        let minutes = IDLE.as_secs() / 60;
                        let text = format!("docker at {address} has not moved for {minutes} minutes");
                        return Err(ImageError::Daemon(text));
                    }
                }
            }
        }
    }
}

fn silent(address: &str) -> ImageError {
    let text = format!(
        "cannot reach docker at {address}: it does not answer for {} s; restart it",
        ANSWER.as_secs()
    );
    ImageError::Daemon(text)
}

/// Makes an error of a daemon that cannot be connected to.
fn unreachable(address: &str, error: &DaemonError) -> ImageError {
    let kind = match error {
        DaemonError::SocketNotFoundError(_) => Some(ErrorKind::NotFound),
        error => io_cause(error).map(io::Error::kind),
    };
    let why = match kind {
        Some(ErrorKind::NotFound | ErrorKind::ConnectionRefused) => {
            "no daemon runs there; start docker, or set DOCKER_HOST to where it is; \
             layouts (oci:DIR) and archives (docker-archive:FILE) need none"
                .to_owned()
        }
        Some(ErrorKind::PermissionDenied) => {
            "you may not use its socket; join the group docker, or use sudo".to_owned()
        }
        _ => match error {
            DaemonError::DockerResponseServerError { status_code, message } => {
                format!("it answers {status_code}: {}", message.trim())
            }
            error => cause(error),
        },
    };
    ImageError::Daemon(format!("cannot reach docker at {address}: {why}"))
}

/// Returns the failure of the system behind an error.
fn io_cause(error: &DaemonError) -> Option<&io::Error> {
    let mut next: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error);
        }
        next = error.source();
    }
    None
}

/// Returns the innermost cause as a text.
fn cause(error: &DaemonError) -> String {
    let mut error: &dyn Error = error;
    while let Some(source) = error.source() {
        error = source;
    }
    error.to_string()
}

/// An image that a docker daemon loads, once all of it is there and sound.
pub(crate) struct DaemonTarget {
    daemon: Daemon,
    archive: ArchiveTarget,
    progress: Arc<dyn TransferProgress>,
}

impl DaemonTarget {
    /// Takes the whole name that the image is to have, `registry.example/team/app:v1`, and the tag of that.
    pub(crate) fn new(
        daemon: &Daemon,
        name: Option<String>,
        tag: Option<String>,
        progress: &Arc<dyn TransferProgress>,
    ) -> Self {
        let archive = ArchiveTarget::unnamed(name, tag);
        Self { daemon: daemon.clone(), archive, progress: Arc::clone(progress) }
    }
}

#[async_trait]
impl ImageTarget for DaemonTarget {
    async fn begin(&self, plan: &Plan) -> Result<()> {
        self.archive.begin(plan).await
    }

    fn hashes(&self) -> bool {
        self.archive.hashes()
    }

    async fn has(&self, blob: &Descriptor) -> Result<bool> {
        self.archive.has(blob).await
    }

    async fn put_blob(
        &self,
        blob: &Descriptor,
        content: &Content,
        from: Option<&Repository>,
    ) -> Result<Stored> {
        self.archive.put_blob(blob, content, from).await
    }

    async fn put_manifest(&self, manifest: &PlannedManifest) -> Result<()> {
        self.archive.put_manifest(manifest).await
    }

    async fn finish(&self, _plan: &Plan) -> Result<()> {
        let Some(file) = self.archive.take_file() else {
            return Err(ImageError::Daemon("cannot load the image: it was not begun".to_owned()));
        };
        self.daemon.load(file, &self.progress).await
    }
}
