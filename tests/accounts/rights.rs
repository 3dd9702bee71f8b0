//! What callers may do with repositories of each visibility, and that private ones are as if absent.

use reqwest::Method;

use super::team::{Sender, Team, user};
use crate::common::content::{NOBODYS, sha256};
use crate::common::http::Response;
use crate::common::repository::assert_refused;

/// Every route about a repository.
fn routes(name: &str) -> Vec<(Method, String)> {
    let digest = sha256(b"config");
    let path = |rest: &str| format!("/v2/{name}/{rest}");
    let upload = path("blobs/uploads/00000000-0000-4000-8000-000000000000");
    let blob = path(&format!("blobs/{digest}"));
    let manifest = path("manifests/v1");
    let mut routes: Vec<(Method, String)> = ["GET", "HEAD", "PUT", "DELETE"]
        .map(|method| (method.parse().expect("it is one"), manifest.clone()))
        .to_vec();
    routes
        .extend(["GET", "HEAD", "DELETE"].map(|it| (it.parse().expect("it is one"), blob.clone())));
    routes.extend(
        ["GET", "HEAD", "PATCH", "PUT", "DELETE"]
            .map(|it| (it.parse().expect("it is one"), upload.clone())),
    );
    routes.extend([
        (Method::GET, path("tags/list")),
        (Method::GET, path("tags/list?n=0")),
        (Method::GET, path(&format!("referrers/{digest}"))),
        (Method::GET, path(&format!("manifests/{digest}"))),
        (Method::GET, path("manifests/sha256:zz")),
        (Method::POST, path("blobs/uploads/")),
        (Method::POST, path(&format!("blobs/uploads/?mount={digest}&from=team/open"))),
    ]);
    routes
}

/// All that a client sees of an answer, with one name in the place of another.
pub(super) fn seen(
    answer: &Response,
    name: &str,
    other: &str,
) -> (u16, Vec<(String, String)>, Vec<u8>) {
    let mut headers: Vec<(String, String)> = answer
        .headers
        .iter()
        .map(|(key, value)| {
            let value = value.to_str().expect("headers are ASCII here").replace(name, other);
            (key.to_string(), value)
        })
        // Whether the connection stays depends on when the body came.
        .filter(|(key, _)| key != "date" && key != "connection")
        .collect();
    headers.sort();
    (answer.status, headers, answer.body.clone())
}

#[test]
fn private_and_absent_are_the_same_to_who_has_no_right() {
    let team = Team::start();
    assert_eq!(team.push("team/secret", &user("anna")), [201, 201]);
    let scopes =
        ["repository:team/secret:pull,push,delete repository:team/absent:pull,push,delete"];
    for sender in [
        Sender::Nobody,
        team.bearer(&Sender::Nobody, &scopes),
        user("carl"),
        team.bearer(&user("carl"), &scopes),
    ] {
        let pairs = routes("team/secret").into_iter().zip(routes("team/absent"));
        for ((method, there), (_, absent)) in pairs {
            let [one, other] = [&there, &absent]
                .map(|path| team.send(method.clone(), path, &sender, b"{}".to_vec()));
            assert_eq!(one.status, 401, "{method} {there}: {}", one.text());
            assert_eq!(
                seen(&one, "team/secret", "team/absent"),
                seen(&other, "team/secret", "team/absent"),
                "{method} {there} by {sender:?}"
            );
            assert!(!one.text().contains("team"), "{}", one.text());
            // So docker says that one may have to sign in; who has sent nothing is only challenged.
            let challenge = one.header("www-authenticate");
            let is_lacking = challenge.contains("error=\"insufficient_scope\"");
            assert_eq!(is_lacking, !matches!(sender, Sender::Nobody), "{challenge}");
        }
    }
}

#[test]
fn each_does_what_its_role_and_the_visibility_allow() {
    let team = Team::start();
    for name in ["team/secret", "team/inner", "team/open"] {
        assert_eq!(team.push(name, &user("anna")), [201, 201], "{name}");
    }
    let robot = || Sender::Basic("ci".to_owned(), team.secrets.of_robot.clone());
    let personal = || Sender::Basic("anna".to_owned(), team.secrets.of_anna.clone());
    // To pull from the private, the internal and the public one, to push to each, and to delete from each.
    for (sender, pulls, pushes, deletes) in [
        (Sender::Nobody, [401, 401, 200], [401; 3], [401; 3]),
        (user("carl"), [401, 200, 200], [401, 403, 403], [401, 403, 403]),
        (user("rita"), [200; 3], [403; 3], [403; 3]),
        (user("will"), [200; 3], [202; 3], [403; 3]),
        (robot(), [200; 3], [202; 3], [401; 3]),
        (personal(), [200; 3], [401; 3], [401; 3]),
        (user("anna"), [200; 3], [202; 3], [404; 3]),
        (user("root"), [200; 3], [202; 3], [404; 3]),
    ] {
        for (number, name) in ["team/secret", "team/inner", "team/open"].into_iter().enumerate() {
            let send = |method, path: String| team.send(method, &path, &sender, Vec::new()).status;
            let pull = send(Method::GET, format!("/v2/{name}/manifests/v1"));
            let push = send(Method::POST, format!("/v2/{name}/blobs/uploads/"));
            let delete = send(Method::DELETE, format!("/v2/{name}/blobs/{NOBODYS}"));
            let expected = (pulls[number], pushes[number], deletes[number]);
            assert_eq!((pull, push, delete), expected, "{name} by {sender:?}");
        }
    }
    let refused =
        team.send(Method::POST, "/v2/team/open/blobs/uploads/", &user("rita"), Vec::new());
    assert_refused(&refused, 403, "DENIED");
    assert!(refused.text().contains("writer"), "{}", refused.text());
}

