//! helm, and a chart in a registry.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::clients::face::{Face, on_each_face};
use crate::clients::home::Home;
use crate::clients::layout::sha256;
use crate::clients::registry::Registry;
use crate::clients::target::Target;
use crate::common::{require, succeed};

const CHART: &str = "apiVersion: v2\nname: harbour\nversion: 1.2.3\ndescription: a chart\n";

struct Helm {
    program: PathBuf,
    home: Home,
    is_plain: bool,
    authority: Option<PathBuf>,
}

impl Helm {
    fn find(target: &Target) -> Option<Self> {
        let program = require("helm")?;
        let home = Home::new();
        let authority = home.authority(target);
        let helm = Self { program, home, is_plain: target.is_plain(), authority };
        if let Some(user) = target.user() {
            let words = ["registry", "login", "--username", user.name, "--password", user.password];
            succeed(helm.remote(&words).arg(target.address()));
        }
        Some(helm)
    }

    /// A command that speaks to the registry.
    fn remote(&self, words: &[&str]) -> Command {
        let mut command = self.command(words);
        command.args(self.is_plain.then_some("--plain-http"));
        if let Some(file) = &self.authority {
            command.arg("--ca-file").arg(file);
        }
        command
    }

    fn command(&self, words: &[&str]) -> Command {
        let mut command = self.home.command(&self.program);
        command.args(words);
        command
    }
}

on_each_face!(helm_pulls_and_shows_the_chart_that_it_pushed);

fn helm_pulls_and_shows_the_chart_that_it_pushed(face: Face) {
    let registry = Registry::start_as(face);
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
