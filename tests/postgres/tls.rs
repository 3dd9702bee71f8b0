//! The connection to the database is encrypted where its URL says so.

use std::error::Error;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use tempfile::TempDir;

use crate::common::{Postgres, run};
use crate::postgres::{open, serve_with};

/// An authority of the test's own.
struct Authority(Issuer<'static, KeyPair>, String);

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.self_signed(&key).expect("it can be signed");
        Self(Issuer::new(params, key), certificate.pem())
    }

    /// Writes its certificate to a file.
    fn write(&self, folder: &TempDir, name: &str) -> PathBuf {
        let path = folder.path().join(name);
        fs::write(&path, &self.1).expect("a file can be written");
        path
    }

    /// Makes a certificate for a name or an address, with its key, in that folder.
    fn issue(&self, name: &str, folder: &Path) {
        let params = CertificateParams::new([name.to_owned()]).expect("it is a name");
        let key = KeyPair::generate().expect("a key can be made");
        let certificate = params.signed_by(&key, &self.0).expect("it can be signed");
        fs::write(folder.join("server.crt"), certificate.pem()).expect("it is ours");
        let file = folder.join("server.key");
        fs::write(&file, key.serialize_pem()).expect("it is ours");
        fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
    }
}

/// All that an error says, with its causes.
fn causes(error: &dyn Error) -> String {
    let rest = error.source().map(causes).unwrap_or_default();
    format!("{error}\n{rest}")
}

#[test]
fn connections_are_encrypted_and_the_server_is_known_by_its_authority() {
    let (ours, anothers) = (Authority::new("ours"), Authority::new("another's"));
    let folder = TempDir::new().expect("a temporary folder can be made");
    let options = ["-c", "ssl=on"];
    let prepare = |data: &Path| {
        ours.issue("127.0.0.1", data);
        // Whoever does not encrypt is refused.
        let rules = "hostssl all all 127.0.0.1/32 trust\n";
        fs::write(data.join("pg_hba.conf"), rules).expect("it is ours");
    };
    let Some(postgres) = Postgres::prepare(&options, prepare) else { return };
    let right = ours.write(&folder, "right.pem");
    let wrong = anothers.write(&folder, "wrong.pem");
    let url = |mode: &str, authority: &Path| {
        format!("{}?sslmode={mode}&sslrootcert={}", postgres.url(), authority.display())
    };
    for mode in ["verify-full", "verify-ca"] {
        let refused = open(&url(mode, &wrong)).expect_err("the authority is another one");
        let text = causes(&refused);
        assert!(text.contains("certificate"), "{text}");
        assert!(text.contains("sslrootcert"), "{text}");
    }
    assert!(open(&format!("{}?sslmode=disable", postgres.url())).is_err());
    open(&url("verify-full", &right)).expect("the authority is the right one");

    let server = serve_with(&url("verify-full", &right));
    let encrypted = postgres.sql(
        "SELECT count(*) || ' of ' || count(*) FILTER (WHERE ssl) FROM pg_stat_ssl \
         JOIN pg_stat_activity USING (pid) WHERE application_name = 'roadstead'",
    );
    let (all, some) = encrypted.split_once(" of ").expect("it was asked so");
    assert_eq!(all, some, "all connections are encrypted");
    assert_ne!(all, "0");
    drop(server);
}

#[test]
fn a_server_with_a_certificate_for_another_name_is_refused() {
    let ours = Authority::new("ours");
    let folder = TempDir::new().expect("a temporary folder can be made");
    let prepare = |data: &Path| ours.issue("db.example.com", data);
    let Some(postgres) = Postgres::prepare(&["-c", "ssl=on"], prepare) else { return };
    let authority = ours.write(&folder, "authority.pem");
    let url = |mode: &str| {
        format!("{}?sslmode={mode}&sslrootcert={}", postgres.url(), authority.display())
    };
    let refused = open(&url("verify-full")).expect_err("the name is another one");
    assert!(causes(&refused).contains("certificate"), "{}", causes(&refused));
    open(&url("verify-ca")).expect("the name does not count");

    let mut command = crate::common::roadstead(["serve", "--listen", "127.0.0.1:0", "--data"]);
    command.arg(folder.path().join("data")).env("ROADSTEAD_INDEX__URL", url("verify-full"));
    let refused = run(&mut command);
    assert_eq!(refused.code, Some(1), "{refused}");
    assert!(refused.stderr.contains("sslrootcert"), "{refused}");
}
