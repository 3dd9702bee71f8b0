//! Kubo and Postgres in the place of the embedded store: under `TEST_STORAGE=kubo` each server of the tests
//! keeps its images in a folder of a node's MFS and its index in a schema of a database, both of its own.
//!
//! `scripts/test` runs both; plain cargo needs `TEST_KUBO_API`, `TEST_KUBO_GATEWAY` and `TEST_POSTGRES_URL`.

use std::env;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, PgConnection};

use super::http;

/// Whether the servers of this run keep their images in Kubo.
pub(crate) fn is_over_kubo() -> bool {
    match env::var("TEST_STORAGE") {
        Err(_) => false,
        Ok(storage) => match storage.as_str() {
            "embedded" => false,
            "kubo" => true,
            _ => panic!("TEST_STORAGE is `{storage}`: expected embedded or kubo"),
        },
    }
}

/// Begins a test that is about the embedded store, and says why it is:
/// `let Some(()) = embedded_only("it damages the store's files") else { return };`.
pub(crate) fn embedded_only(_why: &str) -> Option<()> {
    (!is_over_kubo()).then_some(())
}

/// Where one registry's images and rows are.
#[derive(Debug)]
pub(crate) struct Pair {
    api: String,
    gateway: String,
    mfs_root: String,
    database: String,
    schema: String,
}

impl Pair {
    /// A folder and a schema that nobody has, on the node and the database that the environment names.
    pub(crate) fn make() -> Self {
        let api = variable("TEST_KUBO_API");
        Self::make_on(&api, &variable("TEST_KUBO_GATEWAY"), &variable("TEST_POSTGRES_URL"))
    }

