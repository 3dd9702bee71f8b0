//! Pushes by real clients through a network that fails: every push ends well, or with an error after which the same
//! push succeeds, and what was pushed comes back byte for byte.
//!
//! `CHAOS_PUSHES` says how many pushes (`scripts/soak`), `TEST_SEED` which faults.

pub(crate) mod proxy;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::proxy::Proxy;
use crate::clients::containerd::Containerd;
use crate::clients::docker::Docker;
use crate::clients::home::Home;
use crate::clients::layout::{Layout, Parts};
use crate::clients::podman::Podman;
use crate::clients::regctl::Regctl;
use crate::clients::release::Release;
use crate::clients::skopeo::Skopeo;
use crate::clients::target::Target;
use crate::common::content::sha256;
use crate::common::dice::Dice;
use crate::common::process::{Finished, run_within};
use crate::common::{Server, http, succeed};

/// How many pushes there are where nobody says how many.
const PUSHES: usize = 50;

/// How often a push is tried again with faults; once more it is tried without.
const TRIES: usize = 4;

/// How long one push may take: docker waits before it tries again, five seconds longer each time.
const LIMIT: Duration = Duration::from_mins(5);

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// An image that was pushed: where, and the digests of all that it consists of, if that is known before.
struct Pushed {
    repository: String,
    blobs: Option<Vec<String>>,
    id: Option<String>,
}

/// A client that pushes images of its own.
trait Client: Send {
    fn name(&self) -> &'static str;

    /// Makes a new image, and a command that pushes it to that repository of the proxy.
    fn prepare(&mut self, repository: &str, dice: &mut Dice) -> (Pushed, Command);
}

/// What the pushes of a client came to.
#[derive(Debug, Default)]
struct Tally {
    pushes: usize,
    at_once: usize,
    again: usize,
    in_peace: usize,
}

#[test]
fn pushes_through_a_network_that_fails_end_well() {
    let count = env::var("CHAOS_PUSHES").map_or(PUSHES, |count| count.parse().expect("a number"));
    let mut dice = Dice::cast();
    let mut server = Server::start_with(|command| {
        command.env("ROADSTEAD_SERVER__SHUTDOWN_GRACE", "2s");
    });
    let registry = Arc::new(Mutex::new(server.address().to_owned()));
    let proxies: Vec<Proxy> = (0..6).map(|_| Proxy::start(&registry, dice.branch())).collect();
    let Some(clients) = clients(&proxies) else { return };
    let done = AtomicUsize::new(0);
    let pushed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        let tasks: Vec<_> = clients
            .into_iter()
            .zip(&proxies)
            .map(|((mut client, share), proxy)| {
                let mut dice = dice.branch();
                let (done, pushed) = (&done, &pushed);
                let own = (count * share).div_ceil(SHARES);
                scope.spawn(move || {
                    let name = client.name();
                    let mut tally = Tally::default();
                    for number in 0..own {
                        let repository = format!("{name}/image{number}");
                        let one = push(&mut *client, proxy, &repository, &mut dice, &mut tally);
                        lock(pushed).push(one);
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                    eprintln!("{name}: {tally:?}, {:?}", proxy.met());
                })
            })
            .collect();
        // A stop in the middle, and a kill.
        for part in 1..=2 {
            while done.load(Ordering::SeqCst) < count * part / 3
                && !tasks.iter().all(thread::ScopedJoinHandle::is_finished)
            {
                thread::sleep(Duration::from_millis(20));
            }
            if part == 1 {
                assert!(server.stop().success(), "{}", server.log());
            } else {
                server.kill();
            }
            server.start_again();
            server.address().clone_into(&mut lock(&registry));
        }
    });
    for one in &*lock(&pushed) {
        check(&server, one);
    }
    // It reads all that the pushes left, which takes minutes for 500 of them over Kubo.
    let checked = run_within(6 * LIMIT, &mut server.command(["check"]));
    assert!(checked.succeeded(), "{checked:?}");
    eprintln!("{} pushes came back byte for byte", lock(&pushed).len());
}

/// How the pushes are shared: docker takes longest.
const SHARES: usize = 16;

