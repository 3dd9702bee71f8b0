//! docker through a balancer over three processes.

use crate::clients::docker::{Docker, push_and_pull};
use crate::clients::target::Target;
use crate::common::{Balancer, Replicas, require, succeed};

#[test]
fn docker_pushes_and_pulls_through_a_balancer_over_three_replicas() {
    let Some(busybox) = require("busybox") else { return };
    let Some(replicas) = Replicas::start() else { return };
    let balancer = Balancer::start(replicas.addresses());
    let Some(docker) = Docker::find(&Target::open(&balancer.address())) else { return };
    for tag in ["v1", "v2"] {
        push_and_pull(&docker, &busybox, &format!("team/app:{tag}"));
    }
    let counts = balancer.counts();
    assert!(counts.iter().all(|count| *count > 1), "{counts:?}");
    for server in &replicas.servers {
        let report = succeed(&mut server.command(["check"]));
        assert!(report.ends_with(": all is well"), "{report}");
    }
}
