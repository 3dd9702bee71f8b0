//! One repository of a registry.

use std::fmt;

use reqwest::Url;

use super::connection::Client;
use super::error::Result;
use super::pages::{self, Pages};
use super::token::Scope;
use crate::oci::{RepositoryName, Tag};

/// A repository: cheap to clone. Whether the registry has it shows with the first request.
#[derive(Debug, Clone)]
pub struct Repository {
    pub(super) client: Client,
    name: RepositoryName,
}

impl Client {
    /// Returns one of the registry's repositories; nothing is sent yet.
    ///
    /// ```
    /// use roadstead::client::Client;
    ///
    /// let client = Client::new("http://localhost:5000")?;
    /// let repository = client.repository(&"team/app".parse()?);
    /// assert_eq!(repository.name().as_str(), "team/app");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn repository(&self, name: &RepositoryName) -> Repository {
        Repository::new(self.clone(), name.clone())
    }
}

impl Repository {
    pub(super) fn new(client: Client, name: RepositoryName) -> Self {
        Self { client, name }
    }

    /// Returns the name.
    ///
    /// ```
    /// use roadstead::client::Client;
    ///
    /// let repository = Client::new("http://localhost:5000")?.repository(&"app".parse()?);
    /// assert_eq!(repository.name().to_string(), "app");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn name(&self) -> &RepositoryName {
        &self.name
    }

    /// Tells whether both are of one registry.
    pub(crate) fn is_at(&self, other: &Self) -> bool {
        self.client.shared.base.origin() == other.client.shared.base.origin()
    }

    /// Lists the tags, page by page, in the registry's order.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("https://registry.example")?.repository(&"team/app".parse()?);
    /// let mut pages = repository.tags().of_size(100);
    /// while let Some(tags) = pages.next().await? {
    ///     println!("{tags:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn tags(&self) -> Pages<Tag> {
        let context = format!("cannot list the tags of {self}");
        let url = self.url("tags/list", &[]);
        Pages::new(self.client.clone(), url, Scope::pull(&self.name), context, pages::tags)
    }

    /// `url("tags/list", &[])` is `<base>/v2/<name>/tags/list`.
    pub(super) fn url(&self, rest: &str, query: &[(&str, &str)]) -> Url {
        self.client.url(&format!("/v2/{}/{rest}", self.name), query)
    }

    /// Deletes what is at that path.
    pub(super) async fn delete(&self, rest: &str, context: String) -> Result<()> {
        let scope = Scope::delete(&self.name);
        let request =
            self.client.request(reqwest::Method::DELETE, self.url(rest, &[]), scope, context);
        request.expect(&[200, 202, 204]).await.map(drop)
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.client.host(), self.name)
    }
}
