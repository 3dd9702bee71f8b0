//! Our client beside skopeo and crane: the same images to the same server and back, from and into OCI layouts.

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::common::{require, roadstead};
use crate::content::{Content, digest};
use crate::pulls::rate;
use crate::subject::{Subject, peak_memory_of};
use crate::table::Row;
use crate::{Arguments, MANIFEST_TYPE, MB, counted, rounds, rows, timed};

/// Layers of an image, and how many megabytes each has.
const LAYERS: usize = 10;
const LAYER: usize = 50;

/// How often the memory of a client is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What compressed layers begin with. Clients look at no more before they decide whether to compress a layer.
const GZIP: [u8; 3] = [0x1f, 0x8b, 8];

const OURS: &str = "roadstead";

/// A client by its name, and how it pushes a layout and pulls into one.
struct Tool {
    label: Subject,
    program: Option<PathBuf>,
}

impl Tool {
    fn new(name: &str, program: Option<PathBuf>) -> Self {
        Self { label: Subject::other(name, ""), program }
    }

    fn command(&self) -> Command {
        let mut command = match &self.program {
            Some(program) => Command::new(program),
            None => roadstead::<&str>([]),
        };
        command.stdout(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn push(&self, layout: &Path, image: &str) -> Command {
        let mut command = self.command();
        let layout = layout.display();
        match &*self.label.name {
            "skopeo" => command
                .args(["--insecure-policy", "copy", "--dest-tls-verify=false"])
                .args([format!("oci:{layout}:v1"), format!("docker://{image}")]),
            "crane" => command.args(["push", "--insecure", &layout.to_string(), image]),
            _ => command.args(["push", &format!("oci:{layout}"), image, "--quiet"]),
        };
        command
    }

    fn pull(&self, image: &str, layout: &Path) -> Command {
        let mut command = self.command();
        let layout = layout.display();
        match &*self.label.name {
            "skopeo" => command
                .args(["--insecure-policy", "copy", "--src-tls-verify=false"])
                .args([format!("docker://{image}"), format!("oci:{layout}:v1")]),
            "crane" => {
                command.args(["pull", "--insecure", "--format", "oci", image, &layout.to_string()])
            }
            _ => command.args(["pull", image, &format!("oci:{layout}"), "--quiet"]),
        };
        command
    }
}

pub(crate) fn measure(arguments: &Arguments) -> Vec<Row> {
    let server = Subject::roadstead(&arguments.folder);
    let mut tools = vec![Tool::new(OURS, None)];
    for name in ["skopeo", "crane"] {
        tools.extend(require(name).map(|program| Tool::new(name, Some(program))));
    }
    let labels: Vec<&Subject> = tools.iter().map(|tool| &tool.label).collect();
    let tool = |subject: &Subject| {
        tools.iter().find(|tool| tool.label.name == subject.name).expect("it is one of these")
    };
    let folder = TempDir::new_in(&arguments.folder).expect("a folder can be made");
    let layout = |name: &str| folder.path().join(name);
    let image = |name: &str| format!("{}/bench/{name}:v1", server.address);
    let content = RefCell::new(Content::new(LAYER * MB));
    let mut memory = Vec::new();
    let mut time = |subject: &Subject, mut command: Command| {
        // Nobody pays for what the one before left to the disk.
        rustix::fs::sync();
        let mut peak = 0.0;
        let seconds = timed(|| peak = run(&mut command));
        memory.push((subject.name.clone(), peak));
        rate(LAYERS * LAYER, seconds)
    };
    // Content of its own for each, or the server would have the layers of the second one already.
    let renew = || {
        for label in &labels {
            write(&layout(&label.name), &mut content.borrow_mut());
        }
    };
    let pushed = rounds(arguments.rounds, &labels, renew, |subject| {
        let command = tool(subject).push(&layout(&subject.name), &image(&subject.name));
        time(subject, command)
    });
    let clear = || {
        for label in &labels {
            let _ = fs::remove_dir_all(layout(&label.name));
        }
    };
    let pulled = rounds(arguments.rounds, &labels, clear, |subject| {
        // All pull the same image.
        let into = layout(&subject.name);
        let rate = time(subject, tool(subject).pull(&image(OURS), &into));
        assert!(into.join("index.json").is_file(), "{} has written no layout", subject.name);
        rate
    });
    let memory = counted(&labels, &memory);
    let work = |verb: &str| format!("{verb} of an image of {LAYERS} × {LAYER} MB");
    let goals = [("skopeo", "≥ 1.25"), ("crane", "≥ 1.11")];
    let mut found = rows(&work("push"), &goals, "MB/s", &labels, &pushed);
    found.extend(rows(&work("pull"), &goals, "MB/s", &labels, &pulled));
    let goals = [(OURS, "≤ 40 MB")];
    found.extend(rows("peak memory of the client, both", &goals, "MiB", &labels, &memory));
    found
}

/// Writes a layout of one image that nobody has seen before.
fn write(layout: &Path, content: &mut Content) {
    let _ = fs::remove_dir_all(layout);
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a folder can be made");
    let put = |bytes: &[u8], media_type: &str| -> Value {
        let digest = digest(bytes);
        let (_, hex) = digest.split_once(':').expect("it is a digest");
        fs::write(blobs.join(hex), bytes).expect("a file can be written");
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    };
    let layers: Vec<Value> = (0..LAYERS)
        .map(|_| {
            content.renew();
            content.bytes[..GZIP.len()].copy_from_slice(&GZIP);
            put(&content.bytes, "application/vnd.oci.image.layer.v1.tar+gzip")
        })
        .collect();
    let ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "rootfs": { "type": "layers", "diff_ids": ids },
    });
    let config = put(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": config,
        "layers": layers,
    });
    let mut manifest = put(manifest.to_string().as_bytes(), MANIFEST_TYPE);
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "v1" });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(layout.join("index.json"), index.to_string()).expect("a file can be written");
    let version = json!({ "imageLayoutVersion": "1.0.0" });
    fs::write(layout.join("oci-layout"), version.to_string()).expect("a file can be written");
}

/// Runs a client to its end; returns the most memory that it held, in MiB.
fn run(command: &mut Command) -> f64 {
    let mut child = command.spawn().expect("it can be started");
    let mut peak = 0.0;
    loop {
        peak = peak_memory_of(child.id()).unwrap_or(peak);
        if let Some(status) = child.try_wait().expect("it is a child of this process") {
            assert!(status.success(), "{command:?}");
            return peak;
        }
        thread::sleep(LOOK);
    }
}
