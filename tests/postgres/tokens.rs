//! Tokens are good at every process that uses the index.

use std::fs;

use bcrypt::Version;
use tempfile::TempDir;

use crate::common::Postgres;
use crate::common::{Server, http};

#[test]
fn a_token_of_one_process_is_good_at_another() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let file = folder.path().join("htpasswd");
    let hash = bcrypt::hash_with_result("sesame", 4).expect("4 is a cost");
    let line = format!("anna:{}\n", hash.format_for_version(Version::TwoY));
    fs::write(&file, line).expect("the folder is ours");
    let start = || {
        let (file, url) = (file.clone(), postgres.url());
        Server::start_with(move |command| {
            command
                .env("ROADSTEAD_INDEX__URL", &url)
                .env("ROADSTEAD_AUTH__METHOD", "htpasswd")
                .env("ROADSTEAD_AUTH__HTPASSWD__FILE", &file)
                .env("ROADSTEAD_AUTH__HTPASSWD__ANONYMOUS_PULL", "true");
        })
    };
    let (one, other) = (start(), start());
    let url = one.url("/v2/token?service=roadstead");
    let answer = http::send(|client| client.get(url).basic_auth("anna", Some("sesame"))).json();
    let token = answer["token"].as_str().expect("it is text");
    for (server, status) in [(&one, 200), (&other, 200)] {
        let response = http::send(|client| client.get(server.url("/v2/")).bearer_auth(token));
        assert_eq!(response.status, status);
        let wrong = format!("{token}x");
        let response = http::send(|client| client.get(server.url("/v2/")).bearer_auth(wrong));
        assert_eq!(response.status, 401);
    }
}
