//! oras, the client in Python.

use crate::clients::face::{Face, on_each_face};
use crate::clients::home::Home;
use crate::clients::layout::sha256;
use crate::clients::registry::Registry;
use crate::common::{require, succeed};

/// Pushes a file to a reference, and pulls it into a folder.
pub(crate) const SCRIPT: &str = r#"
import sys
from oras.client import OrasClient

address, reference, file, folder, is_plain, authority, *user = sys.argv[1:]
insecure, verify = is_plain == "true", authority or True
backend = "basic" if user else "token"
client = OrasClient(hostname=address, insecure=insecure, tls_verify=verify, auth_backend=backend)
if user:
    client.login(*user, hostname=address, tls_verify=verify)
client.push(target=reference, files=[file])
print(*client.pull(target=reference, outdir=folder))
"#;

on_each_face!(oras_pulls_the_file_that_it_pushed);

fn oras_pulls_the_file_that_it_pushed(face: Face) {
    let registry = Registry::start_as(face);
    let Some(python) = require("oras-python") else { return };
    let home = Home::new();
    let script = home.write("script.py", SCRIPT);
    let file = home.write("manifest.txt", vec![b'x'; 3 << 20]);
    let target = registry.target();

    let mut command = home.command(&python);
    command.arg(script).args([target.address(), &target.reference("files/one:v1")]);
    command.args(["manifest.txt", "pulled", &target.is_plain().to_string()]);
    command.arg(home.authority(target).unwrap_or_default());
    if let Some(user) = target.user() {
        command.args([user.name, user.password]);
    }
    succeed(&mut command);

    assert_eq!(sha256(&home.path().join("pulled/manifest.txt")), sha256(&file));
    assert_eq!(registry.tags("files/one"), ["v1"]);
}
