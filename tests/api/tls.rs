//! TLS: what is encrypted, HTTP/2, and certificates that change.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use rcgen::{CertifiedKey, KeyPair, generate_simple_self_signed};
use reqwest::{Certificate, Version};
use tempfile::TempDir;

use crate::common::connection::Connection;
use crate::common::content::noise;
use crate::common::http::{self, Response};
use crate::common::multipart::assert_parts;
use crate::common::repository::{Repository, streamed, wait};
use crate::common::{Server, roadstead, run};

/// Makes a certificate for 127.0.0.1.
fn issue() -> CertifiedKey<KeyPair> {
    generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("it is a name")
}

fn write(folder: &Path, issued: &CertifiedKey<KeyPair>) {
    for (name, text) in
        [("cert.pem", issued.cert.pem()), ("key.pem", issued.signing_key.serialize_pem())]
    {
        fs::write(folder.join(name), text).expect("the folder is ours");
    }
}

fn start(folder: &Path) -> Server {
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.join(name));
    Server::start_encrypted(move |command| {
        command
            .env("ROADSTEAD_SERVER__TLS__CERTIFICATE", &certificate)
            .env("ROADSTEAD_SERVER__TLS__KEY", &key);
    })
}

/// Asks on a new connection that has to show that certificate.
fn get_by(server: &Server, issued: &CertifiedKey<KeyPair>) -> Result<Response, reqwest::Error> {
    let trusted = Certificate::from_der(issued.cert.der()).expect("it is one");
    let url = server.url("/v2/");
    http::try_send_by(|client| client.tls_certs_only([trusted]), |client| client.get(url))
}

#[test]
fn images_are_pushed_and_pulled_by_http_2() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let issued = issue();
    write(folder.path(), &issued);
    let server = start(folder.path());
    let answer = get_by(&server, &issued).expect("the certificate is known");
    assert_eq!((answer.status, answer.version), (200, Version::HTTP_2));
    assert!(get_by(&server, &issue()).is_err(), "another certificate is not trusted");

    let repository = Repository::of(&server, "team/app");
    let pushed = repository.push_image("v1", "word");
    assert_eq!(repository.get("manifests/v1").body, pushed.manifest);
    let head = repository.head(&format!("blobs/{}", crate::common::content::sha256(&pushed.layer)));
    assert_eq!(head.header("content-length"), pushed.layer.len().to_string());
    let large = noise(3_000_000, 7);
    let upload = repository.begin();
    assert_eq!(upload.stream(&large).status, 202);
    let digest = crate::common::content::sha256(&large);
    assert_eq!(upload.finish(&digest).status, 201);
    assert!(repository.get(&format!("blobs/{digest}")).body == large);
    let specs: Vec<_> =
        (0..1024).map(|it| format!("{:015}-{:015}", it * 2000, it * 2000)).collect();
    let ranges: Vec<_> = (0..1024).map(|it| it * 2000..it * 2000 + 1).collect();
    let parts = repository.send(reqwest::Method::GET, &format!("blobs/{digest}"), |request| {
        request.header(reqwest::header::RANGE, format!("bytes={}", specs.join(",")))
    });
    assert_eq!(parts.version, Version::HTTP_2);
    assert_parts(&parts, &large, &ranges);
    // Refused before its body was read.
    let refused = repository
        .send(reqwest::Method::PUT, "manifests/.x", |request| request.body(streamed(&large)));
    assert_eq!((refused.status, refused.version), (400, Version::HTTP_2));
}

#[test]
fn http_1_is_spoken_as_well() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    write(folder.path(), &issue());
    let server = start(folder.path());
    let url = server.url("/v2/");
    let answer = http::try_send_by(
        |client| client.tls_danger_accept_invalid_certs(true).http1_only(),
        |client| client.get(url),
    );
    let answer = answer.expect("the server answers");
    assert_eq!((answer.status, answer.version), (200, Version::HTTP_11));
    // What is not encrypted is not answered.
    let mut connection = Connection::open(&server);
    connection.ask("GET", "/v2/", &[]);
    assert_eq!(connection.answer().status, 400);
    assert_eq!(http::get(&server.url("/v2/")).status, 200, "and others are served on");
}

#[test]
fn a_new_certificate_is_shown_to_new_connections() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let (first, second) = (issue(), issue());
    write(folder.path(), &first);
    let server = start(folder.path());
    assert!(get_by(&server, &first).is_ok());

    // A pair that does not go together changes nothing, and the log tells.
    fs::write(folder.path().join("cert.pem"), second.cert.pem()).expect("the folder is ours");
    let begun = Instant::now();
    while !server.log().contains("not the key of the certificate") {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", server.log());
        thread::sleep(Duration::from_millis(100));
    }
    assert!(get_by(&server, &first).is_ok());

    write(folder.path(), &second);
    let begun = Instant::now();
    while get_by(&server, &second).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "the old certificate is shown on");
        thread::sleep(Duration::from_millis(100));
    }
    assert!(get_by(&server, &first).is_err());
    fs::remove_file(folder.path().join("key.pem")).expect("it is there");
    thread::sleep(Duration::from_millis(2500));
    assert!(get_by(&server, &second).is_ok());
}

