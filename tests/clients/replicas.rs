//! docker through a balancer over three processes.

use crate::common::{Balancer, Replicas, require, succeed};
use crate::docker::Docker;
use crate::image::{Image, LAYERS};
use crate::target::Target;

#[test]
fn docker_pushes_and_pulls_through_a_balancer_over_three_replicas() {
    let Some(busybox) = require("busybox") else { return };
    let Some(replicas) = Replicas::start() else { return };
    let balancer = Balancer::start(replicas.addresses());
    let Some(docker) = Docker::find(&Target::open(&balancer.address())) else { return };
    for tag in ["v1", "v2"] {
        let image = Image::new(&busybox);
        let reference = docker.reference(&format!("team/app:{tag}"));
        docker.build(&image, &reference);
        let id = docker.image_id(&reference);

        docker.push(&reference);
        docker.remove(&reference);
        let pulled = docker.pull(&reference);

        // The layer of busybox may be there from another test's image.
        assert!(pulled >= LAYERS - 1, "only {pulled} layers were pulled");
        assert_eq!(docker.image_id(&reference), id);
        let files = image.files();
        assert_eq!(docker.sums(&reference, files.keys().cloned()), files);
    }
    let counts = balancer.counts();
    assert!(counts.iter().all(|count| *count > 1), "{counts:?}");
    for server in &replicas.servers {
        let report = succeed(&mut server.command(["check"]));
        assert!(report.ends_with(": all is well"), "{report}");
    }
}
