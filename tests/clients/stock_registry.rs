//! The stock registry (distribution 3.1.1) on the folder of ours: the layout on disk is its own.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use crate::common::{Process, Server, free_address, http, require};
use crate::image::Image;
use crate::skopeo::Skopeo;
use crate::target::Target;

const READY: Duration = Duration::from_secs(30);

/// The stock registry, serving a folder that it must not write to.
struct StockRegistry {
    // Fields are dropped in this order: the process goes before its folder.
    _process: Process,
    _folder: TempDir,
    address: String,
}

impl StockRegistry {
    fn start(program: &Path, root: &Path) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let address = free_address();
        let config = folder.path().join("config.yml");
        // JSON is YAML.
        let settings = json!({
            "version": 0.1,
            "http": { "addr": address },
            "storage": {
                "filesystem": { "rootdirectory": root },
                "maintenance": {
                    "readonly": { "enabled": true },
                    "uploadpurging": { "enabled": false },
                },
            },
        });
        fs::write(&config, settings.to_string()).expect("a file can be written");
        let mut command = Command::new(program);
        command.arg("serve").arg(&config).env("OTEL_TRACES_EXPORTER", "none");
        let mut process = Process::start(&mut command, &folder.path().join("log"));
        let url = format!("http://{address}/v2/");
        process.wait_until(READY, || {
            http::try_send(|client| client.get(&url)).is_ok_and(|response| response.status == 200)
        });
        Self { _process: process, _folder: folder, address }
    }
}

#[test]
fn the_stock_registry_serves_the_public_folder() {
    let (Some(program), Some(busybox)) = (require("registry"), require("busybox")) else { return };
    let server = Server::start();
    let Some(skopeo) = Skopeo::find(&Target::of(&server)) else { return };
    let image = Image::new(&busybox).write_layout();
    skopeo.push(&image, &format!("{}/team/app:v1", server.address()));
    skopeo.push(&image, &format!("{}/team/nested/app:latest", server.address()));

    let stock = StockRegistry::start(&program, &server.data().join("public"));

    for name in ["team/app:v1", "team/nested/app:latest"] {
        let reference = format!("{}/{name}", stock.address);
        assert_eq!(&skopeo.pull(&reference).contents(), image.contents());
    }
    let catalog = http::get(&format!("http://{}/v2/_catalog", stock.address)).json();
    assert_eq!(catalog, json!({ "repositories": ["team/app", "team/nested/app"] }));
    let tags = http::get(&format!("http://{}/v2/team/app/tags/list", stock.address)).json();
    assert_eq!(tags, json!({ "name": "team/app", "tags": ["v1"] }));
}
