//! helm, and a chart in a registry.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::common::{require, succeed};
use crate::home::Home;
use crate::layout::sha256;
use crate::registry::Registry;
use crate::target::Target;

const CHART: &str = "apiVersion: v2\nname: harbour\nversion: 1.2.3\ndescription: a chart\n";

struct Helm {
    program: PathBuf,
    home: Home,
    is_plain: bool,
}

impl Helm {
    fn find(target: &Target) -> Option<Self> {
        let program = require("helm")?;
        Some(Self { program, home: Home::new(), is_plain: target.is_plain() })
    }

    /// A command that speaks to the registry.
    fn remote(&self, words: &[&str]) -> Command {
        let mut command = self.command(words);
        command.args(self.is_plain.then_some("--plain-http"));
        command
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(&self.program);
        command.args(words);
        command
    }
}

#[test]
fn helm_pulls_and_shows_the_chart_that_it_pushed() {
    let registry = Registry::start();
    let Some(helm) = Helm::find(registry.target()) else { return };
    let home = helm.home.path();
    helm.home.write("harbour/Chart.yaml", CHART);
    helm.home.write("harbour/values.yaml", "berths: 7\n");
    let repository = format!("oci://{}", registry.reference("charts"));
    let chart = format!("{repository}/harbour");

    succeed(&mut helm.command(&["package", "harbour"]));
    succeed(&mut helm.remote(&["push", "harbour-1.2.3.tgz", &repository]));
    fs::create_dir(home.join("pulled")).expect("a folder can be made");
    succeed(&mut helm.remote(&["pull", &chart, "--version=1.2.3", "--destination=pulled"]));
    let values = succeed(&mut helm.remote(&["show", "values", &chart, "--version=1.2.3"]));
    let newest = succeed(&mut helm.remote(&["show", "chart", &chart]));

    let archive = "harbour-1.2.3.tgz";
    assert_eq!(sha256(&home.join("pulled").join(archive)), sha256(&home.join(archive)));
    assert!(values.contains("berths: 7"), "{values}");
    assert!(newest.contains("version: 1.2.3"), "{newest}");
    assert_eq!(registry.repositories(), ["charts/harbour"]);
    assert_eq!(registry.tags("charts/harbour"), ["1.2.3"]);
}
