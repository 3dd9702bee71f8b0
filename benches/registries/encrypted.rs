//! Blobs over TLS, beside nginx without the kernel's TLS. curl is the client of both.

use std::fs;
use std::process::Command;

use tempfile::TempDir;

use crate::common::{authority, succeed};
use crate::content::Content;
use crate::pulls::{REPOSITORY, at_once};
use crate::subject::{Settings, Subject};
use crate::table::Row;
use crate::{Arguments, MB};

pub(crate) fn measure(arguments: &Arguments, _: &mut [Subject]) -> Vec<Row> {
    let files = TempDir::new_in(&arguments.folder).expect("a folder can be made");
    let (certificate, key) = authority::issue();
    let write = |name: &str, text: &[u8]| {
        let path = files.path().join(name);
        fs::create_dir_all(path.parent().expect("it is below the folder")).expect("it can be made");
        fs::write(&path, text).expect("a file can be written");
        path
    };
    let pair = [write("cert.pem", certificate.as_bytes()), write("key.pem", key.as_bytes())];
    let blob = Content::new(arguments.size * MB);
    let target = format!("/v2/{REPOSITORY}/blobs/{}", blob.digest);
    write(&format!("root{target}"), &blob.bytes);

    let settings = Settings::default();
    let mut roadstead = Subject::roadstead_with(&arguments.folder, settings.clone());
    roadstead.client().push(REPOSITORY, &blob.digest, &blob.bytes);
    roadstead.stop();
    let names = ["ROADSTEAD_SERVER__TLS__CERTIFICATE", "ROADSTEAD_SERVER__TLS__KEY"];
    let values = pair.iter().map(|path| path.display().to_string());
    settings.lock().expect("nobody panicked").extend(names.into_iter().zip(values));
    roadstead.run();
    let nginx = Subject::nginx(&arguments.folder, files.path().join("root"), Some(pair));
    let subjects: Vec<&Subject> = std::iter::once(&roadstead).chain(&nginx).collect();
    at_once(arguments, &subjects, "blob GET over TLS", &[("nginx", "≥ 0.9")], |subject| {
        get(&subject.address, &target);
    })
}

fn get(address: &str, target: &str) {
    let mut command = Command::new("curl");
    command.args(["--insecure", "--http1.1", "--silent", "--fail", "--output", "/dev/null"]);
    succeed(command.arg(format!("https://{address}{target}")));
}
