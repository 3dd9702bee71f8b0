//! docker pulls from a registry that knows no more than the publisher's domain.

use crate::clients::docker::Docker;
use crate::clients::image::{Image, LAYERS};
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
