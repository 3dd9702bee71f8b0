//! Whose repository a name means.

use std::net::Ipv4Addr;

use crate::oci::{ForeignName, NameError, RepositoryName, RepositoryRecord, read_domain};

/// What the operator says about names that look like a foreign root.
#[derive(Debug, Clone, Default)]
pub struct Names {
    /// Domains below which this registry's own repositories stand.
    pub own: Vec<String>,
    /// First components that are local although they look like a foreign root.
    pub local: Vec<String>,
    /// Whether a request can mean another registry than this one by more than the name.
    pub federates: bool,
    /// Values of `Host` that stand for the domain of the same name.
    pub hosts: Vec<String>,
}

/// What a request means by a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meant {
    /// The repository.
    pub name: RepositoryName,
    /// Its name as the client said it, also in its requests for tokens.
    pub requested: RepositoryName,
    /// The repository of this registry that may stand in for it, if the request is on behalf of another registry:
    /// the name as the client said it.
    pub own: Option<RepositoryName>,
    /// What is known of the repository of this registry that is meant; none where there is none yet, or where another one
    /// may stand in for it.
    pub record: Option<RepositoryRecord>,
    /// What is known of the one that may stand in.
    pub own_record: Option<RepositoryRecord>,
}

impl From<RepositoryName> for Meant {
    fn from(name: RepositoryName) -> Self {
        Self { requested: name.clone(), name, own: None, record: None, own_record: None }
    }
}

impl Names {
    /// Returns the repository that a request means by a name: at the host `host`, and on behalf of the
    /// registry `namespace` (containerd's `?ns=`), each if it is known.
    ///
    /// # Errors
    /// When the name becomes too long by the domain that it stands below.
    pub fn meant(
        &self,
        name: RepositoryName,
        host: Option<&str>,
        namespace: Option<&str>,
    ) -> Result<Meant, NameError> {
        if let Some(own) = self.own.iter().find_map(|domain| name.below(domain)) {
            return Ok(Meant { requested: name, ..own.into() });
        }
        if self.is_local(&name) || !self.federates || name.foreign().is_some() {
            return Ok(name.into());
        }
        // Names of the DNS are the same in upper and in lower case.
        let host = host.map(without_port).and_then(read_domain);
        let host = host.filter(|host| self.hosts.contains(host));
        // An address has no record that could say whose images it means.
        let namespace = namespace.and_then(read_domain);
        let namespace = namespace.filter(|it| it.parse::<Ipv4Addr>().is_err());
        let own = namespace.as_ref().map(|_| name.clone());
        match namespace.or(host) {
            Some(domain) if !self.own.contains(&domain) => {
                let meant: RepositoryName = format!("{domain}/{name}").parse()?;
                Ok(Meant { requested: name, own, ..meant.into() })
            }
            _ => Ok(name.into()),
        }
    }

    /// Returns the repository of this registry that is meant; none where another one may stand in for it, which is
    /// decided later: a foreign image that is cached is served while the index is away.
    #[must_use]
    pub fn local<'a>(&self, meant: &'a Meant) -> Option<&'a RepositoryName> {
        (meant.own.is_none() && self.foreign(&meant.name).is_none()).then_some(&meant.name)
    }

    /// Reads a name as one below a foreign root; none if it is this registry's own, also because the
    /// operator says so.
    #[must_use]
    pub fn foreign(&self, name: &RepositoryName) -> Option<ForeignName> {
        if self.is_local(name) { None } else { name.foreign() }
    }

    /// Tells whether the operator says that a name is the registry's own, whatever it looks like.
    fn is_local(&self, name: &RepositoryName) -> bool {
        name.namespace().is_some_and(|first| self.local.iter().any(|local| local == first))
    }
}

