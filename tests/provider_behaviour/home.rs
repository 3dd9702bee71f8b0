//! A zone for one case, and providers that write to it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use libtest_mimic::Failed;
use roadstead::config::{Settings, Sources};
use roadstead::dnslink::{Provider, ProviderKind, PublishErrorKind};
use tempfile::TempDir;

use crate::bind::KEY;
use crate::cases::change;
use crate::cloud::{Cloud, TOKEN};
use crate::lossy::Lossy;
use crate::servers::{Kind, Server};
use crate::{Case, tools};

/// The domain, which is a zone of its own.
pub(crate) const DOMAIN: &str = "publisher.test";

/// The name of its records.
pub(crate) const NAME: &str = "_dnslink.publisher.test";

/// A secret that the name server does not have.
const OTHER_SECRET: &str = "YW5vdGhlci10ZXN0LW9ubHktbm90LWEtc2VjcmV0MDE=";

/// A provider under test, and where it writes to.
pub(crate) struct Subject {
    kind: &'static ProviderKind,
    backend: Backend,
    pub(crate) folder: TempDir,
}

enum Backend {
    Name { dns: Server, proxy: Lossy },
    Cloud(Cloud),
}

/// Tells whether cases can run on that provider, with that name server.
pub(crate) fn is_possible(name: &str, server: Kind) -> bool {
    name == "cloudflare" || server.tools().iter().all(|tool| tools::has(tool))
}

impl Subject {
    pub(crate) fn new(kind: &'static ProviderKind, server: Kind) -> Result<Self, Failed> {
        let backend = if kind.name == "cloudflare" {
            Backend::Cloud(Cloud::start())
        } else {
            let dns = Server::start(server, DOMAIN).ok_or("there is no name server")?;
            Backend::Name { proxy: Lossy::start(dns.address()), dns }
        };
        Ok(Self { kind, backend, folder: TempDir::new()? })
    }

    /// The server of the API, which only one provider has.
    pub(crate) fn cloud(&self) -> &Cloud {
        match &self.backend {
            Backend::Cloud(cloud) => cloud,
            Backend::Name { .. } => panic!("it has a name server"),
        }
    }

    /// Opens the provider as an operator sets it up.
    pub(crate) fn open(&self) -> Arc<dyn Provider> {
        self.open_with(KEY[0], KEY[2], TOKEN)
    }

    /// Opens it with keys that are not right: another secret, and another name.
    pub(crate) fn open_as_strangers(&self) -> Vec<Arc<dyn Provider>> {
        vec![
            self.open_with(KEY[0], OTHER_SECRET, "another-token"),
            self.open_with("nobody", KEY[2], "another-token"),
        ]
    }

    fn open_with(&self, key: &str, secret: &str, token: &str) -> Arc<dyn Provider> {
        self.open_by(self.values(key, secret, token))
    }

    fn values(&self, key: &str, secret: &str, token: &str) -> Vec<(&'static str, String)> {
        let mut values = match &self.backend {
            Backend::Cloud(cloud) => vec![
                ("PUBLISH__CLOUDFLARE__API", cloud.url()),
                ("PUBLISH__CLOUDFLARE__TOKEN", token.to_owned()),
            ],
            Backend::Name { proxy, .. } if self.kind.name == "rfc2136" => vec![
                ("PUBLISH__RFC2136__SERVER", proxy.address()),
                ("PUBLISH__RFC2136__KEY_NAME", key.to_owned()),
                ("PUBLISH__RFC2136__KEY_ALGORITHM", KEY[1].to_owned()),
                ("PUBLISH__RFC2136__KEY_SECRET", secret.to_owned()),
            ],
            Backend::Name { dns, .. } => {
                let address = dns.address();
                let (address, port) = address.split_once(':').unwrap();
                let command =
                    [self.program(), address.to_owned(), port.to_owned(), self.key(key, secret)];
                vec![("PUBLISH__EXEC__COMMAND", command.join(","))]
            }
        };
        values.push(("PUBLISH__DOMAIN", DOMAIN.to_owned()));
        values.push(("PUBLISH__PROVIDER", self.kind.name.to_owned()));
        values
    }

    fn open_by(&self, values: Vec<(&str, String)>) -> Arc<dyn Provider> {
        let environment = values
            .into_iter()
            .map(|(name, value)| (format!("ROADSTEAD_{name}").into(), value.into()))
            .collect();
        let settings = Settings::load(&Sources { environment, ..Sources::default() }).unwrap();
        (self.kind.open)(&settings.publish).unwrap()
    }

    /// The program of the examples, which a case can have fail after it has done its work.
    fn program(&self) -> String {
        let example = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/publish-by-nsupdate");
        let loses = self.folder.path().join("loses");
        let text = format!(
            "\"{example}\" \"$@\" || exit $?\nif [ -e \"{}\" ]; then echo lost >&2; exit 1; fi\n",
            loses.display()
        );
        self.script("publish", &text).display().to_string()
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        if !path.exists() {
            fs::write(&path, format!("#!/bin/sh\n{text}")).unwrap();
            fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        }
        path
    }

