//! Places in a tree.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A path below a tree's root, of components that are neither empty nor `.` or `..` and have no
/// slash. It cannot leave the tree.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TreePath(String);

impl TreePath {
    /// Returns the root of a tree.
    #[must_use]
    pub fn root() -> Self {
        Self(String::new())
    }

    /// Reads a path; none if a component is not allowed.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let is_component = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        (text.is_empty() || text.split('/').all(is_component)).then(|| Self(text.to_owned()))
    }

    /// Returns the path of an entry below this one; none if the name is not allowed.
    #[must_use]
    pub fn child(&self, name: &str) -> Option<Self> {
        if self.0.is_empty() {
            return Self::parse(name);
        }
        Self::parse(&format!("{}/{name}", self.0))
    }

    /// Returns the path as text, without a slash at either end.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Lists the components from the root on.
    pub fn components(&self) -> impl Iterator<Item = &str> {
        self.0.split('/').filter(|part| !part.is_empty())
    }
}

impl TryFrom<String> for TreePath {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        Self::parse(&text).ok_or_else(|| format!("`{text}` is not a path in a tree"))
    }
}

impl From<TreePath> for String {
    fn from(path: TreePath) -> Self {
        path.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_its_tree() {
        for text in ["/", "/a", "a/", "a//b", "..", "a/../b", "./a", "a\0"] {
            assert_eq!(TreePath::parse(text), None, "{text}");
        }
        let path =
            TreePath::root().child("docker").and_then(|path| path.child("registry")).unwrap();
        assert_eq!(path.as_str(), "docker/registry");
        assert_eq!(path.child("a/.."), None);
    }
}
