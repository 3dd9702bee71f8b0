//! Clients as the tests of accounts need them: each signs in, pushes the same image each time, pulls, and signs out.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::clients::docker::Docker;
use crate::clients::home::Home;
use crate::clients::image::Image;
use crate::clients::layout::Layout;
use crate::clients::target::Target;
use crate::common::{Finished, require, require_root, run, succeed};

/// How many bytes the layer has.
const LAYER: usize = 100_000;

/// A client in a home of its own.
pub(super) trait Client {
    /// Signs in; none where the client sends a password with each command.
    fn login(&self, user: &str, password: &str) -> Option<Command>;

    /// Pushes the same image each time.
    fn push(&self, reference: &str) -> Finished;

    fn pull(&self, reference: &str) -> Finished;

    /// Signs out; none where it cannot.
    fn logout(&self) -> Option<Command>;

    /// Whether it learns that a password is wrong when it signs in.
    fn is_checking(&self) -> bool {
        true
    }
}

/// The clients that push an image out of a folder.
pub(super) struct ByFolder {
    home: Home,
    program: PathBuf,
    target: Target,
    layout: Layout,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Skopeo,
    Crane,
    Regctl,
}

impl ByFolder {
    pub(super) fn find(kind: Kind, target: &Target) -> Option<Self> {
        let name = match kind {
            Kind::Skopeo => "skopeo",
            Kind::Crane => "crane",
            Kind::Regctl => "regctl",
        };
        let (home, program) = (Home::trusting(target), require(name)?);
        let layout = Image::write_one_layer(LAYER);
        let client = Self { home, program, target: target.clone(), layout, kind };
        if kind == Kind::Regctl {
            let authority = target.authority().expect("it encrypts");
            let mut set = client.command(&["registry", "set", "--skip-check", "--cacert"]);
            succeed(set.args([authority, target.address()]));
        }
        Some(client)
    }

    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(&self.program);
        match self.kind {
            // Else what root's skopeo remembers would stand in /var.
            Kind::Skopeo => command.env("_CONTAINERS_ROOTLESS_UID", "1").arg("--insecure-policy"),
            Kind::Crane => command
                .env("SSL_CERT_FILE", self.home.authority(&self.target).expect("it encrypts")),
            Kind::Regctl => command.env("REGCTL_CONFIG", self.home.path().join("regctl.json")),
        };
        command.args(words);
        command
    }
}

impl Client for ByFolder {
    fn login(&self, user: &str, password: &str) -> Option<Command> {
        let words: &[&str] = match self.kind {
            Kind::Skopeo => &["login", "--username", user, "--password", password],
            Kind::Crane => &["auth", "login", "--username", user, "--password", password],
            Kind::Regctl => &["registry", "login", "--user", user, "--pass", password],
        };
        let mut command = self.command(words);
        command.arg(self.target.address());
        Some(command)
    }

    fn push(&self, reference: &str) -> Finished {
        let folder = self.layout.path().display().to_string();
        let (oci, docker) = (self.layout.transport(), format!("docker://{reference}"));
        let regctl = format!("ocidir://{folder}@{}", self.layout.contents().manifest);
        run(&mut match self.kind {
            Kind::Skopeo => self.command(&["copy", "--preserve-digests", &oci, &docker]),
            Kind::Crane => self.command(&["push", &folder, reference]),
            Kind::Regctl => self.command(&["image", "copy", &regctl, reference]),
        })
    }

    fn pull(&self, reference: &str) -> Finished {
        let folder = self.home.path().join("pulled");
        let _ = fs::remove_dir_all(&folder);
        let folder = folder.display().to_string();
        let (to, from) = (format!("dir:{folder}"), format!("docker://{reference}"));
        let regctl = format!("ocidir://{folder}:v1");
        run(&mut match self.kind {
            Kind::Skopeo => self.command(&["copy", &from, &to]),
            Kind::Crane => self.command(&["pull", "--format=oci", reference, &folder]),
            Kind::Regctl => self.command(&["image", "copy", reference, &regctl]),
        })
    }

    fn logout(&self) -> Option<Command> {
        let words: &[&str] = match self.kind {
            Kind::Skopeo => &["logout"],
            Kind::Crane => &["auth", "logout"],
            Kind::Regctl => &["registry", "logout"],
        };
        let mut command = self.command(words);
        command.arg(self.target.address());
        Some(command)
    }

    fn is_checking(&self) -> bool {
        self.kind != Kind::Crane
    }
}

/// docker, with the daemon that the tests share.
pub(super) struct ByDaemon {
    docker: Docker,
    local: String,
}

impl ByDaemon {
    pub(super) fn find(target: &Target) -> Option<Self> {
        let docker = Docker::of_stranger(target)?;
        let busybox = require("busybox")?;
        let local = docker.reference("local/image:v1");
        docker.build(&Image::of_its_own(&busybox), &local);
        Some(Self { docker, local })
    }

    /// The name of a reference by the host that docker knows.
    fn name(&self, reference: &str) -> String {
        let (_, name) = reference.split_once('/').expect("it has a host");
        self.docker.reference(name)
    }
}

