//! Which repository a path is about, before it has a route.

use actix_web::HttpRequest;
use actix_web::http::Method;
use actix_web::web::Query;

use crate::auth::{Action, AuthError};
use crate::oci::RepositoryName;

/// What follows the name of a repository.
const PARTS: [&str; 4] = ["/manifests/", "/blobs/", "/tags/", "/referrers/"];

/// Returns the repository that a path below `/v2/` names and what the request does with it, as far as its method says.
pub(super) fn repository(request: &HttpRequest) -> Option<(Action, RepositoryName)> {
    let path = request.path().strip_prefix("/v2/")?;
    let end = PARTS.iter().filter_map(|part| path.rfind(part)).max()?;
    let name = path[..end].parse().ok()?;
    let action = match *request.method() {
        Method::GET | Method::HEAD => Action::Pull,
        Method::DELETE if !path[end..].starts_with("/blobs/uploads/") => Action::Delete,
        _ => Action::Push,
    };
    Some((action, name))
}

/// Says in a challenge what else a token has to be good for: to pull from where a blob is to be mounted from. Clients that
/// request just what they are challenged for could not mount otherwise.
pub(super) fn with_source(refusal: AuthError, request: &HttpRequest) -> AuthError {
    match mount_source(request) {
        Some(source) => refusal.with_source(&source),
        None => refusal,
    }
}

/// Returns the repository that a request wants to mount a blob from, where its parameters name one.
fn mount_source(request: &HttpRequest) -> Option<RepositoryName> {
    if *request.method() != Method::POST {
        return None;
    }
    let pairs = Query::<Vec<(String, String)>>::from_query(request.query_string()).ok()?;
    let get = |name| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    get("mount").filter(|digest| !digest.is_empty())?;
    get("from")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use actix_web::test::TestRequest;

    use super::*;

    #[test]
    fn a_path_names_its_repository() {
        let named = |method: Method, path: &str| {
            let request = TestRequest::with_uri(path).method(method).to_http_request();
            repository(&request).map(|(action, name)| (action, name.to_string()))
        };
        let a = |action| Some((action, "a/b".to_owned()));
        for (method, path, expected) in [
            (Method::GET, "/v2/a/b/manifests/v1", a(Action::Pull)),
            (Method::HEAD, "/v2/a/b/blobs/x", a(Action::Pull)),
            (Method::GET, "/v2/a/b/tags/list", a(Action::Pull)),
            (Method::PUT, "/v2/a/b/manifests/v1", a(Action::Push)),
            (Method::PATCH, "/v2/a/b/blobs/uploads/1", a(Action::Push)),
            (Method::DELETE, "/v2/a/b/blobs/uploads/1", a(Action::Push)),
            (Method::DELETE, "/v2/a/b/blobs/x", a(Action::Delete)),
            (Method::DELETE, "/v2/a/b/manifests/v1", a(Action::Delete)),
            (Method::GET, "/v2/", None),
            (Method::GET, "/v2/_catalog", None),
            (Method::GET, "/v2/A/manifests/v1", None),
            (Method::GET, "/metrics", None),
        ] {
            assert_eq!(named(method, path), expected, "{path}");
        }
        let source = |path: &str| {
            let request = TestRequest::with_uri(path).method(Method::POST).to_http_request();
            mount_source(&request).map(|name| name.to_string())
        };
        for (query, expected) in [
            ("?mount=sha256:a&from=c/d", Some("c/d")),
            ("?from=c%2Fd&mount=sha256:a", Some("c/d")),
            ("?mount=&from=c/d", None),
            ("?from=c/d", None),
            ("?mount=sha256:a", None),
            ("?mount=sha256:a&from=No/Name", None),
            ("", None),
        ] {
            let path = format!("/v2/a/b/blobs/uploads/{query}");
            assert_eq!(source(&path).as_deref(), expected, "{path}");
        }
        let nested = named(Method::GET, "/v2/a/manifests/b/manifests/v1");
        assert_eq!(nested, Some((Action::Pull, "a/manifests/b".to_owned())));
    }
}