    fn key(&self, name: &str, secret: &str) -> String {
        let path = self.folder.path().join(format!("{name}-{}", &secret[..6]));
        let text = format!("key \"{name}\" {{ algorithm {}; secret \"{secret}\"; }};\n", KEY[1]);
        fs::write(&path, text).unwrap();
        path.display().to_string()
    }

    /// The TXT records of the name, sorted.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.texts_of(NAME)
    }

    /// The same of another name; those that a wildcard makes are among them.
    pub(crate) fn texts_of(&self, name: &str) -> Vec<String> {
        self.records_of(name).into_iter().map(|(text, _)| text).collect()
    }

    /// The TXT records of a name, sorted, with their TTLs.
    pub(crate) fn records_of(&self, name: &str) -> Vec<(String, u64)> {
        match &self.backend {
            Backend::Name { dns, .. } => dns.texts(name),
            Backend::Cloud(cloud) => cloud.texts(name),
        }
    }

    /// Tells whether the provider itself knows what is at a name.
    pub(crate) fn sees_names(&self) -> bool {
        self.kind.name == "rfc2136"
    }

    /// Tells whether there are further zones.
    pub(crate) fn has_zones(&self) -> bool {
        matches!(self.backend, Backend::Name { .. })
    }

    /// Opens the provider with more settings, as an operator sets it up.
    pub(crate) fn open_set(&self, more: &[(&'static str, &str)]) -> Arc<dyn Provider> {
        let mut values = self.values(KEY[0], KEY[2], TOKEN);
        values.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
        self.open_by(values)
    }

    /// How often the zone was changed.
    pub(crate) fn count(&self) -> u32 {
        match &self.backend {
            Backend::Name { dns, .. } => dns.serial(DOMAIN),
            Backend::Cloud(cloud) => cloud.count(),
        }
    }

    /// Adds a record as somebody else would.
    pub(crate) fn add(&self, text: &str) {
        match &self.backend {
            Backend::Name { dns, .. } => {
                dns.update(DOMAIN, &format!("update add {NAME} 1 TXT \"{text}\""));
            }
            Backend::Cloud(cloud) => cloud.add(NAME, text),
        }
    }

    /// Removes a record as somebody else would.
    pub(crate) fn remove(&self, text: &str) {
        match &self.backend {
            Backend::Name { dns, .. } => {
                dns.update(DOMAIN, &format!("update delete {NAME} TXT \"{text}\""));
            }
            Backend::Cloud(cloud) => cloud.remove(text),
        }
    }

    /// Has changes be made, and nobody be told so.
    pub(crate) fn lose_answers(&self, loses: bool) {
        match &self.backend {
            Backend::Name { proxy, .. } if self.kind.name == "rfc2136" => proxy.lose(loses),
            Backend::Name { .. } if loses => {
                fs::write(self.folder.path().join("loses"), "").unwrap();
            }
            Backend::Name { .. } => fs::remove_file(self.folder.path().join("loses")).unwrap(),
            Backend::Cloud(cloud) => cloud.lose_answers(loses),
        }
    }

    pub(crate) fn stop(&mut self) {
        match &mut self.backend {
            Backend::Name { dns, .. } => dns.stop(),
            Backend::Cloud(cloud) => cloud.set_down(true),
        }
    }

    pub(crate) fn start_again(&mut self) {
        match &mut self.backend {
            Backend::Name { dns, .. } => dns.start_again(),
            Backend::Cloud(cloud) => cloud.set_down(false),
        }
    }

    /// Tells whether of two who write at once one is told, whatever comes between.
    pub(crate) fn compares_and_swaps(&self) -> bool {
        self.kind.name == "rfc2136"
    }

    /// Opens the provider with a program of these lines.
    fn open_program(&self, text: &str, limit: &str) -> Arc<dyn Provider> {
        let program = self.script("program", text).display().to_string();
        self.open_by(vec![
            ("PUBLISH__DOMAIN", DOMAIN.to_owned()),
            ("PUBLISH__PROVIDER", "exec".to_owned()),
            ("PUBLISH__EXEC__COMMAND", format!("{program},a b,$HOME")),
            ("PUBLISH__EXEC__TIMEOUT", limit.to_owned()),
        ])
    }

    fn written(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(name)).unwrap_or_default()
    }
}