    /// The same on a node and a database that the test has started.
    pub(crate) fn make_on(api: &str, gateway: &str, database: &str) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);

        let name = format!("{}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let pair = Self {
            api: api.to_owned(),
            gateway: gateway.to_owned(),
            // A copy to the top would take away what the servers of other tests link meanwhile.
            mfs_root: format!("/test_{name}/registry"),
            database: database.to_owned(),
            schema: format!("roadstead_server_{name}"),
        };
        pair.administrate(&format!("CREATE SCHEMA {}", pair.schema));
        pair
    }

    /// Has a command of the binary use it.
    pub(crate) fn configure(&self, command: &mut Command) {
        command
            .env("ROADSTEAD_STORAGE__DRIVER", "kubo")
            .env("ROADSTEAD_STORAGE__KUBO__API", &self.api)
            .env("ROADSTEAD_STORAGE__KUBO__GATEWAY", &self.gateway)
            .env("ROADSTEAD_STORAGE__KUBO__MFS_ROOT", &self.mfs_root)
            .env("ROADSTEAD_INDEX__URL", self.index_url());
    }

    /// The index, as the setting `index.url` names it.
    pub(crate) fn index_url(&self) -> String {
        let separator = if self.database.contains('?') { '&' } else { '?' };
        format!("{}{separator}options=-c%20search_path%3D{}", self.database, self.schema)
    }

    /// The folder of MFS that is the registry's.
    pub(crate) fn mfs_root(&self) -> &str {
        &self.mfs_root
    }

    /// Asks the index for a number behind the server's back.
    pub(crate) fn number(&self, query: &'static str) -> i64 {
        let url = self.index_url();
        block_on(async {
            let mut connection = PgConnection::connect(&url).await?;
            let (number,): (i64,) = sqlx::query_as(query).fetch_one(&mut connection).await?;
            connection.close().await?;
            Ok(number)
        })
        .unwrap_or_else(|error| panic!("{query}: {error}"))
    }

    /// Takes everything that the index has, as the loss of its database would.
    pub(crate) fn lose_index(&self) {
        self.administrate(&format!("DROP SCHEMA {0} CASCADE", self.schema));
        self.administrate(&format!("CREATE SCHEMA {}", self.schema));
    }

    /// Makes the index out of a dump in which `SCHEMA` stands for the schema's name. Of uploads it is said that they
    /// were continued now, since they expire.
    pub(crate) fn load_index(&self, dump: &str) {
        self.administrate(&format!("DROP SCHEMA {} CASCADE", self.schema));
        self.administrate(
            &dump
                .replace("SCHEMA SCHEMA", &format!("SCHEMA {}", self.schema))
                .replace("SCHEMA.", &format!("{}.", self.schema)),
        );
        self.administrate(&format!(
            "UPDATE {}.uploads SET touched = CAST(EXTRACT(EPOCH FROM now()) * 1000 AS BIGINT)",
            self.schema
        ));
    }

    /// Makes the registry's folder of MFS out of an archive of that directory.
    pub(crate) fn load_folder(&self, cid: &str, archive: &[u8]) {
        const BOUNDARY: &str = "the-end-of-a-part";
        let head = format!(
            "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.car\"\r\n\r\n"
        );
        let body =
            [head.as_bytes(), archive, format!("\r\n--{BOUNDARY}--\r\n").as_bytes()].concat();
        let import = http::send(|client| {
            let url = format!("{}/api/v0/dag/import", self.api);
            let form = format!("multipart/form-data; boundary={BOUNDARY}");
            client
                .post(url)
                .query(&[("pin-roots", "false")])
                .header("content-type", form)
                .body(body)
        });
        assert_eq!(import.status, 200, "{}", import.text());
        let above = self.mfs_root.strip_suffix("/registry").expect("it was made so");
        let made = http::send(|client| {
            let url = format!("{}/api/v0/files/mkdir", self.api);
            client.post(url).query(&[("arg", above)])
        });
        assert_eq!(made.status, 200, "{}", made.text());
        let copy = http::send(|client| {
            let source = format!("/ipfs/{cid}");
            let url = format!("{}/api/v0/files/cp", self.api);
            client.post(url).query(&[("arg", source.as_str()), ("arg", self.mfs_root.as_str())])
        });
        assert_eq!(copy.status, 200, "{}", copy.text());
    }

    /// Takes a block from the node, as a damaged disk would.
    pub(crate) fn lose_block(&self, cid: &str) {
        let url = format!("{}/api/v0/block/rm", self.api);
        let removed = http::send(|client| client.post(url).query(&[("arg", cid)]));
        assert!(removed.status == 200 && removed.text().contains(cid), "{}", removed.text());
        assert!(!removed.text().contains("Error\":\""), "{}", removed.text());
    }

    /// Writes out the folder that a CID is the root of, into one that does not exist.
    pub(crate) fn export(&self, root: &str, folder: &Path) {
        let program = super::tools::require("ipfs").expect("who has a node has the program");
        let address = self.api.trim_start_matches("http://").replacen(':', "/tcp/", 1);
        let mut get = Command::new(program);
        get.arg(format!("--api=/ip4/{address}")).args(["get", "--progress=false", "--output"]);
        super::succeed(get.arg(folder).arg(root).env("IPFS_TELEMETRY", "off"));
    }

    fn administrate(&self, statement: &str) {
        block_on(async {
            let mut connection = PgConnection::connect(&self.database).await?;
            sqlx::query("SET client_min_messages = 'warning'").execute(&mut connection).await?;
            sqlx::raw_sql(AssertSqlSafe(statement.to_owned())).execute(&mut connection).await?;
            connection.close().await
        })
        .unwrap_or_else(|error| panic!("{statement}: {error}"));
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // Its folder of MFS stays as long as the node: nothing may be removed from MFS beside other
        // registries' links.
        if !std::thread::panicking() {
            self.administrate(&format!("DROP SCHEMA {} CASCADE", self.schema));
        }
    }
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|_| panic!("TEST_STORAGE=kubo needs {name}"))
}

fn block_on<T>(future: impl Future<Output = sqlx::Result<T>> + Send) -> sqlx::Result<T>
where
    T: Send,
{
    // Of a thread of its own, since some tests run in a runtime themselves.
    std::thread::scope(|scope| {
        let runs = scope.spawn(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime needs nothing from outside")
                .block_on(future)
        });
        runs.join().expect("it does not panic")
    })
}
