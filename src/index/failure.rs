//! Failures of either database, and what a caller can do about them.

use std::io;

use sqlx::postgres::PgConnectOptions;

use super::{IndexError, IndexErrorKind};

/// Says what a caller can do about a failure.
pub(super) fn kind(error: &sqlx::Error) -> IndexErrorKind {
    match error {
        sqlx::Error::Database(database) => {
            let code = database.code().unwrap_or_default();
            if database.try_downcast_ref::<sqlx::sqlite::SqliteError>().is_some() {
                kind_of_sqlite(&code)
            } else {
                kind_of_postgres(&code)
            }
        }
        sqlx::Error::Io(error) if error.kind() == io::ErrorKind::StorageFull => {
            IndexErrorKind::Full
        }
        sqlx::Error::Io(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => IndexErrorKind::Unavailable,
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::RowNotFound => {
            IndexErrorKind::Damaged
        }
        _ => IndexErrorKind::Failed,
    }
}

/// Says what a caller can do about an extended result code (sqlite.org/rescode.html).
fn kind_of_sqlite(code: &str) -> IndexErrorKind {
    const BUSY: i32 = 5;
    const LOCKED: i32 = 6;
    const READONLY: i32 = 8;
    const CORRUPT: i32 = 11;
    const FULL: i32 = 13;
    const NOTADB: i32 = 26;
    /// No space to make the index of the write-ahead log longer.
    const IOERR_SHMSIZE: i32 = 0x130a;
    /// What writing comes to where the disk can only be read since the file was opened: the I/O errors
    /// of write, fsync (also of a folder), truncate, delete and of opening the write-ahead log's index.
    const IOERR_OF_WRITES: [i32; 6] = [0x30a, 0x40a, 0x50a, 0x60a, 0xa0a, 0x120a];

    let Ok(code) = code.parse::<i32>() else { return IndexErrorKind::Failed };
    match code & 0xff {
        BUSY | LOCKED => IndexErrorKind::Unavailable,
        READONLY => IndexErrorKind::ReadOnly,
        CORRUPT | NOTADB => IndexErrorKind::Damaged,
        FULL => IndexErrorKind::Full,
        _ if code == IOERR_SHMSIZE => IndexErrorKind::Full,
        _ if IOERR_OF_WRITES.contains(&code) => IndexErrorKind::ReadOnly,
        _ => IndexErrorKind::Failed,
    }
}

/// Says what a caller can do about an SQLSTATE (Postgres manual, appendix A).
fn kind_of_postgres(code: &str) -> IndexErrorKind {
    match code {
        "53100" => IndexErrorKind::Full,
        "XX001" | "XX002" => IndexErrorKind::Damaged,
        // A standby, or a session that may only read.
        "25006" => IndexErrorKind::ReadOnly,
        // Serialisation, deadlock, lock and statement time-outs, too many connections or out of memory,
        // a server that is starting, stopping or recovering.
        "40001" | "40P01" | "55P03" | "53000" | "53200" | "53300" | "57014" | "57P01" | "57P02"
        | "57P03" | "57P05" => IndexErrorKind::Unavailable,
        _ if code.starts_with("08") => IndexErrorKind::Unavailable,
        _ => IndexErrorKind::Failed,
    }
}

/// Tells whether a lock was waited for as long as one portion of waiting takes, or a statement.
pub(super) fn is_lock_timeout(error: &sqlx::Error) -> bool {
    let code = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    matches!(code.as_deref(), Some("55P03" | "57014"))
}

/// Says why the database of these options cannot be opened.
pub(super) fn opening_postgres(options: &PgConnectOptions, error: sqlx::Error) -> IndexError {
    const DOING: &str = "opening a Postgres database";

    let is_of_encryption = match &error {
        sqlx::Error::Tls(_) => true,
        // What is wrong with a certificate comes as bad data of the connection.
        sqlx::Error::Io(cause) => cause.kind() == io::ErrorKind::InvalidData,
        _ => false,
    };
    if is_of_encryption {
        let why = format!(
            "cannot encrypt the connection ({error}): set `sslrootcert=FILE` in `index.url` to the authority of \
             the server's certificate, which has to be for the host's name"
        );
        return IndexError::new(IndexErrorKind::Failed, DOING, why);
    }
    let kind = kind(&error);
    match error {
        sqlx::Error::Io(cause) => {
            let why = format!("{}:{}: {cause}", options.get_host(), options.get_port());
            IndexError::new(kind, DOING, why)
        }
        error => IndexError::new(kind, DOING, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_of_sqlite_says_what_a_caller_can_do() {
        for (code, kind) in [
            ("5", IndexErrorKind::Unavailable),
            ("517", IndexErrorKind::Unavailable),
            ("13", IndexErrorKind::Full),
            ("4874", IndexErrorKind::Full),
            ("8", IndexErrorKind::ReadOnly),
            ("1032", IndexErrorKind::ReadOnly),
            ("778", IndexErrorKind::ReadOnly),
            ("1034", IndexErrorKind::ReadOnly),
            ("266", IndexErrorKind::Failed),
            ("11", IndexErrorKind::Damaged),
            ("779", IndexErrorKind::Damaged),
            ("26", IndexErrorKind::Damaged),
            ("10", IndexErrorKind::Failed),
            ("1", IndexErrorKind::Failed),
            ("", IndexErrorKind::Failed),
        ] {
            assert_eq!(kind_of_sqlite(code), kind, "{code}");
        }
    }

    #[test]
    fn a_code_of_postgres_says_what_a_caller_can_do() {
        for (code, kind) in [
            ("53100", IndexErrorKind::Full),
            ("XX001", IndexErrorKind::Damaged),
            ("40P01", IndexErrorKind::Unavailable),
            ("25006", IndexErrorKind::ReadOnly),
            ("57P01", IndexErrorKind::Unavailable),
            ("08006", IndexErrorKind::Unavailable),
            ("23503", IndexErrorKind::Failed),
            ("", IndexErrorKind::Failed),
        ] {
            assert_eq!(kind_of_postgres(code), kind, "{code}");
        }
    }
}