impl Client for ByDaemon {
    fn login(&self, user: &str, password: &str) -> Option<Command> {
        let mut command = self.docker.command("login");
        command.args(["--username", user, "--password", password, self.docker.address()]);
        Some(command)
    }

    fn push(&self, reference: &str) -> Finished {
        let name = self.name(reference);
        succeed(self.docker.command("tag").args([&self.local, &name]));
        run(self.docker.command("push").arg(&name))
    }

    fn pull(&self, reference: &str) -> Finished {
        run(self.docker.command("pull").arg(self.name(reference)))
    }

    fn logout(&self) -> Option<Command> {
        let mut command = self.docker.command("logout");
        command.arg(self.docker.address());
        Some(command)
    }
}

/// podman and buildah, with stores of their own.
pub(super) struct ByStore {
    /// What has it pull what it has already.
    always: &'static [&'static str],
    home: Home,
    program: PathBuf,
    address: String,
    local: String,
}

impl ByStore {
    pub(super) fn podman(target: &Target) -> Option<Self> {
        let client = Self::of(require("podman")?, target, &[])?;
        require("runc")?;
        let layer = client.write_layer();
        succeed(client.command("import").arg("--quiet").arg(&layer).arg(&client.local));
        Some(client)
    }

    pub(super) fn buildah(target: &Target) -> Option<Self> {
        let client = Self::of(require("buildah")?, target, &["--policy=always"])?;
        let layer = client.write_layer();
        client.home.write("image/Dockerfile", "FROM scratch\nADD layer.tar /\n");
        let folder = client.home.path().join("image");
        fs::copy(layer, folder.join("layer.tar")).expect("the folder is ours");
        let mut build = client.command("bud");
        build.args(["--isolation=chroot", "--quiet", "--tag", &client.local]);
        succeed(build.arg(folder));
        Some(client)
    }

    fn of(program: PathBuf, target: &Target, always: &'static [&'static str]) -> Option<Self> {
        require_root()?;
        let (home, address) = (Home::trusting(target), target.address().to_owned());
        let local = "localhost/note:v1".to_owned();
        Some(Self { always, home, program, address, local })
    }

    fn write_layer(&self) -> PathBuf {
        self.home.write("layer/note", format!("of {}", self.home.path().display()));
        let layer = self.home.path().join("layer.tar");
        let mut tar = Command::new("tar");
        tar.arg("--create").arg("--file").arg(&layer);
        succeed(tar.arg("--directory").arg(self.home.path().join("layer")).arg("."));
        layer
    }

    fn command(&self, subcommand: &str) -> Command {
        let mut command = self.home.private_command(&self.program);
        command.arg(subcommand);
        command
    }
}

impl Client for ByStore {
    fn login(&self, user: &str, password: &str) -> Option<Command> {
        let mut command = self.command("login");
        command.args(["--username", user, "--password", password, &self.address]);
        Some(command)
    }

    fn push(&self, reference: &str) -> Finished {
        run(self.command("push").args([&self.local, &format!("docker://{reference}")]))
    }

    fn pull(&self, reference: &str) -> Finished {
        run(self.command("pull").args(self.always).arg(format!("docker://{reference}")))
    }

    fn logout(&self) -> Option<Command> {
        let mut command = self.command("logout");
        command.arg(&self.address);
        Some(command)
    }
}

/// helm, which pushes charts.
pub(super) struct Helm {
    home: Home,
    program: PathBuf,
    target: Target,
}

impl Helm {
    pub(super) fn find(target: &Target) -> Option<Self> {
        let client = Self { home: Home::new(), program: require("helm")?, target: target.clone() };
        client.home.write("app/Chart.yaml", "apiVersion: v2\nname: app\nversion: 1.0.0\n");
        succeed(client.home.command(&client.program).args(["package", "app"]));
        Some(client)
    }

    fn remote(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(&self.program);
        let authority = self.home.authority(&self.target).expect("it encrypts");
        command.args(words).arg("--ca-file").arg(authority);
        command
    }
}

impl Client for Helm {
    fn login(&self, user: &str, password: &str) -> Option<Command> {
        let words = ["registry", "login", "--username", user, "--password", password];
        let mut command = self.remote(&words);
        command.arg(self.target.address());
        Some(command)
    }

    /// Its references end with the chart's own name and version.
    fn push(&self, reference: &str) -> Finished {
        let repository = reference.trim_end_matches("/app:v1");
        run(&mut self.remote(&["push", "app-1.0.0.tgz", &format!("oci://{repository}")]))
    }

    fn pull(&self, reference: &str) -> Finished {
        let chart = format!("oci://{}", reference.trim_end_matches(":v1"));
        let words = ["pull", &chart, "--version=1.0.0", "--destination=pulled"];
        let _ = fs::create_dir(self.home.path().join("pulled"));
        run(&mut self.remote(&words))
    }

    fn logout(&self) -> Option<Command> {
        let mut command = self.home.command(&self.program);
        command.args(["registry", "logout", self.target.address()]);
        Some(command)
    }
}
