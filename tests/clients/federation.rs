//! docker pulls from a registry that knows no more than the publisher's domain.

use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use crate::clients::docker::Docker;
use crate::clients::image::{Image, LAYERS};
use crate::clients::layout::Layout;
use crate::clients::link::{Link, Manner};
use crate::clients::podman::Podman;
use crate::clients::regctl::Regctl;
use crate::clients::release::Release;
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

/// How many connections to the publisher are cut, and after how many bytes.
const CUTS: usize = 3;
const CUT_AFTER: usize = 150_000;

/// An image at a publisher, who is reached by a link of that manner.
struct Published {
    operators: Operators,
    manifest: String,
    link: Link,
}

impl Published {
    fn start(layout: &Layout, manner: Manner) -> Option<Self> {
        Self::start_by(Operators::start()?, layout, manner)
    }

    fn start_by(operators: Operators, layout: &Layout, manner: Manner) -> Option<Self> {
        let skopeo = Skopeo::find(&Target::open(operators.publisher.address()))?;
        skopeo.push(layout, &format!("{}/team/app:v1", operators.publisher.address()));
        let link = Link::start(operators.publisher.address(), manner);
        operators.publish_as(&format!("dnslink=/ipfs/{}", operators.root()), &link.hint());
        Some(Self { operators, manifest: layout.contents().manifest.clone(), link })
    }

    /// One whose connections are cut in the middle.
    fn interrupted() -> Option<Self> {
        let layout = Image::new(&require("busybox")?).write_layout();
        Self::start(&layout, Manner { cuts: CUTS, cut_after: CUT_AFTER, ..Manner::default() })
    }

    fn target(&self) -> Target {
        Target::open(self.operators.other.address())
    }

    fn reference_at(address: &str) -> String {
        format!("{address}/{DOMAIN}/team/app:v1")
    }

    fn reference(&self) -> String {
        Self::reference_at(self.operators.other.address())
    }
}

/// Copies an image into a layout, and returns its digest.
fn copy(regctl: &Regctl, reference: &str) -> String {
    let folder = regctl.home.path().join("pulled");
    let layout = format!("ocidir://{}:v1", folder.display());
    regctl.say(&["image", "copy", reference, &layout]);
    regctl.say(&["image", "digest", &layout])
}

#[test]
fn regctl_pulls_from_a_publisher_whose_connections_are_cut() {
    let Some(image) = Published::interrupted() else { return };
    let Some(regctl) = Regctl::find(&image.target()) else { return };
    assert_eq!(copy(&regctl, &image.reference()), image.manifest);
    assert_eq!(image.link.cut(), CUTS);
}

#[test]
fn podman_pulls_from_a_publisher_whose_connections_are_cut() {
    for release in [Release::Debian, Release::Newest] {
        let Some(image) = Published::interrupted() else { return };
        let Some(podman) = Podman::find(release, &image.target()) else { return };
        podman.pull(&image.reference());
        assert_eq!(image.link.cut(), CUTS, "{release:?}");
    }
}

/// How long the layer is of which a client loses the connection, and after how much of it.
const LAYER: usize = 6_000_000;
const LOST_AFTER: usize = 2_000_000;
/// How much of the layer the publisher tells before a client has begun again, and with how much.
const STOP_AFTER: usize = 4_000_000;
const AGAIN: usize = 1_000_000;

/// A7: the range by which a client began again was waited for, and then answered with all of the blob.
///
/// Has a client pull a layer through a link that is cut once, while the rest of the layer comes only after the client
/// has been answered again.
fn lose_a_connection(pull: impl FnOnce(&Target) -> Option<String>) {
    let layout = Image::write_one_layer(LAYER);
    let manner = Manner { stop_after: STOP_AFTER, ..Manner::default() };
    // What is fetched ahead would meet the stop before the client has begun with the layer.
    let operators = Operators::start_with(|command| {
        command.env("ROADSTEAD_FEDERATION__FETCH_AHEAD_BYTES", "0");
    });
    let image = operators.and_then(|it| Published::start_by(it, &layout, manner));
    let Some(image) = image else { return };
    let manner = Manner { cuts: 1, cut_after: LOST_AFTER, ..Manner::default() };
    let link = Link::start(image.operators.other.address(), manner);
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::SeqCst) {
                if link.cut() == 1 && link.since_cut() > AGAIN {
                    image.link.go_on();
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        let pulled = panic::catch_unwind(AssertUnwindSafe(|| pull(&Target::open(&link.address()))));
        is_done.store(true, Ordering::SeqCst);
        let Some(manifest) = pulled.unwrap_or_else(|panic| panic::resume_unwind(panic)) else {
            return;
        };
        assert_eq!(manifest, image.manifest);
        assert_eq!(link.cut(), 1);
        assert!(link.take() < LAYER + LOST_AFTER, "what had come was sent again");
    });
}

#[test]
fn podman_goes_on_with_a_layer_on_its_way_when_it_has_lost_the_connection() {
    lose_a_connection(|target| {
        let podman = Podman::find(Release::Newest, target)?;
        let reference = Published::reference_at(target.address());
        podman.pull(&reference);
        Some(podman.digest(&reference))
    });
}

#[test]
fn regctl_goes_on_with_a_layer_on_its_way_when_it_has_lost_the_connection() {
    lose_a_connection(|target| {
        let regctl = Regctl::find(target)?;
        Some(copy(&regctl, &Published::reference_at(target.address())))
    });
}
