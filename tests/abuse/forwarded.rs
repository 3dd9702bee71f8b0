//! Headers by which a proxy says for which client a request is, which anybody can send.

use crate::abuse::with_anna;
use crate::common::Server;
use crate::common::connection::ask;
use crate::common::repository::wait;

const FORGED: [&[(&str, &str)]; 4] = [
    &[("X-Forwarded-For", "198.51.100.7"), ("X-Forwarded-Host", "evil.example")],
    &[("Forwarded", "for=198.51.100.7;host=evil.example;proto=https")],
    &[("X-Forwarded-Proto", "https")],
    &[("X-Forwarded-Host", "evil.example")],
];

/// The lines of the log about a path, once there are so many.
fn lines(server: &Server, path: &str, count: usize) -> Vec<serde_json::Value> {
    let found = || -> Vec<String> {
        let log = server.log();
        let about = log.lines().filter(|line| line.contains(&format!(" {path}\"")));
        about.map(str::to_owned).collect()
    };
    wait(|| found().len() >= count, "the requests are not in the log");
    found().iter().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

#[test]
fn what_others_than_trusted_proxies_forward_is_ignored_and_the_log_says_so_once() {
    let server = Server::start_with(|command| {
        with_anna(command);
        command
            .env("ROADSTEAD_AUTH__HTPASSWD__ANONYMOUS_PULL", "true")
            .env("ROADSTEAD_SERVER__TRUSTED_PROXIES", "192.0.2.1,2001:db8::/32");
    });
    for headers in FORGED {
        let refused = ask(&server, "GET", "/v2/", headers);
        assert_eq!(refused.status, 401);
        let challenge = refused.header("www-authenticate").unwrap_or_default();
        assert!(challenge.contains("\"http://localhost/v2/token\""), "{challenge}");
        assert_eq!(refused.header("cache-control"), Some("no-store"));
        assert_eq!(refused.header("vary"), Some("Authorization"));
    }
    for line in lines(&server, "/v2/", FORGED.len()) {
        assert_eq!(line["client_address"], "127.0.0.1", "{line}");
        assert!(line["forwarded_address"].is_null(), "{line}");
    }
    let log = server.log();
    let warnings = log.lines().filter(|line| line.contains("server.trusted_proxies"));
    assert_eq!(warnings.count(), 1, "{log}");
    assert!(log.contains("server.external_url"), "tokens without a URL of our own: {log}");
}

#[test]
fn what_trusted_proxies_forward_counts_up_to_the_first_that_is_not_trusted() {
    let server = Server::start_with(|command| {
        with_anna(command);
        command
            .env("ROADSTEAD_AUTH__HTPASSWD__ANONYMOUS_PULL", "true")
            .env("ROADSTEAD_SERVER__TRUSTED_PROXIES", "127.0.0.1,10.1.0.0/16");
    });
    for (path, headers, address) in [
        ("/v2/a", &[("X-Forwarded-For", "6.6.6.6, 203.0.113.9, 10.1.0.5")][..], "203.0.113.9"),
        ("/v2/b", &[("X-Forwarded-For", "6.6.6.6, what, 10.1.0.5")], "10.1.0.5"),
        ("/v2/c", &[("Forwarded", "for=6.6.6.6, for=\"[2001:db8::1]:80\"")], "2001:db8::1"),
        // As a proxy sends it on that appends to the one and leaves the other as the client sent it.
        (
            "/v2/d",
            &[("Forwarded", "for=6.6.6.7"), ("X-Forwarded-For", "203.0.113.9")],
            "203.0.113.9",
        ),
        ("/v2/e", &[("X-Forwarded-Proto", "https"), ("Forwarded", "for=6.6.6.7")], ""),
    ] {
        assert_eq!(ask(&server, "GET", path, headers).status, 404);
        let line = &lines(&server, path, 1)[0];
        assert_eq!(line["client_address"], "127.0.0.1", "{line}");
        let forwarded = line["forwarded_address"].as_str().unwrap_or_default();
        assert_eq!(forwarded, address, "{line}");
    }
    let headers = [("X-Forwarded-Host", "registry.example.com"), ("X-Forwarded-Proto", "https")];
    let refused = ask(&server, "GET", "/v2/", &headers);
    let challenge = refused.header("www-authenticate").unwrap_or_default();
    assert!(challenge.contains("\"https://registry.example.com/v2/token\""), "{challenge}");
}