/// What only a program does.
pub(crate) const EXEC_ONLY: &[Case] = &[
    ("a_program_gets_the_change_and_no_secrets", |subject| {
        // Its parent's settings, of which the run of the tests has some.
        let text = "cd \"$(dirname \"$0\")\"; cat >input; env >environment; printf '%s|' \"$@\" >arguments\n";
        let provider = subject.open_program(text, "60s");
        let desired =
            change(&["dnslink=/ipfs/bafyaabakaieac", "ipfsnode=x"], &["dnslink=/ipfs/old"]);
        run(&subject, async move { provider.write(&desired).await.unwrap() });
        let input: serde_json::Value = serde_json::from_str(&subject.written("input")).unwrap();
        let expected = serde_json::json!({
            "domain": DOMAIN, "name": NAME, "ttl": 5, "force": false, "ours": ["dnslink=/ipfs/old"],
            "wanted": ["dnslink=/ipfs/bafyaabakaieac", "ipfsnode=x"],
        });
        assert_eq!(input, expected);
        assert_eq!(subject.written("arguments"), "a b|$HOME|", "no shell is between");
        let environment = subject.written("environment");
        for line in [
            "ROADSTEAD_PUBLISH_DOMAIN=publisher.test\n",
            "ROADSTEAD_PUBLISH_NAME=_dnslink.publisher.test\n",
            "ROADSTEAD_PUBLISH_WANTED=dnslink=/ipfs/bafyaabakaieac\nipfsnode=x\n",
            "ROADSTEAD_PUBLISH_OURS=dnslink=/ipfs/old\n",
            "ROADSTEAD_PUBLISH_TTL=5\n",
            "ROADSTEAD_PUBLISH_FORCE=0\n",
        ] {
            assert!(environment.contains(line), "{line} is not in {environment}");
        }
        assert!(!environment.contains("ROADSTEAD_TEST"), "{environment}");
        Ok(())
    }),
    ("a_program_is_started_however_much_was_ours", |subject| {
        let text =
            "cd \"$(dirname \"$0\")\"; cat >input; printf %s \"$ROADSTEAD_PUBLISH_OURS\" >newest\n";
        let provider = subject.open_program(text, "60s");
        let texts: Vec<String> = (0..5000).map(|n| format!("dnslink=/ipfs/{n:064}")).collect();
        let ours: Vec<&str> = texts.iter().map(String::as_str).collect();
        let desired = change(&["dnslink=/ipfs/bafyaabakaieac"], &ours);
        run(&subject, async move { provider.write(&desired).await.unwrap() });
        let input: serde_json::Value = serde_json::from_str(&subject.written("input")).unwrap();
        assert_eq!(input["ours"], serde_json::json!(texts));
        assert!(subject.written("newest").lines().eq(texts[4900..].iter()));
        Ok(())
    }),
    ("what_its_exit_code_and_its_last_words_mean_is_reported", |subject| {
        let text = "echo first >&2; echo \"the last words\" >&2; echo >&2; exit $(cat \"$(dirname \"$0\")/code\")\n";
        for (code, kind) in [
            (3, PublishErrorKind::Conflict),
            (4, PublishErrorKind::Refused),
            (1, PublishErrorKind::Failed),
        ] {
            fs::write(subject.folder.path().join("code"), code.to_string()).unwrap();
            let provider = subject.open_program(text, "60s");
            let error = run(&subject, async move { provider.write(&change(&["a"], &[])).await });
            let error = error.unwrap_err();
            assert_eq!(error.kind, kind);
            assert!(error.to_string().ends_with(": the last words"), "{error}");
        }
        Ok(())
    }),
    ("a_program_that_takes_too_long_is_killed_with_all_that_it_has_started", |subject| {
        let text = "cd \"$(dirname \"$0\")\"; sleep 1000 & echo $! >child; echo $$ >self; wait\n";
        // Within the limit it has to have begun, which takes longer where much else runs.
        let has_begun = ["1s", "5s", "30s"].into_iter().any(|limit| {
            let provider = subject.open_program(text, limit);
            let error = run(&subject, async move { provider.write(&change(&["a"], &[])).await });
            assert_eq!(error.unwrap_err().kind, PublishErrorKind::Unavailable);
            ["self", "child"].into_iter().all(|name| subject.written(name).ends_with('\n'))
        });
        assert!(has_begun);
        for name in ["self", "child"] {
            let id = subject.written(name);
            let is_gone = || {
                let stat = fs::read_to_string(format!("/proc/{}/stat", id.trim()));
                // What nobody has waited for yet is as good as gone.
                stat.map_or(true, |stat| stat.contains(") Z "))
            };
            let begun = Instant::now();
            while !is_gone() {
                assert!(begun.elapsed() < Duration::from_secs(20), "{name} goes on");
                std::thread::sleep(Duration::from_millis(10));
            }
        }
        Ok(())
    }),
    ("a_program_that_is_not_there_is_reported", |subject| {
        let provider = subject.open_by(vec![
            ("PUBLISH__DOMAIN", DOMAIN.to_owned()),
            ("PUBLISH__PROVIDER", "exec".to_owned()),
            ("PUBLISH__EXEC__COMMAND", "/nowhere/publish".to_owned()),
        ]);
        let error = run(&subject, async move { provider.write(&change(&["a"], &[])).await });
        let error = error.unwrap_err();
        assert_eq!(error.kind, PublishErrorKind::Failed);
        assert!(error.to_string().contains("cannot run /nowhere/publish: No such file"), "{error}");
        Ok(())
    }),
];

fn run<T>(_: &Subject, work: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().unwrap().block_on(work)
}
