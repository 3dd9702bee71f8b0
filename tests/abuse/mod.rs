//! Clients that mean harm: what they send is refused or bounded, and a good client does not notice.

mod browsers;
mod forwarded;

use std::fs;
use std::path::Path;
use std::process::Command;

/// Has a server know anna, whose password is `secret`.
fn with_anna(command: &mut Command) {
    let folder = command.get_current_dir().unwrap_or(Path::new(".")).to_owned();
    let file = folder.join("htpasswd");
    let hash = bcrypt::hash("secret", 4).expect("4 is a cost");
    fs::write(&file, format!("anna:{hash}\n")).expect("the folder is there");
    command.env("ROADSTEAD_AUTH__METHOD", "htpasswd").env("ROADSTEAD_AUTH__HTPASSWD__FILE", file);
}
