//! An image of many layers whose publisher is far away, beside the same pull from the publisher itself.

use crate::client::Client;
use crate::content::Content;
use crate::far::Far;
use crate::federation::{ROUND_TRIP, World, at_once};
use crate::subject::Subject;
use crate::table::Row;
use crate::{Arguments, MB, rounds, rows, timed};

const REPOSITORY: &str = "bench/distant";

/// The image: so many layers of a megabyte.
const LAYERS: usize = 40;

const DIRECT: &str = "the publisher itself";
const AHEAD: &str = "Roadstead that fetches ahead";

/// Its settings.
const FETCHING_AHEAD: [(&str, &str); 2] = [
    ("ROADSTEAD_FEDERATION__FETCH_AHEAD_BYTES", "64000000"),
    ("ROADSTEAD_FEDERATION__MAX_READS_PER_ROOT", "32"),
];

pub(crate) fn measure(world: &World, arguments: &Arguments) -> Vec<Row> {
    let publisher = &world.publishers[0];
    let layers: Vec<_> = (0..LAYERS).map(|_| Content::new(MB)).collect();
    World::push(publisher.server.address(), REPOSITORY, &layers);
    let far = Far::from(publisher.server.address(), ROUND_TRIP);
    world.publish(publisher.domain, &publisher.server, &far.address());
    let subjects = [AHEAD, "Roadstead", DIRECT].map(|name| Subject::other(name, ""));
    let subjects: Vec<&Subject> = subjects.iter().collect();
    let figures = rounds(
        arguments.rounds,
        &subjects,
        || (),
        |subject| {
            if subject.name == DIRECT {
                return timed(|| pull(&far.address(), REPOSITORY, &layers));
            }
            let settings = if subject.name == AHEAD { &FETCHING_AHEAD[..] } else { &[] };
            let server = world.puller_with(settings);
            let repository = format!("{}/{REPOSITORY}", publisher.domain);
            let seconds = timed(|| pull(server.address(), &repository, &layers));
            world.weigh(&server);
            seconds
        },
    );
    world.publish(publisher.domain, &publisher.server, publisher.server.address());
    let work = format!("pull of {LAYERS} layers of 1 MB, 50 ms away");
    rows(&work, &[(DIRECT, "≤ 0.3")], "s", &subjects, &figures)
}

/// Pulls the image as docker does, each worker over one connection.
fn pull(address: &str, repository: &str, layers: &[Content]) {
    let mut client = Client::open(address);
    client.get("/v2/");
    client.get(&format!("/v2/{repository}/manifests/v1"));
    at_once(
        layers,
        || Client::open(address),
        |client, layer| {
            client.get(&format!("/v2/{repository}/blobs/{}", layer.digest));
        },
    );
}
