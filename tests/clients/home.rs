//! A home for a client: its settings, caches and credentials stand in a folder of the test.

use std::env;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use crate::clients::release::Release;
use crate::clients::target::Target;

/// The folders in which clients look for settings and leave things.
const FOLDERS: [(&str, &str); 12] = [
    ("HOME", ""),
    ("XDG_CONFIG_HOME", "config"),
    ("XDG_DATA_HOME", "data"),
    ("XDG_CACHE_HOME", "cache"),
    ("XDG_STATE_HOME", "state"),
    ("XDG_RUNTIME_DIR", "run"),
    ("TMPDIR", "tmp"),
    ("DOCKER_CONFIG", "docker"),
    ("REGISTRY_AUTH_FILE", "auth.json"),
    ("CONTAINERS_REGISTRIES_CONF", "registries.conf"),
    ("CONTAINERS_STORAGE_CONF", "storage.conf"),
    ("CONTAINERS_CONF", "containers.conf"),
];

/// What podman and buildah, run by root, remember of registries stands in /var, and no setting moves it: so they see another
/// folder there.
const PRIVATELY: &str = r#"
set -e
mkdir -p /var/lib/containers/cache
mount --bind "$XDG_CACHE_HOME" /var/lib/containers/cache
exec "$@"
"#;

/// The same with cgroup v2, without which podman 6 does nothing.
const WITH_CGROUP2: &str = "set -e\nmount -t cgroup2 none /sys/fs/cgroup\n";

/// A folder in which clients feel at home. Nothing of the machine's own settings is seen from it.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Self {
        let home = Self { folder: TempDir::new().expect("a temporary folder can be made") };
        for (_, name) in FOLDERS.iter().filter(|(_, name)| !name.contains('.')) {
            fs::create_dir_all(home.path().join(name)).expect("a folder can be made");
        }
        let everything = json!({ "default": [{ "type": "insecureAcceptAnything" }] });
        // Where containers/image looks without `--insecure-policy`.
        home.write("config/containers/policy.json", everything.to_string());
        home.write("auth.json", "{}");
        home.write("registries.conf", "");
        let path = home.path().display();
        home.write(
            "storage.conf",
            // This driver leaves no mount behind, and works in a container, too.
            format!("[storage]\ndriver = 'vfs'\ngraphroot = '{path}/storage'\nrunroot = '{path}/runroot'\n"),
        );
        home.write("containers.conf", containers(&home.path().join("run")));
        home
    }

    /// A home that knows who signed the certificate of a registry, where skopeo, podman and buildah look for it.
    pub(crate) fn trusting(target: &Target) -> Self {
        let home = Self::new();
        if let Some(authority) = target.authority() {
            // podman 6 holds to XDG_CONFIG_HOME.
            for folder in [".config", "config"] {
                let name = format!("{folder}/containers/certs.d/{}/ca.crt", target.address());
                home.write(&name, authority);
            }
        }
        home
    }

    /// Writes down who signed the certificate of a registry, if it has one; gives the file.
    pub(crate) fn authority(&self, target: &Target) -> Option<PathBuf> {
        target.authority().map(|authority| self.write("ca.pem", authority))
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Writes a file of that name; gives its path.
    pub(crate) fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path().join(name);
        let folder = path.parent().expect("the file stands in the home");
        fs::create_dir_all(folder).expect("a folder can be made");
        fs::write(&path, text).expect("a file can be written");
        path
    }

    /// A command that is at home here, and begins in this folder.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        for (name, _) in env::vars_os() {
            let upper = name.to_string_lossy().to_uppercase();
            let is_setting =
                ["DOCKER_", "CONTAINERS_", "BUILDAH_", "HELM_", "COSIGN_", "SIGSTORE_"];
            if upper.ends_with("_PROXY") || is_setting.iter().any(|it| upper.starts_with(it)) {
                command.env_remove(name);
            }
        }
        for (name, folder) in FOLDERS {
            command.env(name, self.path().join(folder));
        }
        command.current_dir(self.path());
        command
    }

    /// A command that sees this home where the machine keeps what it remembers of registries.
    pub(crate) fn private_command(&self, program: &Path) -> Command {
        self.privately(PRIVATELY, program)
    }

    /// A command of podman, of that release.
    pub(crate) fn podman_command(&self, release: Release, program: &Path) -> Command {
        if release == Release::Debian {
            return self.private_command(program);
        }
        // podman 6 looks for a program of networks before it does anything, and nothing here has a network.
        let network = self.write("helpers/netavark", "");
        fs::set_permissions(&network, Permissions::from_mode(0o755)).expect("the file is ours");
        let folder = self.path().join("helpers");
        let helpers =
            format!("[engine]\nhelper_binaries_dir = [{:?}]\n", folder.display().to_string());
        let mut command = self.privately(&format!("{WITH_CGROUP2}{PRIVATELY}"), program);
        command.env("CONTAINERS_CONF_OVERRIDE", self.write("helpers.conf", helpers));
        command
    }

    fn privately(&self, script: &str, program: &Path) -> Command {
        let mut command = self.command(Path::new("unshare"));
        command.args(["--mount", "sh", "-c", script, "sh"]).arg(program);
        command
    }
}

/// Settings of podman and buildah: nothing of theirs is the machine's.
fn containers(run: &Path) -> String {
    let run = run.display();
    format!(
        "[containers]
default_ulimits = ['nofile=1024:1024', 'nproc=1024:1024']
netns = 'none'
log_driver = 'k8s-file'
[engine]
cgroup_manager = 'cgroupfs'
events_logger = 'none'
lock_type = 'file'
runtime = 'runc'
tmp_dir = '{run}/libpod'
[network]
network_config_dir = '{run}/networks'
"
    )
}
