//! A pooler in transaction mode is found out; one in session mode is as good as Postgres itself.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use roadstead::index::IndexErrorKind;
use tempfile::TempDir;

use crate::common::postgres::as_postgres;
use crate::common::repository::Repository;
use crate::common::{Postgres, Process, free_address, require, run};
use crate::postgres::{open, serve_with};

/// A `PgBouncer` before a Postgres.
struct Pooler {
    _process: Process,
    address: String,
    _folder: TempDir,
}

impl Pooler {
    fn start(program: &Path, postgres: &Postgres, settings: &str) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let address = free_address();
        let [(host, port), (_, behind)] = [&*address, postgres.address()]
            .map(|address| address.split_once(':').expect("an address has a port"));
        let text = format!(
            "[databases]\n\
             postgres = host=127.0.0.1 port={behind} user=postgres\n\
             [pgbouncer]\n\
             listen_addr = {host}\n\
             listen_port = {port}\n\
             unix_socket_dir =\n\
             auth_type = any\n\
             {settings}\n"
        );
        let file = folder.path().join("pgbouncer.ini");
        fs::write(&file, text).expect("a file can be written");
        let owned = run(Command::new("chmod").arg("-R").arg("a+rX").arg(folder.path()));
        assert!(owned.succeeded(), "{owned}");
        let log = folder.path().join("log");
        let mut process = Process::start(as_postgres(program).arg(&file), &log);
        process
            .wait_until(Duration::from_secs(30), || std::net::TcpStream::connect(&address).is_ok());
        Self { _process: process, address, _folder: folder }
    }

    fn url(&self) -> String {
        format!("postgres://postgres@{}/postgres", self.address)
    }
}

#[test]
fn a_pooler_in_transaction_mode_is_refused_with_a_sentence() {
    let Some(program) = require("pgbouncer") else { return };
    let Some(postgres) = Postgres::start(&[]) else { return };
    for settings in [
        "pool_mode = transaction\nignore_startup_parameters = extra_float_digits",
        "pool_mode = transaction\nignore_startup_parameters = extra_float_digits\nserver_round_robin = 1",
        "pool_mode = transaction",
        "pool_mode = statement\nignore_startup_parameters = extra_float_digits",
        "pool_mode = session",
    ] {
        let pooler = Pooler::start(&program, &postgres, settings);
        for _ in 0..3 {
            let refused = open(&pooler.url()).expect_err(settings);
            assert_eq!(refused.kind, IndexErrorKind::Failed, "{settings}: {refused:?}");
            let cause = std::error::Error::source(&refused).expect("it says why").to_string();
            assert!(cause.contains("pool_mode = session"), "{settings}: {cause}");
        }
    }
    let count = postgres.sql("SELECT count(*) FROM pg_tables WHERE tablename = 'clock'");
    assert_eq!(count, "0", "nothing was made before it was found out");
}

#[test]
fn a_pooler_in_transaction_mode_is_refused_when_it_has_many_sessions() {
    let Some(program) = require("pgbouncer") else { return };
    let Some(postgres) = Postgres::start(&[]) else { return };
    for round_robin in [0, 1] {
        let settings = format!(
            "pool_mode = transaction\nignore_startup_parameters = extra_float_digits\n\
             min_pool_size = 4\nserver_round_robin = {round_robin}"
        );
        let pooler = Pooler::start(&program, &postgres, &settings);
        for _ in 0..10 {
            let refused = open(&pooler.url()).expect_err("it is in transaction mode");
            assert_eq!(refused.kind, IndexErrorKind::Failed, "{refused:?}");
        }
    }
}

#[test]
fn a_pooler_in_session_mode_is_as_good_as_postgres() {
    let Some(program) = require("pgbouncer") else { return };
    let Some(postgres) = Postgres::start(&[]) else { return };
    let settings = "pool_mode = session\nignore_startup_parameters = extra_float_digits\n\
                    default_pool_size = 40";
    let pooler = Pooler::start(&program, &postgres, settings);
    let server = serve_with(&pooler.url());
    let pushed = Repository::of(&server, "team/app").push_image("v1", "word");
    let pulled = Repository::of(&server, "team/app").get("manifests/v1");
    assert!(pulled.body == pushed.manifest);
}
