//! podman, which fetches only those parts of a layer that it has not: the bytes that go over the wire.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tempfile::TempDir;

use crate::clients::home::Home;
use crate::clients::stock_registry::StockRegistry;
use crate::common::content::noise;
use crate::common::{Disk, Server, require, require_root, succeed};

/// How many files the image has, each of them so long.
const FILES: usize = 400;
const LENGTH: usize = 20_000;

/// A proxy that counts what a registry answers.
struct Counter {
    address: String,
    answered: Arc<AtomicUsize>,
}

impl Counter {
    fn before(registry: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
        let address = listener.local_addr().expect("a bound listener has an address").to_string();
        let answered = Arc::new(AtomicUsize::new(0));
        let (count, registry) = (Arc::clone(&answered), registry.to_owned());
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = TcpStream::connect(&registry).expect("the registry listens");
                let pair = |stream: &TcpStream| stream.try_clone().expect("there are descriptors");
                let (from_client, to_server) = (pair(&client), pair(&server));
                thread::spawn(move || carry(from_client, to_server, &AtomicUsize::new(0)));
                let count = Arc::clone(&count);
                thread::spawn(move || carry(server, client, &count));
            }
        });
        Self { address, answered }
    }

    /// How much was answered since this was asked last.
    fn take(&self) -> usize {
        self.answered.swap(0, Ordering::SeqCst)
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, count: &AtomicUsize) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        count.fetch_add(length, Ordering::SeqCst);
        if to.write_all(&buffer[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// podman with a store that takes layers apart, on a disk that overlays can stand on.
struct Podman {
    // Fields are dropped in this order: the home goes before its disk.
    home: Home,
    _disk: Disk,
    program: std::path::PathBuf,
}

impl Podman {
    fn find() -> Option<Self> {
        let program = require("podman")?;
        require_root()?;
        let disk = Disk::mount("256m")?;
        let home = Home::new();
        let place = disk.path().display();
        home.write(
            "storage.conf",
            format!(
                "[storage]\ndriver = 'overlay'\ngraphroot = '{place}/storage'\nrunroot = '{place}/run'\n\
                 [storage.options]\npull_options = {{enable_partial_images = 'true'}}\n"
            ),
        );
        Some(Self { home, _disk: disk, program })
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.private_command(&self.program);
        command.args(words);
        command
    }

    /// Makes an image of a folder, and pushes it to each of the registries.
    fn push(&self, folder: &Path, name: &str, registries: &[&str]) {
        let archive = self.home.path().join("image.tar");
        let mut tar = Command::new("tar");
        tar.args(["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--create", "--file"]);
        succeed(tar.arg(&archive).arg("--directory").arg(folder).arg("."));
        let archive = archive.to_string_lossy();
        succeed(&mut self.command(&["import", "--quiet", &archive, name]));
        for registry in registries {
            succeed(&mut self.command(&[
                "push",
                "--quiet",
                "--tls-verify=false",
                "--compression-format=zstd:chunked",
                name,
                &format!("docker://{registry}/{name}"),
            ]));
        }
    }

    fn pull(&self, registry: &str, name: &str) {
        let reference = format!("{registry}/{name}");
        succeed(&mut self.command(&["pull", "--quiet", "--tls-verify=false", &reference]));
    }
}

/// A3: three files of 400 changed, and the whole layer came.
#[test]
fn podman_fetches_no_more_of_a_layer_than_from_the_stock_registry() {
    let Some(program) = require("registry") else { return };
    let Some(pushing) = Podman::find() else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let stock = StockRegistry::start(&program, &folder.path().join("stock"), false);
    let server = Server::start();
    let files = folder.path().join("files");
    fs::create_dir(&files).expect("a folder can be made");
    let write = |index: usize, seed: usize| {
        let content = noise(LENGTH, seed as u64);
        fs::write(files.join(index.to_string()), content).expect("a file can be written");
    };
    let registries = [server.address(), stock.address()];
    for index in 0..FILES {
        write(index, index);
    }
    pushing.push(&files, "team/app:1", &registries);
    for index in [3, 200, 390] {
        write(index, FILES + index);
    }
    pushing.push(&files, "team/app:2", &registries);

    let [ours, stocks] = registries.map(|registry| {
        let (podman, counter) = (Podman::find().expect("it was found"), Counter::before(registry));
        podman.pull(&counter.address, "team/app:1");
        assert!(counter.take() > FILES * LENGTH, "the whole comes first");
        podman.pull(&counter.address, "team/app:2");
        counter.take()
    });

    assert!(stocks < FILES * LENGTH / 10, "podman fetched {stocks} bytes: the whole layer");
    assert!(ours * 100 <= stocks * 105, "{ours} bytes, and {stocks} from the stock registry");
}
