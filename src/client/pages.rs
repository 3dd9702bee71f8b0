//! Lists that a registry gives page by page, each with a link to the next (distribution-spec, "Listing tags").

use std::str::FromStr;

use reqwest::header::LINK;
use reqwest::{Method, Url};
use serde::Deserialize;

use super::connection::Client;
use super::error::{ClientError, ClientErrorKind, Result};
use super::token::Scope;
use crate::oci::{RepositoryName, Tag};

/// How many times the largest page a list may have, over all pages.
const PAGES: usize = 4;

/// How many empty pages in a row a registry may give, such as those of which the client may see nothing.
const EMPTY: u32 = 3;

/// Reads the entries of a page.
type Parse<T> = fn(&[u8]) -> std::result::Result<Vec<T>, Box<dyn std::error::Error + Send + Sync>>;

/// A list, page by page.
pub struct Pages<T> {
    client: Client,
    next: Option<Url>,
    scope: Scope,
    context: String,
    parse: Parse<T>,
    /// How many more entries it may have.
    left: usize,
    /// How many more bytes it may have.
    bytes_left: usize,
    /// How many empty pages came last.
    empty: u32,
}

impl Client {
    /// Lists the names of the repositories that the client may see, page by page. Many registries have no such list.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// for name in Client::new("http://localhost:5000")?.repositories().all().await? {
    ///     println!("{name}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn repositories(&self) -> Pages<RepositoryName> {
        let context = format!("cannot list the repositories of {}", self.host());
        let url = self.url("/v2/_catalog", &[]);
        Pages::new(self.clone(), url, Scope::catalog(), context, repositories)
    }
}

impl<T> Pages<T> {
    pub(super) fn new(
        client: Client,
        first: Url,
        scope: Scope,
        context: String,
        parse: Parse<T>,
    ) -> Self {
        let limits = client.shared.limits;
        let (left, bytes_left) = (limits.entries, limits.page.saturating_mul(PAGES));
        Self { client, next: Some(first), scope, context, parse, left, bytes_left, empty: 0 }
    }

    /// Asks for pages of so many entries; a registry may give fewer.
    ///
    /// ```
    /// use roadstead::client::Client;
    ///
    /// let pages = Client::new("http://localhost:5000")?.repositories().of_size(10);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn of_size(mut self, size: usize) -> Self {
        if let Some(next) = &mut self.next {
            next.query_pairs_mut().append_pair("n", &size.to_string());
        }
        self
    }

    /// Fetches the next page; nothing after the last one. After a failure it requests the same page again.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let mut pages = Client::new("http://localhost:5000")?.repositories();
    /// let first = pages.next().await?.unwrap_or_default();
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`ClientErrorKind::TooLarge`] if a page, or the list, is longer than the limits allow;
    /// [`ClientErrorKind::Protocol`] if it is not the list that it should be, or leads nowhere.
    pub async fn next(&mut self) -> Result<Option<Vec<T>>> {
        let Some(url) = self.next.clone() else { return Ok(None) };
        let client = self.client.clone();
        let request = client.request(Method::GET, url.clone(), self.scope.clone(), &*self.context);
        let answer = request.expect(&[200]).await?;
        let next = answer.header(LINK).and_then(next_link);
        let next = next.map(|text| answer.link(text, "Link")).transpose()?;
        if let Some(next) = &next
            && next.origin() != client.shared.base.origin()
        {
            return Err(answer.protocol("its Link leads to another host"));
        }
        if next.as_ref().is_some_and(|next| *next == url || next == answer.url()) {
            return Err(answer.protocol("its Link leads to itself"));
        }
        let body = answer.bytes(client.shared.limits.page.min(self.bytes_left)).await?;
        let bytes_left = self.bytes_left - body.len();
        let entries = (self.parse)(&body).map_err(|error| {
            let reason = "the answer is not the list that it should be";
            ClientError::caused_by(ClientErrorKind::Protocol, &*self.context, reason, error)
        })?;
        // An empty page counts as well: pages could lead in a circle.
        let Some(left) = self.left.checked_sub(entries.len().max(1)) else {
            let reason = "the list is longer than the limits allow";
            return Err(ClientError::new(ClientErrorKind::TooLarge, &*self.context, reason));
        };
        let empty = if entries.is_empty() { self.empty + 1 } else { 0 };
        if empty > EMPTY && next.is_some() {
            let reason = format!("the list goes on after {empty} empty pages");
            return Err(ClientError::new(ClientErrorKind::Protocol, &*self.context, reason));
        }
        // Only now, so that a page that failed is requested again, and its failure is not taken for the end of the list.
        (self.next, self.left, self.bytes_left, self.empty) = (next, left, bytes_left, empty);
        Ok(Some(entries))
    }

    /// Fetches all pages.
    ///
    /// ```no_run
    /// # // It needs a registry.
    /// use roadstead::client::Client;
    ///
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let repository = Client::new("https://registry.example")?.repository(&"team/app".parse()?);
    /// let tags = repository.tags().all().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Those of [`Self::next`].
    pub async fn all(mut self) -> Result<Vec<T>> {
        let mut all = Vec::new();
        while let Some(page) = self.next().await? {
            all.extend(page);
        }
        Ok(all)
    }
}

/// Reads the link to the next page out of a `Link` header (RFC 8288): `</v2/…>; rel="next"`.
fn next_link(header: &str) -> Option<&str> {
    let mut rest = header;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, after) = after.split_once('>')?;
        let end = after.find('<').unwrap_or(after.len());
        let is_next = after[..end].split([';', ',']).any(|parameter| {
            let relation = parameter.trim().strip_prefix("rel=");
            relation.is_some_and(|it| it.trim_matches('"').eq_ignore_ascii_case("next"))
        });
        if is_next {
            return Some(target);
        }
        rest = &after[end..];
    }
    None
}

fn texts<T: FromStr>(
    texts: Option<Vec<String>>,
) -> std::result::Result<Vec<T>, Box<dyn std::error::Error + Send + Sync>>
where
    T::Err: std::error::Error + Send + Sync + 'static,
{
    let entries = texts.unwrap_or_default();
    entries.iter().map(|text| text.parse().map_err(Into::into)).collect()
}

fn repositories(
    body: &[u8],
) -> std::result::Result<Vec<RepositoryName>, Box<dyn std::error::Error + Send + Sync>> {
    #[derive(Deserialize)]
    struct Page {
        repositories: Option<Vec<String>>,
    }

    texts(serde_json::from_slice::<Page>(body)?.repositories)
}

pub(super) fn tags(
    body: &[u8],
) -> std::result::Result<Vec<Tag>, Box<dyn std::error::Error + Send + Sync>> {
    #[derive(Deserialize)]
    struct Page {
        // The stock registry says `null` for none.
        tags: Option<Vec<String>>,
    }

    texts(serde_json::from_slice::<Page>(body)?.tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_link_to_the_next_page_is_found() {
        let next = "/v2/a/tags/list?last=b&n=2";
        for header in [
            "</v2/a/tags/list?last=b&n=2>; rel=\"next\"",
            "</v2/a/tags/list?last=b&n=2>;rel=next",
            "</first>; rel=\"first\", </v2/a/tags/list?last=b&n=2>; title=\"x\"; rel=\"next\"",
        ] {
            assert_eq!(next_link(header), Some(next), "{header}");
        }
        for header in ["", "</a>", "</a>; rel=prev", "<", "<a", "rel=next"] {
            assert_eq!(next_link(header), None, "{header}");
        }
    }
}
