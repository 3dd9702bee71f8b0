//! oras, the client in Python.

use crate::common::{require, succeed};
use crate::home::Home;
use crate::layout::sha256;
use crate::registry::Registry;

/// Pushes a file to a reference, and pulls it into a folder.
const SCRIPT: &str = r#"
import sys
from oras.client import OrasClient

address, reference, file, folder, is_plain = sys.argv[1:]
client = OrasClient(hostname=address, insecure=is_plain == "true")
client.push(target=reference, files=[file])
print(*client.pull(target=reference, outdir=folder))
"#;

#[test]
fn oras_pulls_the_file_that_it_pushed() {
    let registry = Registry::start();
    let Some(python) = require("oras-python") else { return };
    let home = Home::new();
    let script = home.write("script.py", SCRIPT);
    let file = home.write("manifest.txt", vec![b'x'; 3 << 20]);
    let target = registry.target();

    let mut command = home.command(&python);
    command.arg(script).args([target.address(), &target.reference("files/one:v1")]);
    succeed(command.args(["manifest.txt", "pulled", &target.is_plain().to_string()]));

    assert_eq!(sha256(&home.path().join("pulled/manifest.txt")), sha256(&file));
    assert_eq!(registry.tags("files/one"), ["v1"]);
}
