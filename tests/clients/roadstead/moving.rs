//! `docs/MOVING.md` is right: its loop brings all images of another registry.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::Roadstead;
use crate::clients::image::Image;
use crate::clients::registry::Registry;
use crate::clients::stock_registry::StockRegistry;
use crate::clients::target::Target;
use crate::common::{require, succeed};

#[test]
fn all_images_of_another_registry_are_copied_as_its_page_says() {
    let (Some(program), Some(busybox)) = (require("registry"), require("busybox")) else { return };
    let folder = TempDir::new().expect("a temporary folder can be made");
    let stock = StockRegistry::start(&program, folder.path(), false);
    let old = Target::open(stock.address());
    let registry = Registry::start();
    let client = Roadstead::of(registry.target());
    let list = Image::write_index(&busybox, &["amd64", "arm64"]);
    let image = Image::new(&busybox).write_gzip_layout();
    for (layout, name) in
        [(&list, "team/app:v1"), (&image, "team/app:v2"), (&image, "other/deep/app:latest")]
    {
        client.say(&["push", "--quiet", &layout.transport(), &old.reference(name)]);
    }
    // Twice, since the page says that a second time sends only what is new.
    for _ in 0..2 {
        move_all(&client, stock.address(), registry.target().address());
    }
    assert_eq!(registry.tags("team/app"), ["v1", "v2"]);
    for name in ["team/app:v1", "team/app:v2", "other/deep/app:latest"] {
        let digest = |target: &Target| {
            let info = client.json(&["info", &target.reference(name)]);
            info["digest"].as_str().expect("it has one").to_owned()
        };
        assert_eq!(digest(registry.target()), digest(&old), "{name}");
    }
}

/// Runs the loop of the page.
fn move_all(client: &Roadstead, from: &str, to: &str) {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/MOVING.md");
    let page = fs::read_to_string(page).expect("the page is there");
    let (_, rest) = page.split_once("```sh\n").expect("it has a script");
    let (script, _) = rest.split_once("```").expect("its script has an end");
    let (_, script) = script.split_once('\n').expect("the first line signs in");
    let program = client.command(&[]).get_program().display().to_string();
    let script = script
        .replace("roadstead ", &format!("{program} "))
        .replace("old.example", from)
        .replace("new.example", to);
    let mut shell = client.home.command(Path::new("sh"));
    succeed(shell.args(["-euc", &script]));
}