/// Says why a repository below a foreign root cannot be changed.
pub(super) fn not_ours(name: &RepositoryName, root: &str) -> String {
    format!(
        "cannot change `{name}`: names that begin with a domain, a CID or an IPNS key belong to other \
         registries; use a name without `{root}`, or ask the operator to list `{root}` in \
         server.local_namespaces"
    )
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let list = |texts: &[&str]| texts.iter().map(|&text| text.to_owned()).collect();
        Names {
            own: list(&["own.example"]),
            local: list(&["docker.io"]),
            federates: true,
            hosts: list(&["host.example", "own.example"]),
        }
    }

    fn meant(name: &str, host: Option<&str>, namespace: Option<&str>) -> String {
        names().meant(name.parse().unwrap(), host, namespace).unwrap().name.to_string()
    }

    #[test]
    fn a_name_below_an_own_domain_is_the_registrys() {
        assert_eq!(meant("own.example/team/api", None, None), "team/api");
        assert_eq!(meant("own.examples/api", None, None), "own.examples/api");
        assert_eq!(
            meant("own.example", None, None),
            "own.example",
            "one component is always local"
        );
        assert_eq!(meant("api", Some("own.example"), None), "api");
        assert_eq!(meant("api", None, Some("own.example")), "api");
    }

    #[test]
    fn a_host_that_is_listed_and_a_namespace_stand_for_a_domain() {
        assert_eq!(meant("api", Some("host.example:5000"), None), "host.example/api");
        assert_eq!(meant("api", Some("other.example"), None), "api");
        assert_eq!(meant("api", Some("127.0.0.1:5000"), Some("far.example")), "far.example/api");
        assert_eq!(meant("api", Some("host.example"), Some("far.example")), "far.example/api");
        let addresses = ["127.0.0.1", "192.0.2.1", "127.0.0.1:5000", "[::1]", "[::1]:5000", "::1"];
        for odd in addresses {
            assert_eq!(meant("api", None, Some(odd)), "api", "{odd}");
        }
        for odd in ["localhost:5000", "far.example:5000", "a/b.c", "", "nodot"] {
            assert_eq!(meant("api", None, Some(odd)), "api", "{odd}");
        }
    }

    #[test]
    fn a_host_and_a_namespace_mean_the_same_however_they_are_written() {
        for host in ["Host.Example:5000", "host.example.", "HOST.EXAMPLE.:443"] {
            assert_eq!(meant("api", Some(host), None), "host.example/api", "{host}");
        }
        for namespace in ["xn--bcher-kva.example", "XN--BCHER-KVA.Example.", "Bücher.example"] {
            let expected = "xn--bcher-kva.example/api";
            assert_eq!(meant("api", None, Some(namespace)), expected, "{namespace}");
        }
        assert_eq!(meant("api", None, Some("OWN.example")), "api");
    }

    #[test]
    fn an_own_repository_stands_in_for_a_namespace_and_never_for_a_host() {
        let own = |name: &str, host, namespace| {
            let meant = names().meant(name.parse().unwrap(), host, namespace).unwrap();
            meant.own.map(|own| own.to_string())
        };
        let (host, far) = (Some("host.example"), Some("far.example"));
        assert_eq!(own("team/api", None, far).as_deref(), Some("team/api"));
        assert_eq!(own("team/api", host, far).as_deref(), Some("team/api"));
        assert_eq!(own("team/api", host, None), None);
        assert_eq!(
            own("far.example/team/api", None, far),
            None,
            "the name itself says whose it is"
        );
        assert_eq!(
            own("team/api", None, Some("own.example")),
            None,
            "it is this registry's anyway"
        );
    }

    #[test]
    fn without_federation_a_name_is_what_it_says() {
        let names = Names { federates: false, ..names() };
        let meant = names.meant("api".parse().unwrap(), Some("host.example"), Some("far.example"));
        assert_eq!(meant.unwrap().name.as_str(), "api");
    }

    #[test]
    fn a_name_that_says_whose_it_is_stays_so() {
        for name in ["far.example/api", "docker.io/library/busybox"] {
            assert_eq!(meant(name, Some("host.example"), Some("other.example")), name);
        }
    }

    #[test]
    fn a_name_that_becomes_too_long_is_refused() {
        let name: RepositoryName = "a".repeat(255).parse().unwrap();
        assert!(names().meant(name, None, Some("far.example")).is_err());
    }

    #[test]
    fn a_name_that_the_operator_calls_local_has_no_publisher() {
        let foreign = |name: &str| names().foreign(&name.parse().unwrap());
        assert!(foreign("docker.io/library/busybox").is_none());
        let found = foreign("far.example/team/api").unwrap();
        assert_eq!(found.root.to_string(), "far.example");
        assert_eq!(found.repository.as_str(), "team/api");
        assert!(foreign("team/api").is_none());
    }
}