#[test]
fn users_create_repositories_in_their_own_namespaces() {
    let team = Team::start();
    assert_eq!(team.push("carl/app", &user("carl")), [201, 201]);
    assert_eq!(team.push("carl", &user("carl")), [201, 201]);
    assert_eq!(team.push("team/new", &user("will")), [201, 201]);
    assert_eq!(team.push("anna/app", &user("carl")), [401, 401]);
    assert_eq!(team.push("elsewhere/app", &user("carl")), [401, 401]);
    assert_eq!(team.push("elsewhere/app", &user("root")), [201, 201]);
    assert_eq!(team.get("/v2/carl/absent/tags/list", &user("carl")).status, 404);
}

#[test]
fn a_mount_from_what_one_may_not_read_begins_an_upload() {
    let team = Team::start();
    assert_eq!(team.push("team/secret", &user("anna")), [201, 201]);
    let digest = sha256(b"config");
    let mount = |from: &str, sender: &Sender| {
        let path = format!("/v2/carl/app/blobs/uploads/?mount={digest}{from}");
        team.send(Method::POST, &path, sender, Vec::new())
    };
    let carl = team.bearer(
        &user("carl"),
        &["repository:carl/app:pull,push repository:team/secret:pull repository:team/absent:pull"],
    );
    for sender in [&user("carl"), &carl] {
        for from in ["&from=team/secret", "&from=team/absent", "&from=No/Name", ""] {
            let answer = mount(from, sender);
            assert_eq!(answer.status, 202, "{from}: {}", answer.text());
        }
    }
    assert_eq!(team.push("team/open", &user("anna")), [201, 201]);
    assert_eq!(mount("&from=team/open", &user("carl")).status, 201);
}

#[test]
fn a_challenge_to_a_mount_names_its_source_as_well() {
    let team = Team::start();
    let path = format!("/v2/carl/app/blobs/uploads/?mount={}", sha256(b"config"));
    let own = "repository:carl/app:pull,push";
    for (from, scope) in [
        ("&from=team/secret", format!("{own} repository:team/secret:pull")),
        ("&from=team/absent", format!("{own} repository:team/absent:pull")),
        ("&from=No/Name", own.to_owned()),
        ("", own.to_owned()),
    ] {
        for sender in [Sender::Nobody, team.bearer(&user("carl"), &[])] {
            let path = format!("{path}{from}");
            let refused = team.send(Method::POST, &path, &sender, Vec::new());
            assert_eq!(refused.status, 401, "{from} {sender:?}");
            let challenge = refused.header("www-authenticate");
            assert!(challenge.contains(&format!("scope=\"{scope}\"")), "{challenge}");
        }
    }
}

/// The suite of the OCI requests just what it is challenged for, and without `from` no client knows what to request.
#[test]
fn a_mount_beyond_its_token_names_a_source_that_the_user_may_read_and_none_that_is_hidden() {
    let team = Team::start();
    let mount = format!("/v2/carl/app/blobs/uploads/?mount={}", sha256(b"config"));
    let own = "repository:carl/app:pull,push";
    assert_eq!(team.push("team/secret", &user("anna")), [201, 201]);
    let narrow = team.bearer(&user("carl"), &[own]);
    for from in ["", "&from=team/secret", "&from=team/absent", "&from=No/Name"] {
        let begun = team.send(Method::POST, &format!("{mount}{from}"), &narrow, Vec::new());
        assert_eq!(begun.status, 202, "what is hidden is as if absent: {}", begun.text());
    }

    assert_eq!(team.push("team/inner", &user("anna")), [201, 201]);
    let scope = format!("{own} repository:team/inner:pull");
    let wide = team.bearer(&user("carl"), &[&scope]);
    for from in ["", "&from=team/inner"] {
        let mount = format!("{mount}{from}");
        let refused = team.send(Method::POST, &mount, &narrow, Vec::new());
        assert_refused(&refused, 401, "UNAUTHORIZED");
        let challenge = refused.header("www-authenticate").to_owned();
        let expected = format!("scope=\"{scope}\",error=\"insufficient_scope\"");
        assert!(challenge.ends_with(&expected), "{challenge}");
        let mounted = team.send(Method::POST, &mount, &wide, Vec::new());
        assert_eq!(mounted.status, 201, "{}", mounted.text());
    }
}

#[test]
fn an_upload_is_of_who_began_it() {
    let team = Team::start();
    let path = "/v2/team/secret/blobs/uploads/";
    let begun = team.send(Method::POST, path, &user("anna"), Vec::new());
    let location = begun.header("location").to_owned();
    assert_eq!(team.get(&location, &user("anna")).status, 204);
    for sender in [user("will"), user("root")] {
        assert_refused(&team.get(&location, &sender), 404, "BLOB_UPLOAD_UNKNOWN");
    }
    assert_eq!(team.get(&location, &user("carl")).status, 401);
}

#[test]
fn metrics_are_for_administrators() {
    let team = Team::start();
    for (sender, status) in [(user("root"), 200), (user("anna"), 403), (Sender::Nobody, 401)] {
        assert_eq!(team.get("/metrics", &sender).status, status, "{sender:?}");
    }
}
