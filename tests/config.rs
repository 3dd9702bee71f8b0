//! The settings: what goes before what, what is refused, and `roadstead config`.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use roadstead::auth::METHODS;
use roadstead::config::{
    AnonymousAccess, DnsServer, FederationNode, Flag, Kind, LogFormat, Origin, SETTINGS, Settings,
    SettingsError, Sources, Values,
};
use roadstead::dnslink::PROVIDERS;
use roadstead::storage::DRIVERS;
use secrecy::ExposeSecret;
use tempfile::TempDir;

/// Sources for one test; files stand in a folder of its own.
struct Given {
    folder: TempDir,
    sources: Sources,
}

impl Given {
    fn nothing() -> Self {
        Self { folder: TempDir::new().unwrap(), sources: Sources::default() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(mut self, text: &str) -> Self {
        let path = self.path("roadstead.toml");
        fs::write(&path, text).unwrap();
        self.sources.file = Some(path);
        self
    }

    fn variable(mut self, name: &str, value: impl Into<OsString>) -> Self {
        self.sources.environment.push((name.into(), value.into()));
        self
    }

    fn flag(mut self, flag: &'static str, setting: &'static str, value: &str) -> Self {
        self.sources.flags.push(Flag { flag, setting, value: value.to_owned() });
        self
    }

    fn settings(&self) -> Settings {
        Settings::load(&self.sources).unwrap_or_else(|error| panic!("{error}"))
    }

    fn refusal(&self) -> SettingsError {
        Settings::load(&self.sources).expect_err("the settings should be refused")
    }

    /// The name that is refused since there is no such setting, and what is said of it.
    fn unknown(&self) -> (String, String) {
        match self.refusal() {
            SettingsError::Unknown { name, hint, .. } => (name, hint),
            other => panic!("{other}"),
        }
    }

    /// The setting whose value is refused, the value, and where it came from.
    fn bad_value(&self) -> (&'static str, String, Origin) {
        match self.refusal() {
            SettingsError::BadValue { setting, value, origin } => (setting.name, value, origin),
            other => panic!("{other}"),
        }
    }

    fn origin(&self, name: &str) -> Origin {
        let values = Values::gather(&self.sources).unwrap();
        values.iter().find(|effective| effective.setting.name == name).unwrap().origin.clone()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

#[test]
fn a_file_goes_before_defaults_the_environment_before_it_and_flags_before_all() {
    let given = Given::nothing();
    assert_eq!(given.origin("server.listen"), Origin::Default);

    let given = given.file("[server]\nlisten = '127.0.0.1:1'\ndata = 'from-file'\n");
    assert_eq!(given.settings().server.listen.port(), 1);
    assert_eq!(given.origin("server.listen"), Origin::File(given.path("roadstead.toml")));

    let given = given.variable("ROADSTEAD_SERVER__LISTEN", "127.0.0.1:2");
    assert_eq!(given.settings().server.listen.port(), 2);
    let variable = Origin::Variable("ROADSTEAD_SERVER__LISTEN".to_owned());
    assert_eq!(given.origin("server.listen"), variable);

    let given = given.flag("--listen", "server.listen", "127.0.0.1:3");
    assert_eq!(given.settings().server.listen.port(), 3);
    assert_eq!(given.origin("server.listen"), Origin::Flag("--listen"));
    assert_eq!(given.settings().server.data, Path::new("from-file"), "other settings stay");
}

#[test]
fn every_setting_can_be_given_in_the_environment() {
    let defaults = Values::gather(&Sources::default()).unwrap();
    for row in SETTINGS.iter().filter(|row| row.kind != Kind::Secret) {
        let variable = format!("ROADSTEAD_{}", row.name.to_uppercase().replace('.', "__"));
        let default = defaults.iter().find(|it| it.setting.name == row.name).unwrap();
        let text = default.value.to_string().replace(['[', ']', '"'], "");
        let given = Given::nothing().variable(&variable, text);
        assert_eq!(format!("{:?}", given.settings()), format!("{:?}", Settings::default()));
        // What is left empty is as if it were not given.
        let origin = given.origin(row.name);
        assert!(
            matches!(&origin, Origin::Variable(name) if *name == variable)
                || origin == Origin::Default
        );
    }
    let settings = Given::nothing()
        .variable("ROADSTEAD_SERVER__DATA", "/srv/data")
        .variable("ROADSTEAD_SERVER__EXTERNAL_URL", "https://registry.example.com/")
        .variable("ROADSTEAD_SERVER__LOCAL_NAMESPACES", "docker.io, ghcr.io,")
        .variable("ROADSTEAD_SERVER__SHUTDOWN_GRACE", "0")
        .variable("ROADSTEAD_SERVER__REQUEST_TIMEOUT", "1500ms")
        .variable("ROADSTEAD_DNSLINK__SERVERS", "192.0.2.1, https://192.0.2.2/dns-query")
        .variable("ROADSTEAD_FEDERATION__KUBO__API", "/ip4/192.0.2.1/tcp/5001")
        .variable("ROADSTEAD_MANIFESTS__ALLOW_SPARSE_INDEXES", "true")
        .variable("ROADSTEAD_LOG__FORMAT", "json")
        .settings();
    assert_eq!(settings.server.data, Path::new("/srv/data"));
    assert_eq!(settings.server.external_url.unwrap().as_str(), "https://registry.example.com");
    assert_eq!(settings.server.local_namespaces, ["docker.io", "ghcr.io"]);
    assert_eq!(settings.server.shutdown_grace, Duration::ZERO);
    assert_eq!(settings.server.request_timeout, Duration::from_millis(1500));
    let (host, path) = ("192.0.2.2".to_owned(), "/dns-query".to_owned());
    let plain = DnsServer::Plain("192.0.2.1:53".parse().unwrap());
    assert_eq!(settings.dnslink.servers, [plain, DnsServer::Https { host, port: 443, path }]);
    let node = FederationNode::At("http://192.0.2.1:5001".parse().unwrap());
    assert_eq!(settings.federation.kubo.node, node);
    assert!(settings.manifests.allow_sparse_indexes);
    assert_eq!(settings.log.format, LogFormat::Json);
}

#[test]
fn a_file_may_use_numbers_and_lists_of_toml() {
    let settings = Given::nothing()
        .file("server = { local_namespaces = ['docker.io'] }\nuploads.purge_interval = 90\n")
        .settings();
    assert_eq!(settings.server.local_namespaces, ["docker.io"]);
    assert_eq!(settings.uploads.purge_interval, Duration::from_secs(90));
}

#[test]
fn the_environment_may_name_the_file_and_the_flag_goes_before_it() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("other.toml");
    fs::write(&path, "log.level = 'debug'").unwrap();
    let given = Given::nothing().variable("ROADSTEAD_CONFIG", path.as_os_str());
    assert_eq!(given.settings().log.level, "debug");
    assert_eq!(given.file("log.level = 'warn'").settings().log.level, "warn");
    let nameless = Given::nothing().variable("ROADSTEAD_CONFIG", "");
    assert_eq!(nameless.settings().log.level, "info");
}

#[test]
fn an_unknown_setting_in_a_file_is_refused_with_the_nearest_name() {
    for (text, name, nearest) in [
        ("[server]\nlisen = '127.0.0.1:1'", "server.lisen", "`server.listen`"),
        ("listen = '127.0.0.1:1'", "listen", "`server.listen`"),
        ("[colours]\n", "colours", "--defaults"),
        ("server = 5", "server", ""),
        ("[server.listen]\nport = 5", "server.listen.port", ""),
    ] {
        let (refused, hint) = Given::nothing().file(text).unknown();
        assert_eq!(refused, name, "{text}");
        assert!(hint.contains(nearest), "{text}: {hint}");
    }
}

#[test]
fn an_empty_section_is_no_setting() {
    assert_eq!(Given::nothing().file("[server]\n[log]\n").settings().log.level, "info");
}

#[test]
fn an_unknown_variable_is_refused_with_the_nearest_name() {
    for (name, meant) in [
        ("ROADSTEAD_SERVER__LISEN", "ROADSTEAD_SERVER__LISTEN"),
        ("ROADSTEAD_SERVER_LISTEN", "ROADSTEAD_SERVER__LISTEN"),
        ("ROADSTEAD__SERVER__LISTEN", "ROADSTEAD_SERVER__LISTEN"),
        ("ROADSTEAD_CONFG", "ROADSTEAD_CONFIG"),
        ("ROADSTEAD_INDEX_URL_FILE", "ROADSTEAD_INDEX__URL_FILE"),
        // It is no secret.
        ("ROADSTEAD_SERVER__LISTEN_FILE", ""),
    ] {
        let (refused, hint) = Given::nothing().variable(name, "x").unknown();
        assert_eq!(refused, name);
        assert!(hint.contains(meant), "{name}: {hint}");
    }
}

#[test]
fn variables_of_others_are_passed_over() {
    let given = Given::nothing()
        .variable("PATH", "/bin")
        .variable("ROADSTEADX", "x")
        .variable("ROADSTEAD_TEST_POSTGRES", "x")
        .variable("ROADSTEAD_BIN", "x")
        .variable("ROADSTEAD_TOOLS", "x")
        .variable("ROADSTEAD_CONFORMANCE", "x")
        .variable("ROADSTEAD_SERVICE_HOST", "10.0.0.1")
        .variable("ROADSTEAD_PORT_5000_TCP_ADDR", "10.0.0.1");
    assert_eq!(given.settings().server.listen.port(), 5000);
}

#[test]
fn a_bad_value_is_refused_with_its_origin_and_what_would_be_right() {
    let given = Given::nothing().variable("ROADSTEAD_SERVER__LISTEN", "nonsense");
    let variable = Origin::Variable("ROADSTEAD_SERVER__LISTEN".to_owned());
    assert_eq!(given.bad_value(), ("server.listen", "nonsense".to_owned(), variable));
    let given = Given::nothing().file("[server]\nlisten = 5000");
    let file = Origin::File(given.path("roadstead.toml"));
    assert_eq!(given.bad_value(), ("server.listen", "5000".to_owned(), file));
    let given = Given::nothing().flag("--data", "server.data", "");
    assert_eq!(given.bad_value(), ("server.data", String::new(), Origin::Flag("--data")));
    let row = SETTINGS.iter().find(|row| row.name == "server.data").unwrap();
    assert!(given.refusal().to_string().contains(row.expects));
}

#[test]
fn every_setting_refuses_nonsense() {
    for (name, values) in [
        ("server.listen", &["'localhost:5000'", "'127.0.0.1'", "''", "[]", "{}"][..]),
        ("server.data", &["''", "5"]),
        ("server.external_url", &["'registry.example.com'", "'https://a/b'", "'ftp://a'"]),
        (
            "server.hosts",
            &["['a/b']", "['registry.test:5000']", "['']", "['http://a']", "['a,b']", "5"],
        ),
        ("server.trusted_proxies", &["['proxy']", "['10.0.0.0/33']", "['10.0.0.1:80']", "5"]),
        ("server.limits.requests_per_connection", &["0", "-1", "1000001", "'many'"]),
        ("server.limits.transfers", &["0", "-1"]),
        ("server.limits.transfers_per_client", &["0", "1.5"]),
        ("server.limits.connections", &["0", "true"]),
        ("server.limits.connections_per_client", &["0", "[]"]),
        ("server.limits.pulls", &["'100'", "'0/1h'", "'100/0s'", "'-1/1h'", "'100/32d'", "5"]),
        ("server.limits.anonymous_pulls", &["'many'", "'1/2/3h'", "'+1/1h'"]),
        ("server.limits.pushes", &["'/1h'", "'1/'", "'5000000000/1h'"]),
        ("server.limits.send_timeout", &["'0s'", "'25h'", "'soon'"]),
        ("server.local_namespaces", &["['a/b']", "['UPPER']", "[1]", "5"]),
        ("server.shutdown_grace", &["'soon'", "-1", "1.5", "true"]),
        ("server.request_timeout", &["'0s'", "0", "''"]),
        ("storage.driver", &["'floppy'", "''", "1"]),
        ("index.url", &["'mysql://a'", "'sqlite:'", "5"]),
        ("index.postgres.max_connections", &["0", "1", "10001", "-1", "'ten'", "5000000000"]),
        ("index.postgres.acquire_timeout", &["'0s'", "''", "'25h'", "-1"]),
        ("index.postgres.statement_timeout", &["'0s'", "0", "'30d'", "'1h30m'"]),
        ("dnslink.servers", &["'dns.example'", "['192.0.2.1', '']", "'http://192.0.2.1/'", "5"]),
        ("dnslink.dnssec", &["'yes'", "1"]),
        ("dnslink.max_new_names_per_client", &["0", "-1", "1000001", "'ten'"]),
        ("dnslink.max_new_names", &["0", "1000001"]),
        ("dnslink.trust_anchors", &["5", "[]"]),
        ("dnslink.https_authority", &["5", "[]"]),
        ("dnslink.ttl_floor", &["'0s'", "0", "'2h'", "'soon'"]),
        ("dnslink.ttl_ceiling", &["'8d'", "-1", "''"]),
        ("dnslink.stale_for", &["'400d'", "'1 day'"]),
        ("dnslink.allow_private_addresses", &["'yes'", "1"]),
        ("federation.anonymous", &["'all'", "'Any'", "true", "[]"]),
        ("federation.cache_files", &["0", "'many'", "-1"]),
        ("federation.cache_root_percent", &["0", "101", "'half'"]),
        ("federation.max_reads", &["0", "-1", "10001", "'ten'"]),
        ("federation.max_reads_per_root", &["0", "10001", "true"]),
        ("federation.fetch_ahead_bytes", &["-1", "'64m'", "true"]),
        ("federation.max_read_bytes", &["0", "8388607", "'64m'"]),
        ("federation.kubo.api", &["'kubo:5001'", "'off'", "'ftp://127.0.0.1'", "5"]),
        ("federation.kubo.keep_peers", &["'0s'", "0", "''", "'soon'"]),
        ("auth.method", &["'none'", "''"]),
        ("auth.sign_ins.waiting", &["0", "10001", "'many'"]),
        ("auth.sign_ins.per_client", &["0", "-1"]),
        ("auth.sign_ins.wrong_passwords", &["0", "1.5"]),
        ("auth.sign_ins.longest_pause", &["'0s'", "'11m'"]),
        ("auth.workloads", &["'x'", "5", "['x']", "{}"]),
        ("auth.workload_session", &["'0s'", "'59s'", "'25h'", "'soon'"]),
        ("auth.token_lifetime", &["'59s'", "'0s'", "'25h'", "'soon'"]),
        ("auth.htpasswd.file", &["5", "[]"]),
        ("auth.token.realm", &["'auth.example.com'", "'ftp://a'", "'https://a/\"'", "5"]),
        ("auth.token.service", &["'a\"b'", "'a\\b'", "5"]),
        ("auth.token.issuer", &["5", "[]"]),
        ("auth.token.jwks_file", &["5", "[]"]),
        ("auth.token.jwks_url", &["'a'", "'http://a/keys'", "5"]),
        ("auth.token.ca_file", &["5", "[]"]),
        ("auth.token.allow_private_addresses", &["'yes'", "1"]),
        ("auth.htpasswd.anonymous_pull", &["'yes'", "1"]),
        ("server.tls.certificate", &["5", "true"]),
        ("server.tls.key", &["5", "[]"]),
        ("auth.allow_open", &["'yes'", "1", "''"]),
        ("publish.domain", &["'localhost'", "'a b.example'", "'a/b.c'", "5"]),
        ("publish.provider", &["'route53'", "1"]),
        ("publish.debounce", &["'0s'", "''", "-1"]),
        ("publish.ttl", &["'0s'", "'100ms'", "'25h'", "'soon'"]),
        ("publish.keep", &["'0s'", "'400d'"]),
        (
            "publish.hint",
            &["['registry.example.com']", "['/ip4/192.0.2.1']", "['/a/b/c/d\"']", "5"],
        ),
        ("publish.servers", &["['ns 1']", "['192.0.2.1:0']", "['']"]),
        ("publish.rfc2136.server", &["'0.0.0.0'", "'192.0.2.1:70000'", "'a..b'", "[]"]),
        ("publish.rfc2136.zone", &["'a b'", "'a..b'"]),
        ("publish.rfc2136.key_name", &["'a b'", "'.'"]),
        ("publish.rfc2136.key_algorithm", &["'hmac-md5'", "''"]),
        ("publish.rfc2136.key_secret", &["'not base64!'", "'abc'"]),
        ("publish.cloudflare.token", &["'a b'", "5"]),
        ("publish.cloudflare.zone", &["'example'", "'a b'"]),
        ("publish.cloudflare.zone_id", &["'a-b'", "'a/b'"]),
        ("publish.cloudflare.api", &["''", "'ftp://a'", "'https://a/?b'"]),
        ("publish.exec.command", &["['']", "5"]),
        ("publish.exec.timeout", &["'0s'", "''"]),
        ("uploads.expire_after", &["'0'", "'7 days'"]),
        ("uploads.idle_timeout", &["0", "'-1s'"]),
        ("manifests.max_memory", &["0", "4194303", "'64 MiB'"]),
        ("uploads.max_bytes", &["0", "'100 GB'", "-1"]),
        ("uploads.purge_interval", &["0", "'1h30m'"]),
        ("manifests.max_bytes", &["0", "-1", "'4MiB'", "1.5"]),
        ("manifests.allow_sparse_indexes", &["'si'", "0"]),
        ("audit.keep", &["0", "'90 days'"]),
        ("log.format", &["'xml'", "''"]),
        ("log.level", &["'loud'", "''", "'roadstead=loud'"]),
    ] {
        assert_refuses(name, values);
    }
}

#[test]
fn settings_of_accounts_refuse_nonsense() {
    for (name, values) in [
        ("auth.accounts.admin", &["''", "5"][..]),
        ("auth.accounts.default_visibility", &["'secret'", "''"]),
        ("auth.accounts.create", &["'everyone'", "''"]),
        ("auth.accounts.token_algorithm", &["'HS256'", "'none'", "'eddsa'"]),
        ("auth.accounts.key_rotation", &["'23h'", "'0s'", "'3651d'", "'never'"]),
    ] {
        assert_refuses(name, values);
    }
}

fn assert_refuses(name: &str, values: &[&str]) {
    for value in values {
        let (refused, ..) = Given::nothing().file(&format!("{name} = {value}")).bad_value();
        assert_eq!(refused, name, "{value}");
    }
}

/// In upper case, in Unicode and with a dot at its end a domain is the same (RFC 4343, RFC 5891).
#[test]
fn a_domain_is_read_however_it_is_written() {
    for written in
        ["bücher.example", "BÜCHER.Example.", "XN--BCHER-KVA.example", "xn--bcher-kva.example."]
    {
        let expected = "xn--bcher-kva.example";
        let text = format!(
            "server.domains = ['{written}']\nserver.hosts = ['{written}']\nserver.local_namespaces = ['{written}']\n\
             federation.domains = ['{written}']\nfederation.hosts = ['{written}']\n\
             publish.domain = '{written}'\npublish.provider = 'rfc2136'\npublish.servers = ['ns.{written}']\n\
             publish.rfc2136.server = '{written}'\npublish.rfc2136.zone = '{written}'\n\
             publish.rfc2136.key_name = 'key.'\npublish.rfc2136.key_secret = 'YWJj'\n\
             publish.cloudflare.zone = '{written}'\n"
        );
        let Settings { server, federation, publish, .. } = Given::nothing().file(&text).settings();
        let lists = [server.domains, server.local_namespaces, federation.domains, federation.hosts];
        for list in lists {
            assert_eq!(list, [expected], "{written}");
        }
        assert_eq!(server.hosts[0].to_ascii_lowercase(), expected, "{written}");
        assert_eq!(
            (&*publish.domain, &*publish.cloudflare.zone),
            (expected, expected),
            "{written}"
        );
        for name in [&publish.rfc2136.zone, &publish.rfc2136.server.host] {
            assert_eq!(name.to_ascii_lowercase(), expected, "{written}");
        }
        let server = publish.servers[0].host.to_ascii_lowercase();
        assert_eq!(server, format!("ns.{expected}"), "{written}");
        assert_eq!(publish.rfc2136.key_name, "key");
    }
}

#[cfg(unix)]
#[test]
fn a_value_that_is_not_unicode_is_refused() {
    use std::os::unix::ffi::OsStringExt;
    let path = OsString::from_vec(vec![b'/', 0xff]);
    let given = Given::nothing().variable("ROADSTEAD_SERVER__DATA", path);
    assert_eq!(given.bad_value().0, "server.data");
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_refused_with_its_line() {
    let mut given = Given::nothing();
    given.sources.file = Some(given.path("missing.toml"));
    assert!(matches!(given.refusal(), SettingsError::Unreadable { .. }));

    match Given::nothing().file("[server]\nlisten = 127.0.0.1\n").refusal() {
        SettingsError::NotToml { message, .. } => {
            assert!(message.contains("line 2") && message.lines().count() == 1, "{message}");
        }
        other => panic!("{other}"),
    }
}

#[test]
fn open_access_for_other_machines_has_to_be_allowed() {
    let exposed = || Given::nothing().file("server.listen = '0.0.0.0:5000'");
    assert!(matches!(exposed().refusal(), SettingsError::Exposed { .. }));
    let allowed = exposed().variable("ROADSTEAD_AUTH__ALLOW_OPEN", "true");
    assert_eq!(allowed.settings().server.listen, "0.0.0.0:5000".parse().unwrap());
    for local in ["127.0.0.2:0", "[::1]:5000", "[::ffff:127.0.0.1]:5000"] {
        let given = Given::nothing().variable("ROADSTEAD_SERVER__LISTEN", local);
        assert_eq!(given.settings().server.listen, local.parse().unwrap());
    }
}

#[test]
fn anonymous_clients_are_bounded_by_default_where_others_reach_the_port() {
    let open = "auth.allow_open = true";
    for (listen, domains, given, expected) in [
        ("127.0.0.1:5000", "[]", "", AnonymousAccess::Any),
        ("127.0.0.2:5000", "['a.test']", "", AnonymousAccess::Any),
        ("[::1]:5000", "[]", "", AnonymousAccess::Any),
        ("[::ffff:127.0.0.1]:5000", "[]", "", AnonymousAccess::Any),
        ("0.0.0.0:5000", "[]", "", AnonymousAccess::Cached),
        ("[::]:5000", "[]", "", AnonymousAccess::Cached),
        ("192.0.2.1:5000", "['a.test']", "", AnonymousAccess::Listed),
        ("0.0.0.0:5000", "['a.test']", "any", AnonymousAccess::Any),
        ("0.0.0.0:5000", "[]", "none", AnonymousAccess::None),
        ("127.0.0.1:5000", "[]", "listed", AnonymousAccess::Listed),
        ("127.0.0.1:5000", "[]", "cached", AnonymousAccess::Cached),
    ] {
        let text = format!(
            "server.listen = '{listen}'\n{open}\nfederation.domains = {domains}\n\
             federation.anonymous = '{given}'"
        );
        let settings = Given::nothing().file(&text).settings();
        assert_eq!(settings.anonymous_access(), expected, "{text}");
    }
}

/// Settings that publish, with these beside them.
fn publishing(text: &str) -> Given {
    let publish = "publish = { domain = 'a.test', provider = 'exec', exec.command = ['publish'] }";
    Given::nothing().file(&format!("{publish}\n{text}"))
}

#[test]
fn what_strangers_push_is_never_published() {
    let open = "server.listen = '0.0.0.0:5000'\nauth.allow_open = true";
    assert!(matches!(publishing(open).refusal(), SettingsError::AnybodyPublishes { .. }));
    assert_eq!(publishing("").settings().publish.domain, "a.test");
    let users = "server.listen = '0.0.0.0:5000'\nauth.method = 'htpasswd'\n\
                 auth.htpasswd = { file = 'users', anonymous_pull = true }";
    assert_eq!(publishing(users).settings().publish.provider, "exec");
}

#[test]
fn what_clients_have_to_sign_in_for_is_never_published() {
    let refusal = publishing("auth = { method = 'htpasswd', htpasswd.file = 'users' }").refusal();
    assert!(matches!(refusal, SettingsError::PublishesSecrets), "{refusal}");
}

#[test]
fn the_zone_is_that_of_the_domain_unless_another_is_given() {
    let zone = |more: &str| {
        let text = format!(
            "[publish]\ndomain = 'a.example.com'\nprovider = 'rfc2136'\n[publish.rfc2136]\n\
             server = 'ns'\nkey_name = 'key'\nkey_secret = 'c2VjcmV0'\n{more}"
        );
        Given::nothing().file(&text).settings().publish.rfc2136.zone
    };
    assert_eq!(zone(""), "a.example.com");
    assert_eq!(zone("zone = 'example.com'"), "example.com");
}

#[test]
fn users_in_a_file_may_be_offered_to_other_machines() {
    let given = Given::nothing().file(
        "server.listen = '0.0.0.0:5000'\nauth.method = 'htpasswd'\nauth.htpasswd.file = 'users'",
    );
    assert_eq!(given.settings().auth.method, "htpasswd");
}

#[test]
fn a_setting_that_is_of_no_use_without_another_is_refused() {
    for (text, given, missing) in [
        ("auth.method = 'htpasswd'", "auth.method = \"htpasswd\"", "auth.htpasswd.file"),
        ("auth.method = 'token'", "auth.method = \"token\"", "auth.token.realm"),
        (
            "auth.method = 'token'\nauth.token.realm = 'https://a/t'\nauth.token.service = 'r'\n\
             auth.token.issuer = 'a'",
            "auth.method = \"token\"",
            "auth.token.jwks_file",
        ),
        ("server.tls.key = 'key.pem'", "server.tls.key", "server.tls.certificate"),
        ("server.tls.certificate = 'a.pem'", "server.tls.certificate", "server.tls.key"),
        ("publish.domain = 'a.test'", "publish.domain", "publish.provider"),
        ("publish.provider = 'exec'", "publish.provider", "publish.domain"),
        (
            "publish = { domain = 'a.test', provider = 'rfc2136' }",
            "publish.provider = \"rfc2136\"",
            "publish.rfc2136.server",
        ),
        (
            "publish = { domain = 'a.test', provider = 'rfc2136', rfc2136 = { server = '192.0.2.1', \
             key_name = 'a' } }",
            "publish.provider = \"rfc2136\"",
            "publish.rfc2136.key_secret",
        ),
        (
            "publish = { domain = 'a.test', provider = 'cloudflare' }",
            "publish.provider = \"cloudflare\"",
            "publish.cloudflare.token",
        ),
        (
            "publish = { domain = 'a.test', provider = 'exec' }",
            "publish.provider = \"exec\"",
            "publish.exec.command",
        ),
    ] {
        match Given::nothing().file(text).refusal() {
            SettingsError::Needs { given: refused, missing: needed } => {
                assert_eq!((refused, needed), (given, missing));
            }
            other => panic!("{text}: {other}"),
        }
    }
}

#[test]
fn a_secret_may_be_given_as_a_file() {
    let given = Given::nothing();
    let path = given.path("secret");
    fs::write(&path, "postgres://registry:hunter2@db/registry\n").unwrap();
    let given = given.variable("ROADSTEAD_INDEX__URL_FILE", path);
    let url = given.settings().index.url;
    assert_eq!(url.expose_secret(), "postgres://registry:hunter2@db/registry");

    let twice = given.variable("ROADSTEAD_INDEX__URL", "sqlite:other");
    assert!(matches!(twice.refusal(), SettingsError::Twice { .. }));
    let missing = Given::nothing().variable("ROADSTEAD_INDEX__URL_FILE", "/nowhere/secret");
    assert!(matches!(missing.refusal(), SettingsError::UnreadableSecret { .. }));
}

#[test]
fn an_index_that_is_left_empty_is_the_default_one() {
    let given = Given::nothing().file("index.url = 'postgres://db/registry'");
    assert_eq!(given.settings().index.url.expose_secret(), "postgres://db/registry");
    let given = given.variable("ROADSTEAD_INDEX__URL", "");
    assert_eq!(given.settings().index.url.expose_secret(), "sqlite:index.sqlite");
    assert_eq!(given.origin("index.url"), Origin::Default);
}

#[test]
fn no_secret_is_ever_shown() {
    let given = Given::nothing().file("index.url = 'postgres://registry:hunter2@db/registry'");
    let values = Values::gather(&given.sources).unwrap();
    let shown: Vec<String> = values.iter().map(|row| row.value.to_string()).collect();
    assert!(shown.contains(&r#""postgres://***""#.to_owned()), "{shown:?}");
    let bad = Given::nothing().variable("ROADSTEAD_INDEX__URL", "mysql://registry:hunter2@db");
    let token = Given::nothing().variable("ROADSTEAD_PUBLISH__CLOUDFLARE__TOKEN", "hunter2");
    for text in [
        format!("{:?} {:?}", token.settings(), Values::gather(&token.sources)),
        format!("{values:?}{shown:?}"),
        format!("{:?}", given.settings()),
        format!("{} {:?}", bad.refusal(), Settings::load(&bad.sources)),
    ] {
        assert!(!text.contains("hunter2"), "{text}");
    }
}

#[test]
fn workloads_are_given_as_tables_or_as_json() {
    let file = "[[auth.workloads]]\nissuer = 'https://ci.example'\naudience = 'registry'\nrole = 'writer'\n\
        pattern = 'org/**'\nclaims = { Project_id = '7', 'a.b/c' = ['x', 'y'] }\n";
    let given = Given::nothing().file(file);
    let [rule] = &given.settings().auth.workloads[..] else { panic!() };
    assert_eq!(rule.claims["a.b/c"], ["x", "y"]);
    assert_eq!(
        (rule.claims["Project_id"].as_slice(), rule.role),
        (&["7".to_owned()][..], "writer")
    );
    let json = r#"[{"issuer":"https://ci.example","audience":"registry","role":"writer","pattern":"org/**",
        "claims":{"Project_id":"7","a.b/c":["x","y"]}}]"#;
    let same = Given::nothing().variable("ROADSTEAD_AUTH__WORKLOADS", json).settings();
    assert_eq!(same.auth.workloads, given.settings().auth.workloads);
    // What is printed can be read again.
    let path = given.path("roadstead.toml");
    let output = roadstead(&["config", "--config", path.to_str().unwrap()], &[]);
    let again = Given::nothing().file(text(&output.stdout)).settings();
    assert_eq!(again.auth.workloads, same.auth.workloads);
}

#[test]
fn rows_of_one_concern_stand_together_and_each_name_once() {
    let mut sections: Vec<&str> = SETTINGS
        .iter()
        .map(|row| row.name.rsplit_once('.').map_or("", |(section, _)| section))
        .collect();
    sections.dedup();
    let mut names: Vec<&str> = SETTINGS.iter().map(|row| row.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), SETTINGS.len());
    let count = sections.len();
    sections.sort_unstable();
    sections.dedup();
    assert_eq!(sections.len(), count);
}

#[test]
fn what_may_be_chosen_is_what_there_is() {
    let methods: Vec<&str> = METHODS.iter().map(|row| row.name).collect();
    let drivers: Vec<&str> = DRIVERS.iter().map(|row| row.name).collect();
    for (name, rows) in [("auth.method", methods), ("storage.driver", drivers)] {
        let setting = SETTINGS.iter().find(|row| row.name == name).unwrap();
        let Kind::Choice(choices) = setting.kind else { panic!("{name} is no choice") };
        assert_eq!(choices, rows, "{name}");
        assert_eq!(setting.expects, rows.join(" or "), "{name}");
    }
    let providers: Vec<&str> = PROVIDERS.iter().map(|row| row.name).collect();
    let setting = SETTINGS.iter().find(|row| row.name == "publish.provider").unwrap();
    assert_eq!(setting.kind, Kind::Choice(&["", "rfc2136", "cloudflare", "exec"]));
    assert_eq!(providers, ["rfc2136", "cloudflare", "exec"]);
}

/// Runs the binary with these arguments and nothing else in its environment.
fn roadstead(arguments: &[&str], environment: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_roadstead"))
        .args(arguments)
        .env_clear()
        .envs(environment.iter().copied())
        .current_dir(root())
        .output()
        .unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

#[test]
fn the_file_in_config_has_every_setting_and_its_default() {
    let output = roadstead(&["config", "--defaults"], &[]);
    let path = root().join("config/roadstead.toml");
    assert_eq!(
        fs::read_to_string(&path).unwrap(),
        text(&output.stdout),
        "run: roadstead config --defaults > config/roadstead.toml"
    );

    let file = fs::read_to_string(&path).unwrap();
    let is_setting = |line: &&str| !line.starts_with("# ") && !line.is_empty();
    let lines = file.lines().filter(is_setting).map(|line| line.trim_start_matches('#'));
    let uncommented: Vec<&str> = lines.collect();
    let given = Given::nothing().file(&uncommented.join("\n"));
    assert_eq!(format!("{:?}", given.settings()), format!("{:?}", Settings::default()));
    // A secret that is left empty is none.
    for row in SETTINGS.iter().filter(|row| row.kind != Kind::Secret) {
        assert_eq!(given.origin(row.name), Origin::File(given.path("roadstead.toml")));
    }
}

#[test]
fn the_files_in_config_and_examples_are_good_settings() {
    let mut count = 0;
    for folder in ["config", "examples"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "toml") {
                let sources = Sources { file: Some(path), ..Sources::default() };
                Settings::load(&sources).unwrap_or_else(|error| panic!("{error}"));
                count += 1;
            }
        }
    }
    assert!(count >= 3, "only {count} files");
}

#[test]
fn the_settings_in_the_page_about_publishing_are_good() {
    let page = fs::read_to_string(root().join("docs/PUBLISHING.md")).unwrap();
    let blocks: Vec<&str> =
        page.split("```toml\n").skip(1).map(|rest| rest.split_once("```").unwrap().0).collect();
    let providers = blocks.iter().map(|block| {
        let given = Given::nothing().file(&block.replace('…', "c2VjcmV0"));
        given.settings().publish.provider
    });
    assert_eq!(providers.collect::<Vec<_>>(), ["rfc2136", "cloudflare", "exec"]);
}

#[test]
fn the_settings_in_force_are_printed_with_their_origins() {
    let output = roadstead(
        &["config", "--config", "examples/team.toml", "--data", "elsewhere"],
        &[("ROADSTEAD_INDEX__URL", "postgres://registry:hunter2@db/registry")],
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let printed = text(&output.stdout);
    for line in [
        "[server]",
        r#"listen = "192.168.1.10:5000"  # in examples/team.toml"#,
        r#"data = "elsewhere"  # from the flag --data"#,
        r#"url = "postgres://***"  # from the environment variable ROADSTEAD_INDEX__URL"#,
        "max_bytes = 4194304",
        "local_namespaces = []",
    ] {
        assert!(printed.lines().any(|printed| printed == line), "{line}\nis not in\n{printed}");
    }
    let again = Given::nothing().file(&printed.replace("***", "db/registry"));
    assert_eq!(again.settings().uploads.expire_after, Duration::from_hours(48));
}

#[test]
fn the_settings_in_effect_are_json_on_request() {
    let output = roadstead(&["config", "--json"], &[("ROADSTEAD_LOG__LEVEL", "debug")]);
    let printed: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(printed["log.level"]["value"], "debug");
    assert_eq!(printed["log.level"]["source"]["variable"], "ROADSTEAD_LOG__LEVEL");
    assert_eq!(printed["manifests.max_bytes"]["value"], 4_194_304);
    assert_eq!(printed["manifests.max_bytes"]["source"], "default");
    assert_eq!(printed.as_object().unwrap().len(), SETTINGS.len());
}

#[test]
fn wrong_settings_and_wrong_usage_exit_with_2() {
    let wrong = [("ROADSTEAD_SERVER__LISTEN", "nonsense")];
    for (arguments, environment) in [
        (&["config"][..], &wrong[..]),
        (&["config", "--config", "missing.toml"], &[]),
        (&[], &[]),
        (&["sail"], &[]),
        (&["config", "--colour"], &[]),
        (&["config", "--config"], &[]),
    ] {
        let output = roadstead(arguments, environment);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{arguments:?}");
    }
    assert!(text(&roadstead(&["config"], &wrong).stderr).contains("`server.listen`"));
}

#[cfg(unix)]
#[test]
fn a_reader_that_goes_away_is_no_failure() {
    use std::process::Stdio;
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = Command::new(env!("CARGO_BIN_EXE_roadstead"))
        .arg("config")
        .env_clear()
        .stdout(writer)
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), ""));
}
