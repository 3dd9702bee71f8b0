//! Behind nginx, by the examples: what goes through is whole, and clients are sent to where they came from.

use std::fs;

use reqwest::Version;
use roadstead::oci::{Algorithm, Digest, Hasher};
use tempfile::TempDir;

use crate::common::{http, multipart, require, succeed};
use crate::docs::sandbox::Sandbox;

/// A layer beyond what any proxy collects by default.
const SIZE: usize = 100 << 20;

#[test]
fn clients_push_and_pull_through_nginx() {
    let (Some(_), Some(_)) = (require("nginx"), require("htpasswd")) else { return };
    let (Some(crane), Some(_), Some(_)) = (require("crane"), require("skopeo"), require("openssl"))
    else {
        return;
    };
    let mut sandbox = Sandbox::new();
    sandbox.add_roadstead();
    let etc = sandbox.path("etc/roadstead");
    fs::create_dir_all(&etc).unwrap();
    let shell = |text: &str| succeed(&mut sandbox.shell(text));
    shell(&format!("echo secret | htpasswd -i -B -c {}/htpasswd anna", etc.display()));
    shell(&format!(
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost \
         -keyout {0}/privkey.pem -out {0}/fullchain.pem",
        etc.display()
    ));
    sandbox.install("proxied.toml", "etc/roadstead/roadstead.toml");
    sandbox.install("nginx.conf", "etc/nginx/conf.d/roadstead.conf");
    sandbox.serve_with(&etc.join("roadstead.toml"));
    sandbox.start_nginx();
    let (host, folder) = (sandbox.secure(), TempDir::new().unwrap());
    let url = |path: &str| format!("https://{host}{path}");

    // Clients go where they are told to, which has to be here.
    let lies =
        [("Forwarded", "host=elsewhere.example;proto=http"), ("X-Forwarded-Host", "elsewhere")];
    let challenge = http::send(|client| {
        lies.iter()
            .fold(client.get(url("/v2/")), |request, (name, value)| request.header(*name, *value))
    });
    assert_eq!(challenge.status, 401);
    let realm = format!(r#"Bearer realm="https://{host}/v2/token""#);
    let header = challenge.header("www-authenticate");
    assert!(header.starts_with(&realm), "{header}");
    let begun = http::send(|client| {
        client.post(url("/v2/team/app/blobs/uploads/")).basic_auth("anna", Some("secret"))
    });
    assert_eq!(begun.status, 202);
    let location = begun.header("location");
    let is_here = location.starts_with("/v2/") || location.starts_with(&url("/v2/"));
    assert!(is_here, "{location}");

    // A large layer as a file of a layout, pushed by a client that trusts only this certificate.
    let bytes: Vec<u8> = (0..SIZE / 8)
        .flat_map(|word| (word as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .collect();
    let mut hasher = Hasher::new(Algorithm::Sha256);
    hasher.update(&bytes);
    let layer = hasher.finish();
    fs::write(folder.path().join("layer"), &bytes).unwrap();
    let client = |command: &str| {
        let certificate = etc.join("fullchain.pem");
        let mut shell = sandbox.shell(command);
        shell
            .env("SSL_CERT_FILE", certificate)
            .env("SSL_CERT_DIR", folder.path())
            .env("HOME", folder.path())
            .env("DOCKER_CONFIG", folder.path())
            .env("REGISTRY_AUTH_FILE", folder.path().join("auth.json"))
            .env("CRANE", &crane)
            .current_dir(folder.path());
        for name in
            ["HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"]
        {
            shell.env_remove(name);
        }
        succeed(&mut shell)
    };
    client("tar --create --file layer.tar layer");
    client(&format!("$CRANE auth login {host} -u anna -p secret"));
    client(&format!("$CRANE append --oci-empty-base -f layer.tar -t {host}/team/app:v1"));
    client(&format!("skopeo copy --insecure-policy docker://{host}/team/app:v1 dir:pulled"));
    // Nobody's credentials are needed to pull.
    client(&format!("$CRANE auth logout {host}"));
    client(&format!(
        "$CRANE export {host}/team/app:v1 - | tar --extract --to-stdout layer > exported"
    ));
    let exported = fs::read(folder.path().join("exported")).unwrap();
    assert_eq!(Digest::of(Algorithm::Sha256, &exported), layer);
    // As many ranges as podman asks for at once, in 32 KiB of header.
    let pulled = format!("/v2/team/app/blobs/{}", pushed_layer(&url("/v2/team/app/manifests/v1")));
    let specs: Vec<_> = (0..1024).map(|it| format!("{0:015}-{0:015}", it * 1000)).collect();
    let ranges = format!("bytes={}", specs.join(","));
    for version in [Version::HTTP_11, Version::HTTP_2] {
        let parts = http::try_send_by(
            |client| {
                let client = client.tls_danger_accept_invalid_certs(true);
                if version == Version::HTTP_11 { client.http1_only() } else { client }
            },
            |client| client.get(url(&pulled)).header("Range", &ranges),
        );
        let parts = parts.unwrap();
        assert_eq!((parts.status, parts.version), (206, version), "{}", parts.text());
        assert_eq!(multipart::parts(&parts).len(), 1024);
    }
    let root =
        succeed(&mut sandbox.shell(&format!(
            "roadstead check --data {}",
            sandbox.path("var/lib/roadstead").display()
        )));
    assert!(root.ends_with(": all is well"), "{root}");
}

/// The digest of the layer of an image.
fn pushed_layer(manifest: &str) -> String {
    let manifest = http::get(manifest).json();
    manifest["layers"][0]["digest"].as_str().unwrap().to_owned()
}
