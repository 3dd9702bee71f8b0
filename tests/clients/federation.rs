//! docker pulls from a registry that knows no more than the publisher's domain.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{io, thread};

use crate::clients::docker::Docker;
use crate::clients::image::{Image, LAYERS};
use crate::clients::podman::Podman;
use crate::clients::regctl::Regctl;
use crate::clients::skopeo::Skopeo;
use crate::clients::target::Target;
use crate::common::{require, succeed};
use crate::federation::operators::{DOMAIN, Operators};

#[test]
fn docker_pulls_below_a_domain_what_docker_pushed_to_its_operator() {
    let Some(busybox) = require("busybox") else { return };
    let Some(mut operators) = Operators::start() else { return };
    let Some(pushing) = Docker::find(&Target::open(operators.publisher.address())) else { return };
    let Some(pulling) = Docker::find(&Target::open(operators.other.address())) else { return };
    // What docker has of other tests' images it would not pull, and then nobody has it in the end.
    let image = Image::of_its_own(&busybox);
    let own = pushing.reference("team/app:v1");
    pushing.build(&image, &own);
    let id = pushing.image_id(&own);
    pushing.push(&own);
    pushing.remove(&own);
    operators.publish();

    let foreign = pulling.reference(&format!("{DOMAIN}/team/app:v1"));
    assert_eq!(pulling.pull(&foreign), LAYERS);
    assert_eq!(pulling.image_id(&foreign), id);
    let files = image.files();
    assert_eq!(pulling.sums(&foreign, files.keys().cloned()), files);

    // And again when nobody else is left.
    pulling.remove(&foreign);
    operators.publisher.kill();
    pulling.pull(&foreign);
    assert_eq!(pulling.image_id(&foreign), id);
    let report = succeed(&mut operators.other.command(["check"]));
    assert!(report.ends_with(": all is well"), "{report}");
}

/// How many connections are cut, and after how many bytes.
const CUTS: usize = 3;
const CUT_AFTER: usize = 150_000;

/// Stands before a publisher, and cuts the first connections that carry much; returns its port, and how many were cut.
fn cutting(publisher: &str) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has free ports");
    let port = listener.local_addr().expect("a bound listener has an address").port();
    let (cut, publisher) = (Arc::new(AtomicUsize::new(0)), publisher.to_owned());
    let counted = Arc::clone(&cut);
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let (counted, publisher) = (Arc::clone(&counted), publisher.clone());
            // Whoever breaks off meets the end of its connection.
            thread::spawn(move || carry(client, &publisher, &counted));
        }
    });
    (port, cut)
}

fn carry(mut client: TcpStream, publisher: &str, cut: &AtomicUsize) -> io::Result<()> {
    let mut server = TcpStream::connect(publisher)?;
    let (mut requests, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || io::copy(&mut requests, &mut to_server));
    let (mut buffer, mut carried) = ([0; 8192], 0);
    loop {
        let length = server.read(&mut buffer)?;
        carried += length;
        let is_cut = carried > CUT_AFTER
            && cut
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |count| {
                    (count < CUTS).then_some(count + 1)
                })
                .is_ok();
        if length == 0 || is_cut {
            let _ = server.shutdown(Shutdown::Both);
            return client.shutdown(Shutdown::Both);
        }
        client.write_all(&buffer[..length])?;
    }
}

/// An image at a publisher whose connections are cut in the middle.
struct Interrupted {
    operators: Operators,
    manifest: String,
    cut: Arc<AtomicUsize>,
}

impl Interrupted {
    fn start() -> Option<Self> {
        let busybox = require("busybox")?;
        let operators = Operators::start()?;
        let skopeo = Skopeo::find(&Target::open(operators.publisher.address()))?;
        let layout = Image::new(&busybox).write_layout();
        skopeo.push(&layout, &format!("{}/team/app:v1", operators.publisher.address()));
        let (port, cut) = cutting(operators.publisher.address());
        let link = format!("dnslink=/ipfs/{}", operators.root());
        operators.publish_as(&link, &format!("/ip4/127.0.0.1/tcp/{port}/http"));
        Some(Self { operators, manifest: layout.contents().manifest.clone(), cut })
    }

    fn reference(&self) -> String {
        format!("{}/{DOMAIN}/team/app:v1", self.operators.other.address())
    }
}

#[test]
fn regctl_pulls_from_a_publisher_whose_connections_are_cut() {
    let Some(image) = Interrupted::start() else { return };
    let Some(regctl) = Regctl::find(&Target::open(image.operators.other.address())) else {
        return;
    };
    let folder = regctl.home.path().join("pulled");
    let layout = format!("ocidir://{}:v1", folder.display());
    regctl.say(&["image", "copy", &image.reference(), &layout]);
    assert_eq!(regctl.say(&["image", "digest", &layout]), image.manifest);
    assert_eq!(image.cut.load(Ordering::SeqCst), CUTS);
}

#[test]
fn podman_pulls_from_a_publisher_whose_connections_are_cut() {
    let Some(image) = Interrupted::start() else { return };
    let Some(podman) = Podman::find(&Target::open(image.operators.other.address())) else {
        return;
    };
    podman.pull(&image.reference());
    assert_eq!(image.cut.load(Ordering::SeqCst), CUTS);
}
