//! `roadstead undelete`: putting back what was deleted.

use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::lines::lines;
use super::management::manage;
use super::name::ImageName;
use crate::cli::administration::print;
use crate::cli::connection::ConnectionArguments;
use crate::cli::runtime;

const UNDELETE: &str = "mutation($repository: String!, $reference: String!) \
    { undelete(repository: $repository, reference: $reference) { digest tags manifests } }";

/// Puts an image back that was deleted from a Roadstead
#[derive(Debug, Args)]
#[command(
    after_help = "It is possible as long as the registry has the bytes, which is `gc.grace` (24 h unless set otherwise) at least. By a \
        tag, what that tag named last comes back under it; by a digest the manifest, with the tags that went with it and name \
        nothing else by now. The images of an index come back with it; signatures and others that referred to it by their own \
        digests, which `roadstead delete` has listed. It takes the right to delete, and a Roadstead with accounts.\n\n\
    JSON: {repository, digest, tags, manifests}.\n\n\
    Examples:\n  roadstead undelete registry.example/team/app:v1\n  roadstead undelete registry.example/team/app@$DIGEST"
)]
pub(in crate::cli) struct UndeleteArguments {
    /// HOST/NAME:TAG or HOST/NAME@DIGEST
    #[arg(value_name = "IMAGE", value_parser = parse)]
    image: ImageName,
    /// Prints JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    connection: ConnectionArguments,
}

fn parse(text: &str) -> Result<ImageName, String> {
    let name: ImageName = text.parse()?;
    if name.is_bare() {
        return Err("expected a tag or a digest: HOST/NAME:TAG or HOST/NAME@DIGEST".to_owned());
    }
    Ok(name)
}

/// Puts it back.
pub(in crate::cli) fn run(arguments: &UndeleteArguments) -> anyhow::Result<ExitCode> {
    let UndeleteArguments { image, json: as_json, connection } = arguments;
    let mut data = runtime()?.block_on(async {
        let connection = connection.connect(&image.host, Some(&image.repository)).await?;
        let variables = json!({
            "repository": image.repository.as_str(),
            "reference": image.reference().to_string(),
        });
        manage(&connection, "undelete", UNDELETE, variables).await
    })?;
    let mut done = data["undelete"].take();
    let name = image.repository_name();
    if *as_json {
        done["repository"] = json!(name);
        let text = serde_json::to_string_pretty(&done).context("cannot write JSON")? + "\n";
        print(&text)?;
        return Ok(ExitCode::SUCCESS);
    }
    let texts = |field: &str| -> Vec<String> {
        let items = done[field].as_array().into_iter().flatten();
        items.filter_map(|it| it.as_str()).map(str::to_owned).collect()
    };
    let manifests =
        texts("manifests").into_iter().map(|digest| format!("put back {name}@{digest}"));
    let tags = texts("tags").into_iter().map(|tag| format!("put back tag {name}:{tag}"));
    let mut all: Vec<String> = manifests.chain(tags).collect();
    if all.is_empty() {
        all.push(format!("{name}@{} is there", done["digest"].as_str().unwrap_or_default()));
    }
    print(&lines(all.iter().map(String::as_str)))?;
    Ok(ExitCode::SUCCESS)
}