#[test]
fn files_that_cannot_be_used_are_refused_at_start() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let issued = issue();
    let other = issue().signing_key.serialize_pem();
    let (certificate, key) = (issued.cert.pem(), issued.signing_key.serialize_pem());
    for (certificate, key, file, reason) in [
        (None, Some(&key), "cert.pem", "No such file"),
        (Some(&certificate), None, "key.pem", "No such file"),
        (Some(&key), Some(&key), "cert.pem", "no certificate in it"),
        (Some(&certificate), Some(&certificate), "key.pem", "no key in it"),
        (Some(&certificate), Some(&other), "key.pem", "not the key of the certificate in"),
        (
            Some(&"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_owned()),
            Some(&key),
            "cert.pem",
            "",
        ),
        (Some(&certificate[..200].to_owned()), Some(&key), "cert.pem", ""),
        (Some(&String::new()), Some(&String::new()), "cert.pem", "no certificate in it"),
    ] {
        let mut command = roadstead(["serve", "--listen", "127.0.0.1:0"]);
        command.current_dir(folder.path());
        for (name, variable, text) in
            [("cert.pem", "CERTIFICATE", certificate), ("key.pem", "KEY", key)]
        {
            let path = folder.path().join(name);
            command.env(format!("ROADSTEAD_SERVER__TLS__{variable}"), &path);
            let _ = fs::remove_file(&path);
            if let Some(text) = text {
                fs::write(path, text).expect("the folder is ours");
            }
        }
        let refused = run(&mut command);
        assert_eq!(refused.code, Some(1), "{refused}");
        let named =
            format!("cannot use the file {} of `server.tls.", folder.path().join(file).display());
        assert!(refused.stderr.contains(&named) && refused.stderr.contains(reason), "{refused}");
        assert!(!folder.path().join("data").exists(), "nothing is made before that");
    }
}

#[test]
fn an_unencrypted_request_is_refused_and_the_port_goes_on() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let issued = issue();
    write(folder.path(), &issued);
    let server = start(folder.path());
    for method in ["GET", "POST", "PUT", "DELETE", "OPTIONS", "PRI", "brew"] {
        let mut connection = Connection::open(&server);
        connection.ask(method, "/v2/team/app/blobs/uploads/", &[("Content-Length", "3000")]);
        // An answer is read also where the body is still on its way.
        connection.send([b'x'; 3000]);
        let answer = connection.answer();
        assert_eq!(answer.status, 400, "{method}");
        assert_eq!(answer.code(), "UNSUPPORTED", "{method}");
        assert!(answer.text().contains("HTTP request to an HTTPS server"), "{}", answer.text());
        assert_eq!(answer.header("connection"), Some("close"));
    }
    let mut connection = Connection::open(&server);
    connection.ask("HEAD", "/v2/", &[]);
    assert_eq!(connection.answer_to_head().status, 400);
    assert_eq!(connection.read_some(&mut [0; 16]), 0, "no body follows");
    assert!(server.log().contains("plain_http_refused"), "the log does not tell");

    // Neither that, nor silence, nor nonsense keeps others from it.
    let silent: Vec<Connection> = (0..300).map(|_| Connection::open(&server)).collect();
    let begun: Vec<Connection> = (0..300)
        .map(|_| {
            let mut connection = Connection::open(&server);
            connection.send([0x16, 0x03]);
            connection
        })
        .collect();
    for nonsense in [&b"\x00\x00\x00\x00\x00"[..], b"\x15\x03\x01\x00\x02\x02\x00", b"\xff\xff\xff"]
    {
        Connection::open(&server).send(nonsense);
    }
    let answer = get_by(&server, &issued).expect("the certificate is known");
    assert_eq!((answer.status, answer.version), (200, Version::HTTP_2));
    drop((silent, begun));
    let pushed = Repository::of(&server, "team/app").push_image("v1", "word");
    assert_eq!(Repository::of(&server, "team/app").get("manifests/v1").body, pushed.manifest);
}

/// Nothing but a connection counts as one: neither a client that hangs up while it is encrypted, nor what is no TLS.
#[test]
fn a_connection_that_ends_before_it_is_encrypted_no_longer_counts() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let issued = issue();
    write(folder.path(), &issued);
    let [certificate, key] = ["cert.pem", "key.pem"].map(|name| folder.path().join(name));
    let server = Server::start_encrypted(move |command| {
        command
            .env("ROADSTEAD_SERVER__TLS__CERTIFICATE", &certificate)
            .env("ROADSTEAD_SERVER__TLS__KEY", &key)
            .env("ROADSTEAD_SERVER__LIMITS__CONNECTIONS_PER_CLIENT", "20");
    });
    let begun = Instant::now();
    for begin in ["", "\x16\x03", "\x16\x03\x01\0\x05hello", "GET / HTTP/1.1\r\n\r\n"] {
        for _ in 0..20 {
            Connection::open(&server).send(begin);
        }
        let is_served = || get_by(&server, &issued).is_ok_and(|answer| answer.status == 200);
        wait(is_served, "it is locked out");
    }
    // With twenty for each kind, of which each would count for twice the ten seconds of the beginning.
    assert!(begun.elapsed() < Duration::from_secs(18), "{:?}", begun.elapsed());
}