fn clients(proxies: &[Proxy]) -> Option<Vec<(Box<dyn Client>, usize)>> {
    let [first, second, third, fourth, fifth, sixth] =
        [0, 1, 2, 3, 4, 5].map(|number| Target::open(proxies[number].address()));
    let by_containerd = |name, release, target| {
        let containerd = Containerd::start(release, &target)?;
        Some(Box::new(ByContainerd { name, containerd, target }))
    };
    Some(vec![
        (Box::new(ByRegctl { regctl: Regctl::find(&first)?, target: first, layout: None }), 5),
        (Box::new(BySkopeo { skopeo: Skopeo::find(&second)?, target: second, layout: None }), 3),
        (by_containerd("containerd", Release::Debian, third)?, 2),
        (by_containerd("newest-containerd", Release::Newest, fourth)?, 2),
        (
            Box::new(ByPodman {
                podman: Podman::find(Release::Newest, &fifth)?,
                target: fifth,
                home: Home::new(),
            }),
            2,
        ),
        (Box::new(ByDocker { docker: Docker::find(&sixth)?, home: Home::new() }), 2),
    ])
}

/// Pushes until it succeeds: with faults at first, and at the end without.
fn push(
    client: &mut dyn Client,
    proxy: &Proxy,
    repository: &str,
    dice: &mut Dice,
    tally: &mut Tally,
) -> Pushed {
    proxy.calm();
    let (pushed, mut command) = client.prepare(repository, dice);
    tally.pushes += 1;
    for number in 0..TRIES {
        proxy.trouble();
        if run_within(LIMIT, &mut command).succeeded() {
            *(if number == 0 { &mut tally.at_once } else { &mut tally.again }) += 1;
            return pushed;
        }
    }
    proxy.calm();
    let begun = Instant::now();
    loop {
        // While the server is started again, nothing is answered.
        let last: Finished = run_within(LIMIT, &mut command);
        if last.succeeded() {
            tally.in_peace += 1;
            return pushed;
        }
        assert!(begun.elapsed() < Duration::from_mins(2), "{repository}: {last}");
        thread::sleep(Duration::from_secs(1));
    }
}

/// Reads back what was pushed, and compares it with what it was.
fn check(server: &Server, pushed: &Pushed) {
    let Pushed { repository, blobs, id } = pushed;
    let get = |rest: &str| {
        let url = server.url(&format!("/v2/{repository}/{rest}"));
        let response = http::get(&url);
        assert_eq!(response.status, 200, "{repository} {rest}: {}", response.text());
        response
    };
    let mut manifest: Value = get("manifests/v1").json();
    if let Some(manifests) = manifest["manifests"].as_array() {
        let digest = manifests[0]["digest"].as_str().expect("an index names manifests");
        manifest = get(&format!("manifests/{digest}")).json();
    }
    let descriptors = std::iter::once(&manifest["config"])
        .chain(manifest["layers"].as_array().expect("a manifest has layers"));
    let mut found: Vec<String> = Vec::new();
    for descriptor in descriptors {
        let digest = descriptor["digest"].as_str().expect("a descriptor has a digest");
        let body = get(&format!("blobs/{digest}")).body;
        assert_eq!(sha256(&body), digest, "{repository}");
        assert_eq!(descriptor["size"], body.len(), "{repository}");
        found.push(digest.to_owned());
    }
    if let Some(id) = id {
        assert_eq!(manifest["config"]["digest"], **id, "{repository}");
    }
    if let Some(blobs) = blobs {
        found.sort();
        assert_eq!(&found, blobs, "{repository}");
    }
}

/// Makes an image of layers that nobody has, some of them longer than what is sent at a time.
fn image(dice: &mut Dice) -> Layout {
    let layers: Vec<(&'static str, Vec<u8>)> = [3_000_000, 200_000]
        .into_iter()
        .map(|most| {
            let length = 16 + usize::try_from(dice.below(most)).expect("it is small");
            (LAYER, dice.bytes(length))
        })
        .collect();
    let diff_ids: Vec<String> = layers.iter().map(|(_, bytes)| sha256(bytes)).collect();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": {},
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
    });
    Layout::write(&Parts { config, layers })
}

fn pushed(repository: &str, layout: &Layout) -> Pushed {
    let blobs = layout.contents().blobs.keys().map(|hex| format!("sha256:{hex}")).collect();
    Pushed { repository: repository.to_owned(), blobs: Some(blobs), id: None }
}

