//! A registry that has something of everything, and an empty folder for its copy.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;

use roadstead::oci::{Algorithm, Digest};
use tempfile::TempDir;

use crate::cli::adopt::source::{index_of, referrer_of};
use crate::cli::push;
use crate::common::{Finished, Pair, Server, http, is_over_kubo, roadstead, run, succeed};

/// A running registry, and what it answers.
pub(super) struct Original {
    pub(super) server: Server,
    pub(super) root: String,
    paths: Vec<String>,
}

/// What a client sees: status, content type and body.
pub(super) type Answers = Vec<(String, u16, String, Vec<u8>)>;

impl Original {
    /// Images of several platforms, with referrers, by sha512, nested, large, and what deletions left.
    pub(super) fn start() -> Self {
        let server = Server::start();
        let image = push::image(&server, "team/app", "v1", "layer");
        push::image(&server, "team/app", "v1", "newer");
        let large = "large".repeat(1 << 19);
        push::image(&server, "team/app/nested", "v2", &large);
        let digest = push::sha256(image.as_bytes());
        let referrer = referrer_of(&image, &image);
        let by_digest = push::sha256(referrer.as_bytes()).to_string();
        for (reference, text) in [
            ("all", index_of(&image)),
            ("outer", index_of(&index_of(&image))),
            (&by_digest, referrer),
            ("lonely", referrer_of("a subject that was never pushed", &image)),
        ] {
            assert_eq!(push::manifest(&server, "team/app", reference, &text).status, 201);
        }
        let long = Digest::of(Algorithm::Sha512, b"{}");
        let text = push::image_text(&long, &push::sha256(b"layer"));
        push::blob(&server, "long", &long, b"{}");
        push::blob(&server, "long", &push::sha256(b"layer"), b"layer");
        let name = Digest::of(Algorithm::Sha512, text.as_bytes()).to_string();
        assert_eq!(push::manifest(&server, "long", &format!("{name}?tag=v1"), &text).status, 201);
        // A deletion leaves the blobs, and their links.
        let gone = push::image(&server, "team/app", "gone", "deleted");
        let gone = push::sha256(gone.as_bytes());
        assert_eq!(push::delete(&server, &format!("/v2/team/app/manifests/{gone}")), 202);
        let paths = [
            format!("team/app/manifests/{digest}"),
            format!("team/app/referrers/{digest}"),
            format!("team/app/manifests/{gone}"),
            format!("team/app/nested/blobs/{}", push::sha256(large.as_bytes())),
            format!("long/manifests/{name}"),
            format!("long/blobs/{long}"),
        ];
        let others =
            ["v1", "all", "outer", "lonely"].map(|tag| format!("team/app/manifests/{tag}"));
        let lists =
            ["team/app/tags/list", "team/app/nested/tags/list", "long/tags/list", "_catalog"];
        let paths = paths.into_iter().chain(others).chain(lists.map(str::to_owned));
        let paths = paths.map(|path| format!("/v2/{path}")).collect();
        let root = succeed(&mut server.command(["root"]));
        Self { server, root, paths }
    }

    pub(super) fn answers(&self, server: &Server) -> Answers {
        let answer = |path: &String| {
            let answer = http::get(&server.url(path));
            (path.clone(), answer.status, answer.header("content-type").to_owned(), answer.body)
        };
        self.paths.iter().map(answer).collect()
    }

    /// What its own server answers.
    pub(super) fn expected(&self) -> Answers {
        let expected = self.answers(&self.server);
        assert_eq!(expected.iter().filter(|(_, status, ..)| *status == 404).count(), 1);
        expected
    }
}

/// An empty place.
pub(super) struct Copy {
    home: TempDir,
    pair: Option<Arc<Pair>>,
}

impl Copy {
    pub(super) fn new() -> Self {
        let pair = is_over_kubo().then(|| Arc::new(Pair::make()));
        Self { home: TempDir::new().unwrap(), pair }
    }

    pub(super) fn data(&self) -> PathBuf {
        self.home.path().join("data")
    }

    pub(super) fn home(&self) -> PathBuf {
        self.home.path().to_owned()
    }

    /// A command on it, which may ask nobody.
    pub(super) fn command(&self, words: &[&str]) -> Command {
        let mut command = roadstead(words);
        command.arg("--data").arg(self.data());
        if let Some(pair) = &self.pair {
            pair.configure(&mut command);
        }
        command
    }

    /// `roadstead restore --from` with that gateway.
    pub(super) fn restoring(&self, from: &str, gateway: &str) -> Command {
        let mut command = self.command(&["restore", "--from", from]);
        command.env("ROADSTEAD_FEDERATION__GATEWAYS", gateway);
        command
    }

    pub(super) fn restore(&self, from: &str, gateway: &str) -> Finished {
        run(&mut self.restoring(from, gateway))
    }

    /// What a command prints that must succeed.
    pub(super) fn say(&self, words: &[&str]) -> String {
        succeed(&mut self.command(words))
    }

    pub(super) fn serve(&self) -> Server {
        match &self.pair {
            Some(pair) => Server::start_over(pair, |_| {}),
            None => Server::start_on(&self.data()),
        }
    }

    /// It is a registry with that root.
    pub(super) fn assert_is(&self, root: &str) {
        assert_eq!(self.say(&["root"]), root);
        let report = self.say(&["check"]);
        assert!(report.ends_with(": all is well"), "{report}");
    }

    /// It serves nothing, and says how to go on.
    pub(super) fn assert_unfinished(&self) {
        for words in [
            &["serve", "--listen", "127.0.0.1:0"][..],
            &["check"],
            &["root"],
            &["index", "rebuild"],
            &["export", "-"],
        ] {
            let refused = run(&mut self.command(words));
            assert_eq!(refused.code, Some(1), "{refused}");
            let sentence =
                "run `roadstead restore` or `roadstead import` again to continue, or empty ";
            assert!(refused.stderr.contains(sentence), "{refused}");
        }
    }
}
