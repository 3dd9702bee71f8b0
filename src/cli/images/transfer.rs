//! What `push`, `pull` and `copy` have in common.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};

use super::advice::advised;
use super::daemon_address::daemon_address;
use super::lines::lines;
use super::location::Location;
use super::management;
use super::size::shown;
use super::watch::TransferBar;
use crate::cli::administration::print;
use crate::cli::connection::{Connection, ConnectionArguments};
use crate::cli::progress::Bar;
use crate::cli::runtime;
use crate::images::{
    ArchiveTarget, Daemon, DaemonTarget, ImageSource, ImageTarget, LayoutTarget, PlanOptions,
    Platform, RegistrySource, RegistryTarget, TransferOptions, TransferProgress, Transferred,
    again, open_archive, open_layout, transfer,
};
use crate::oci::{Reference, Tag};

/// How an image is transferred, and how the result is printed.
#[derive(Debug, Args)]
pub(super) struct TransferArguments {
    /// The image of that platform alone, such as linux/arm64; else all that an index lists
    #[arg(long, value_name = "OS/ARCH")]
    pub(super) platform: Option<Platform>,
    /// What refers to the image as well, such as signatures and SBOMs
    #[arg(long)]
    pub(super) referrers: bool,
    /// How many blobs are transferred at a time
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=64))]
    jobs: u8,
    /// Prints the digest alone
    #[arg(short, long, conflicts_with = "json")]
    quiet: bool,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

/// What a command transfers.
pub(super) struct Transfer<'a> {
    /// How the bar calls it: `pushing`.
    pub(super) doing: &'static str,
    /// How the result does: `pushed`.
    pub(super) done: &'static str,
    pub(super) from: &'a Location,
    pub(super) to: &'a Location,
    pub(super) arguments: &'a TransferArguments,
}

/// What was connected to.
struct Ends {
    from: Option<Connection>,
    to: Option<Connection>,
    daemon: Option<Daemon>,
}

impl Ends {
    fn all(&self) -> Vec<&Connection> {
        // A push fails at its target more often than at its source.
        self.to.iter().chain(&self.from).collect()
    }
}

/// What a Roadstead tells of what was pushed to it.
#[derive(Default)]
struct Found {
    /// The CID of the manifest.
    cid: Option<String>,
    /// The CID of the public root.
    root: Option<String>,
}

/// Transfers an image, and prints what came of it.
pub(super) fn run(command: &Transfer<'_>) -> anyhow::Result<ExitCode> {
    let Transfer { doing, arguments, .. } = command;
    let runtime = runtime()?;
    let bar = Bar::new(arguments.json || arguments.quiet);
    let advice = "run the same command again: it goes on with what is missing".to_owned();
    bar.end_on_signal(&runtime, None, advice)?;
    let bar = TransferBar::new(doing, bar);
    let (done, found) = runtime.block_on(command.carry_out(Arc::clone(&bar) as Arc<_>))?;
    drop(bar);
    print(&command.report(&done, &found))?;
    Ok(ExitCode::SUCCESS)
}

