//! Clients that read the metrics all the time.

use std::thread;

use crate::abuse::metric;
use crate::common::Server;
use crate::common::repository::{Repository, wait};

#[test]
fn many_readers_of_the_metrics_leave_the_server_to_others() {
    let server = Server::start_with(|command| {
        command.env("ROADSTEAD_LOG__LEVEL", "info,roadstead::http::metrics=trace");
    });
    thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                for _ in 0..20 {
                    assert!(metric(&server, "roadstead_connections_limit") > 0);
                }
            });
        }
        for _ in 0..10 {
            let upload = Repository::of(&server, "team/app").begin();
            assert_eq!(upload.cancel().status, 204);
        }
    });
    let reads = || server.log().matches("read the index for the metrics").count();
    wait(|| reads() > 0, "the log says it");
    assert!(reads() < 16 * 20, "none of them share a question: {}", reads());
}