struct ByRegctl {
    regctl: Regctl,
    target: Target,
    layout: Option<Layout>,
}

impl Client for ByRegctl {
    fn name(&self) -> &'static str {
        "regctl"
    }

    fn prepare(&mut self, repository: &str, dice: &mut Dice) -> (Pushed, Command) {
        let layout = self.layout.insert(image(dice));
        let reference = self.target.reference(&format!("{repository}:v1"));
        let from = format!("ocidir://{}@{}", layout.path().display(), layout.contents().manifest);
        let command = self.regctl.command(&["image", "copy", &from, &reference]);
        (pushed(repository, layout), command)
    }
}

struct BySkopeo {
    skopeo: Skopeo,
    target: Target,
    layout: Option<Layout>,
}

impl Client for BySkopeo {
    fn name(&self) -> &'static str {
        "skopeo"
    }

    fn prepare(&mut self, repository: &str, dice: &mut Dice) -> (Pushed, Command) {
        let layout = self.layout.insert(image(dice));
        let reference = self.target.reference(&format!("{repository}:v1"));
        (pushed(repository, layout), self.skopeo.push_command(layout, &reference))
    }
}

struct ByContainerd {
    name: &'static str,
    containerd: Containerd,
    target: Target,
}

impl Client for ByContainerd {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&mut self, repository: &str, dice: &mut Dice) -> (Pushed, Command) {
        let layout = image(dice);
        let reference = self.target.reference(&format!("{repository}:v1"));
        name_image(layout.path(), &reference);
        let archive = layout.path().with_extension("tar");
        let mut tar = Command::new("tar");
        tar.arg("--create").arg("--file").arg(&archive).arg("--directory").arg(layout.path());
        succeed(tar.arg("."));
        let mut import = self.containerd.command(&["images", "import", "--no-unpack"]);
        succeed(import.arg(&archive));
        fs::remove_file(&archive).expect("it was made just now");
        (pushed(repository, &layout), self.containerd.remote("push", &reference))
    }
}

/// Has the index of a layout say what containerd is to name its image.
fn name_image(layout: &Path, reference: &str) {
    let path = layout.join("index.json");
    let text = fs::read(&path).expect("a layout has an index");
    let mut index: Value = serde_json::from_slice(&text).expect("it is JSON");
    index["manifests"][0]["annotations"] = json!({ "io.containerd.image.name": reference });
    fs::write(path, index.to_string()).expect("the layout is ours");
}

struct ByPodman {
    podman: Podman,
    target: Target,
    home: Home,
}

impl Client for ByPodman {
    fn name(&self) -> &'static str {
        "newest-podman"
    }

    fn prepare(&mut self, repository: &str, dice: &mut Dice) -> (Pushed, Command) {
        let length = 16 + usize::try_from(dice.below(3_000_000)).expect("it is small");
        let archive = archive(&self.home, dice.bytes(length));
        let reference = self.target.reference(&format!("{repository}:v1"));
        let id = Some(self.podman.import(&archive, &reference));
        let command = self.podman.push_command(&reference);
        (Pushed { repository: repository.to_owned(), blobs: None, id }, command)
    }
}

/// Makes an archive of one file, as a layer is.
fn archive(home: &Home, content: Vec<u8>) -> PathBuf {
    home.write("layer/file", content);
    let archive = home.path().join("layer.tar");
    let mut tar = Command::new("tar");
    tar.arg("--create").arg("--file").arg(&archive).arg("--directory");
    succeed(tar.arg(home.path().join("layer")).arg("."));
    archive
}

struct ByDocker {
    docker: Docker,
    home: Home,
}

impl Client for ByDocker {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn prepare(&mut self, repository: &str, dice: &mut Dice) -> (Pushed, Command) {
        let length = 16 + usize::try_from(dice.below(3_000_000)).expect("it is small");
        let archive = archive(&self.home, dice.bytes(length));
        let reference = self.docker.reference(&format!("{repository}:v1"));
        succeed(self.docker.command("import").arg(&archive).arg(&reference));
        let id = Some(self.docker.image_id(&reference));
        let mut command = self.docker.command("push");
        command.arg(&reference);
        (Pushed { repository: repository.to_owned(), blobs: None, id }, command)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