impl Transfer<'_> {
    async fn carry_out(
        &self,
        progress: Arc<dyn TransferProgress>,
    ) -> anyhow::Result<(Transferred, Found)> {
        let arguments = self.arguments;
        let ends = Ends {
            from: self.connect(self.from).await?,
            to: self.connect(self.to).await?,
            daemon: self.daemon().await?,
        };
        let source = self.source(&ends, &progress).await;
        let source = source.map_err(|error| advised(error, &ends.all()))?;
        let target = self.target(&ends, &progress);
        let plan = PlanOptions {
            platform: arguments.platform.clone().or_else(|| self.default_platform(&ends)),
            referrers: arguments.referrers,
        };
        let options = TransferOptions { plan, jobs: usize::from(arguments.jobs) };
        let done = transfer(&*source, &*target, &options, &progress).await;
        let done = done.map_err(|error| advised(error, &ends.all()))?;
        if arguments.quiet {
            return Ok((done, Found::default()));
        }
        let cid = self.cid(&ends, &done).await;
        // What has no CID is in no public root, or at no Roadstead.
        let root = if cid.is_some() { self.root(&ends).await } else { None };
        Ok((done, Found { cid, root }))
    }

    async fn connect(&self, location: &Location) -> anyhow::Result<Option<Connection>> {
        let Location::Registry(name) = location else { return Ok(None) };
        let arguments = &self.arguments.connection;
        arguments.connect(&name.host, Some(&name.repository)).await.map(Some)
    }

    async fn daemon(&self) -> anyhow::Result<Option<Daemon>> {
        let is_meant = [self.from, self.to].iter().any(|it| matches!(it, Location::Daemon(_)));
        if !is_meant {
            return Ok(None);
        }
        Ok(Some(Daemon::connect(&daemon_address()?).await?))
    }

    /// Returns the tag that the target is to have; of a registry, that of the source where none was typed.
    fn tag(&self) -> Option<Tag> {
        let of = |location: &Location| match location {
            Location::Registry(name) => name.known_tag(),
            Location::Layout(_, name) | Location::Archive(_, name) | Location::Daemon(name) => {
                let name = name.as_ref()?;
                name.rsplit_once(':').map_or(&**name, |(_, tag)| tag).parse().ok()
            }
        };
        match self.to {
            Location::Registry(name) if !name.is_bare() => name.known_tag(),
            Location::Registry(_) => of(self.from).or_else(|| of(self.to)),
            _ => of(self.to).or_else(|| of(self.from)),
        }
    }

    async fn source(
        &self,
        ends: &Ends,
        progress: &Arc<dyn TransferProgress>,
    ) -> crate::images::Result<Box<dyn ImageSource>> {
        let tag = self.tag();
        let tag = tag.as_ref().map(Tag::as_str);
        Ok(match (self.from, &ends.from) {
            (Location::Registry(name), Some(connection)) => {
                let repository = connection.repository(&name.repository);
                Box::new(RegistrySource::new(repository, name.reference()))
            }
            (Location::Layout(path, named), _) => {
                Box::new(open_layout(path, named.as_deref(), tag).await?)
            }
            (Location::Archive(path, named), _) => {
                open_archive(path.as_deref(), named.as_deref(), tag).await?
            }
            (Location::Daemon(name), _) => {
                let daemon = ends.daemon.as_ref().expect("it was connected to above");
                daemon.export(name.as_deref().unwrap_or_default(), tag, progress).await?
            }
            (Location::Registry(_), None) => unreachable!("it was connected to above"),
        })
    }

    fn target(&self, ends: &Ends, progress: &Arc<dyn TransferProgress>) -> Box<dyn ImageTarget> {
        match (self.to, &ends.to) {
            (Location::Registry(name), Some(connection)) => {
                let repository = connection.repository(&name.repository);
                let reference = match (&name.digest, self.tag()) {
                    (None, Some(tag)) => Reference::Tag(tag),
                    _ => name.reference(),
                };
                Box::new(RegistryTarget::new(repository, reference))
            }
            (Location::Layout(path, named), _) => {
                let name = named.clone().or_else(|| self.tag().map(|tag| tag.to_string()));
                Box::new(LayoutTarget::new(path, name))
            }
            (Location::Archive(path, named), _) => {
                let name = named.clone().or_else(|| self.whole_name());
                let path = path.as_deref().unwrap_or(std::path::Path::new("-"));
                Box::new(ArchiveTarget::new(path, name, self.tag().map(|tag| tag.to_string())))
            }
            (Location::Daemon(named), _) => {
                let daemon = ends.daemon.as_ref().expect("it was connected to above");
                let name = named.as_deref().map(with_tag).or_else(|| self.whole_name());
                let tag = self.tag().map(|tag| tag.to_string());
                Box::new(DaemonTarget::new(daemon, name, tag, progress))
            }
            (Location::Registry(_), None) => unreachable!("it was connected to above"),
        }
    }

    /// Returns the name of the source with its tag, if it has one.
    fn whole_name(&self) -> Option<String> {
        let Location::Registry(name) = self.from else { return None };
        Some(format!("{}:{}", name.repository_name(), name.known_tag()?))
    }

    /// Returns the platform where there can be one alone.
    fn default_platform(&self, ends: &Ends) -> Option<Platform> {
        match (self.to, &ends.daemon) {
            (Location::Archive(..), _) => Some(Platform::of_this_machine()),
            (Location::Daemon(_), Some(daemon)) => Some(daemon.platform().clone()),
            _ => None,
        }
    }

    /// Returns the CID of the manifest, if the registry tells it. The transfer is done whether it does or not.
    async fn cid(&self, ends: &Ends, done: &Transferred) -> Option<String> {
        let ((_, Location::Registry(name), _, Some(connection))
        | (Location::Registry(name), _, Some(connection), _)) =
            (self.from, self.to, &ends.from, &ends.to)
        else {
            return None;
        };
        let repository = connection.repository(&name.repository);
        let reference = Reference::Digest(done.plan.root.descriptor.digest);
        // Who may push may not pull everywhere.
        let found = again(|| repository.manifest(&reference)).await.ok()?;
        found.ipfs_path.as_deref().map(cid_of)
    }

    /// Returns the public root of the registry that was pushed to, if it tells it. It may wait for that: the root has what
    /// was pushed before.
    async fn root(&self, ends: &Ends) -> Option<String> {
        management::root(ends.to.as_ref()?).await
    }

    fn report(&self, done: &Transferred, found: &Found) -> String {
        let digest = done.plan.root.descriptor.digest.to_string();
        if self.arguments.quiet {
            return digest + "\n";
        }
        let to = match self.to {
            Location::Registry(name) if name.is_bare() => match self.tag() {
                Some(tag) => format!("{}:{tag}", name.repository_name()),
                None => name.to_string(),
            },
            to => to.to_string(),
        };
        if self.arguments.json {
            return self.json(done, &to, &digest, found).to_string() + "\n";
        }
        let Transferred { sent, mounted, present, bytes, .. } = done;
        let sent = format!("{sent} blobs of {} sent", shown(*bytes));
        let mut all = vec![
            format!("{} {} to {to}", self.done, self.from),
            format!("{sent}, {mounted} mounted, {present} there already"),
        ];
        let foreign = done.plan.foreign.len();
        if foreign > 0 {
            all.push(format!("{foreign} layers left out: registries do not distribute them"));
        }
        all.push(format!("digest: {digest}"));
        let Found { cid, root } = found;
        all.extend(cid.iter().map(|cid| format!("cid: {cid}")));
        all.extend(root.iter().map(|root| format!("root: {root}")));
        lines(all.iter().map(String::as_str))
    }

    fn json(&self, done: &Transferred, to: &str, digest: &str, found: &Found) -> Value {
        let Transferred { plan, sent, mounted, present, bytes } = done;
        json!({
            "from": self.from.to_string(),
            "to": to,
            "digest": digest,
            "mediaType": plan.root.descriptor.media_type,
            "size": plan.size(),
            "cid": found.cid,
            "root": found.root,
            "manifests": plan.manifests.len() + 1,
            "blobs": {
                "sent": sent,
                "mounted": mounted,
                "present": present,
                "leftOut": plan.foreign.len(),
                "bytesSent": bytes,
            },
        })
    }
}

/// Returns a name with its tag: `latest` where it has none.
fn with_tag(name: &str) -> String {
    let has_tag = name.rsplit('/').next().is_some_and(|last| last.contains(':'));
    if has_tag { name.to_owned() } else { format!("{name}:latest") }
}

/// Returns the CID of a path such as `/ipfs/bafk…`.
pub(super) fn cid_of(path: &str) -> String {
    let path = path.strip_prefix("/ipfs/").unwrap_or(path);
    path.split('/').next().unwrap_or_default().to_owned()
}
