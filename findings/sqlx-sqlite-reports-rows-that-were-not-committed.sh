#!/usr/bin/env bash
# sqlx 0.9.0 with SQLite: `fetch_optional` and `fetch_one` of an `UPDATE … RETURNING` outside of a transaction return the
# row as if all were well where the commit fails.
#
# One would expect an error: SQLite commits such a statement by itself once its last row was read, and tells if that
# fails, as it does here since the log of the database may not grow beyond 64 KiB (`ulimit -f`, for a full disk).
#
# What happens: both stop at the first row and reset the statement. The commit takes place in the reset, whose error is
# dropped. So each returns a value that the database does not have, and that the next read does not find.
# `fetch_all` reads to the end, and returns the error; so does `execute`.
#
# Needs cargo, a C compiler and, at first, a network for the crates. Prints what each method returned when the commit
# failed and what the database has then, and fails if that is no more as said.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

mkdir src
cat >Cargo.toml <<'END'
[package]
name = "finding"
version = "0.1.0"
edition = "2024"
[dependencies]
sqlx = { version = "=0.9.0", default-features = false, features = ["runtime-tokio", "sqlite-bundled"] }
tokio = { version = "1", features = ["macros", "rt"] }
END
cat >src/main.rs <<'END'
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use sqlx::{ConnectOptions, SqliteConnection};

const ADD: &str = "UPDATE counter SET value = value + 1 RETURNING value";

/// Adds one by a method; what it returned.
async fn add(db: &mut SqliteConnection, method: &str) -> Result<i64, sqlx::Error> {
    let query = sqlx::query_scalar::<_, i64>(ADD);
    match method {
        "fetch_one" => query.fetch_one(db).await,
        "fetch_optional" => Ok(query.fetch_optional(db).await?.expect("there is a row")),
        "fetch_all" => Ok(query.fetch_all(db).await?[0]),
        _ => sqlx::query(ADD).execute(db).await.map(|_| 0),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), sqlx::Error> {
    for method in ["fetch_one", "fetch_optional", "fetch_all", "execute"] {
        let options = SqliteConnectOptions::new()
            .filename(format!("{method}.sqlite"))
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal);
        let mut db = options.connect().await?;
        sqlx::query("CREATE TABLE counter (value INTEGER)").execute(&mut db).await?;
        sqlx::query("INSERT INTO counter VALUES (0)").execute(&mut db).await?;
        // More often than the log has room for.
        for _ in 0..100 {
            let returned = add(&mut db, method).await;
            let stored: i64 = sqlx::query_scalar("SELECT value FROM counter").fetch_one(&mut db).await?;
            match returned {
                Ok(value) if method != "execute" && value != stored => {
                    println!("{method}: returned {value}, the database has {stored}");
                    break;
                }
                Ok(_) => {}
                Err(_) => {
                    println!("{method}: error");
                    break;
                }
            }
        }
    }
    Ok(())
}
END
cargo build --quiet
cargo tree --depth 1 | grep ' sqlx '
# A write beyond the limit is to be an error, not a signal.
seen=$(trap '' XFSZ && ulimit -f 64 && ./target/debug/finding)
echo "$seen"
expected='^fetch_one: returned ([0-9]+), the database has [0-9]+
fetch_optional: returned ([0-9]+), the database has [0-9]+
fetch_all: error
execute: error$'
[[ $seen =~ $expected ]]
