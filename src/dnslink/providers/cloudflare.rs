//! `cloudflare`: the API of Cloudflare, version 4 (developers.cloudflare.com/api, "DNS records").
//!
//! It has no compare-and-swap, so the records are read before and after. The link is replaced in place, by one
//! call, so that no client sees the name without one.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client, Method, StatusCode, redirect};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

use super::super::publisher::segments;
use super::super::{Change, Domain, Provider, PublishError, PublishErrorKind, is_link};
use crate::config::PublishSettings;
use crate::https;

/// How long a connection, and a call as a whole, may take.
const CONNECT: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(30);

/// The longest answer that is read.
const LONGEST: usize = 4 * 1024 * 1024;

/// How many records a page has, and how many pages are read.
const PER_PAGE: &str = "100";
const MOST_PAGES: u32 = 50;

/// The TTLs that every account may set, in seconds.
const TTLS: (u64, u64) = (60, 86400);

/// The error codes for a record that exists already.
const ALREADY_EXISTS: [u64; 2] = [81057, 81058];

struct Cloudflare {
    client: Client,
    api: String,
    token: SecretString,
    /// The zone in ASCII; empty: the nearest one above the domain.
    zone: String,
    /// The id of the zone, once it is known.
    id: OnceCell<String>,
}

/// Makes the provider.
pub(super) fn open(settings: &PublishSettings) -> Result<Arc<dyn Provider>, PublishError> {
    let settings = settings.cloudflare.clone();
    let builder = || {
        Client::builder()
            .user_agent(concat!("roadstead/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(CONNECT)
            .timeout(LIMIT)
            .redirect(redirect::Policy::none())
    };
    let client = https::build(builder).map_err(|error| {
        PublishError::wrap(PublishErrorKind::Failed, "cannot create an HTTP client", error)
    })?;
    let id = OnceCell::new_with(Some(settings.zone_id).filter(|id| !id.is_empty()));
    let (api, token, zone) = (settings.api, settings.token, settings.zone);
    Ok(Arc::new(Cloudflare { client, api, token, zone, id }))
}

/// The envelope of every answer.
#[derive(Deserialize)]
struct Envelope<T> {
    success: bool,
    #[serde(default = "Vec::new")]
    errors: Vec<ApiError>,
    result: Option<T>,
    result_info: Option<Info>,
}

#[derive(Deserialize)]
struct ApiError {
    code: u64,
    message: String,
}

#[derive(Deserialize)]
struct Info {
    total_count: Option<u32>,
    per_page: Option<u32>,
}

impl Info {
    fn pages(&self) -> Option<u32> {
        Some(self.total_count?.div_ceil(self.per_page.filter(|per_page| *per_page > 0)?))
    }
}

#[derive(Deserialize)]
struct ZoneRow {
    id: String,
    name: String,
}

#[derive(Deserialize)]
struct Row {
    id: String,
    name: String,
    content: String,
    #[serde(default)]
    ttl: u64,
}

/// A TXT record, with its id in the API.
struct Record {
    id: String,
    text: String,
    ttl: u64,
}

#[derive(Serialize)]
struct NewRecord<'a> {
    r#type: &'a str,
    name: &'a str,
    content: String,
    ttl: u64,
}

#[async_trait]
impl Provider for Cloudflare {
    async fn write(&self, change: &Change) -> Result<(), PublishError> {
        let zone = self.zone(&change.domain).await?;
        let (name, ttl) = (change.name(), change.ttl.as_secs().clamp(TTLS.0, TTLS.1));
        let current = self.records(zone, &name).await?;
        let difference = change.against(&texts(&current))?;
        let path = format!("zones/{zone}/dns_records");
        // Records that stay get the expected TTL too.
        let is_late =
            |record: &&Record| change.expected.contains(&record.text) && record.ttl != ttl;
        for Record { id, text, .. } in current.iter().filter(is_late) {
            let record = NewRecord { r#type: "TXT", name: &name, content: quoted(text), ttl };
            let path = format!("{path}/{id}");
            self.call::<Row>(Method::PATCH, &path, &[], Some(&record)).await?;
        }
        let is_gone = |record: &Record| difference.remove.contains(&record.text);
        let mut gone: Vec<Record> = current.into_iter().filter(is_gone).collect();
        for text in &difference.add {
            let record = NewRecord { r#type: "TXT", name: &name, content: quoted(text), ttl };
            let index = gone.iter().position(|record| is_link(&record.text) == is_link(text));
            if let Some(index) = index {
                let path = format!("{path}/{}", gone.swap_remove(index).id);
                self.call::<Row>(Method::PATCH, &path, &[], Some(&record)).await?;
            } else {
                self.create(&path, &record).await?;
            }
        }
        for record in gone {
            let path = format!("{path}/{}", record.id);
            self.call::<serde_json::Value>(Method::DELETE, &path, &[], None::<&()>).await?;
        }
        // Another writer may have come between the two.
        if difference.is_empty()
            || change.against(&texts(&self.records(zone, &name).await?))?.is_empty()
        {
            return Ok(());
        }
        let context = format!("the records of {name} differ from what was written");
        Err(PublishError::new(PublishErrorKind::Unavailable, context))
    }

    async fn check(&self, change: &Change) -> Result<(), PublishError> {
        let zone = self.zone(&change.domain).await?;
        change.against(&texts(&self.records(zone, &change.name()).await?)).map(|_| ())
    }
}

impl Cloudflare {
    /// Finds the id of the zone: of the given one, or of the nearest one above the domain.
    async fn zone(&self, domain: &Domain) -> Result<&str, PublishError> {
        self.id.get_or_try_init(|| self.find_zone(domain)).await.map(String::as_str)
    }

    async fn find_zone(&self, domain: &Domain) -> Result<String, PublishError> {
        let mut rest = if self.zone.is_empty() { domain.as_str() } else { &self.zone };
        while rest.contains('.') {
            if let Some(id) = self.find_zone_by_name(rest).await? {
                return Ok(id);
            }
            if !self.zone.is_empty() {
                break;
            }
            rest = rest.split_once('.').map_or("", |(_, above)| above);
        }
        let context = format!(
            "the token has no access to a zone of {domain}: allow it to read the zone, or set \
             publish.cloudflare.zone_id"
        );
        Err(PublishError::new(PublishErrorKind::Refused, context))
    }

    /// Finds the zone of that name in ASCII. The API lists an international zone in Unicode, perhaps under
    /// that form alone.
    async fn find_zone_by_name(&self, name: &str) -> Result<Option<String>, PublishError> {
        for form in forms(name) {
            let (found, _): (Vec<ZoneRow>, _) =
                self.call(Method::GET, "zones", &[("name", &*form)], None::<&()>).await?;
            if let Some(zone) = found.into_iter().find(|zone| is_same_name(&zone.name, name)) {
                return Ok(Some(zone.id));
            }
        }
        Ok(None)
    }

    /// Lists the TXT records of a name in ASCII, under each form that the API may use.
    async fn records(&self, zone: &str, name: &str) -> Result<Vec<Record>, PublishError> {
        for form in forms(name) {
            let records = self.records_by_name(zone, &form, name).await?;
            if !records.is_empty() {
                return Ok(records);
            }
        }
        Ok(Vec::new())
    }

    async fn records_by_name(
        &self,
        zone: &str,
        form: &str,
        name: &str,
    ) -> Result<Vec<Record>, PublishError> {
        let mut records = Vec::new();
        for page in 1..=MOST_PAGES {
            let path = format!("zones/{zone}/dns_records");
            let page_text = page.to_string();
            let query = [
                ("type", "TXT"),
                ("name.exact", form),
                ("per_page", PER_PAGE),
                ("page", &page_text),
            ];
            let (rows, pages): (Vec<Row>, _) =
                self.call(Method::GET, &path, &query, None::<&()>).await?;
            let rows = rows.into_iter().filter(|row| is_same_name(&row.name, name));
            records.extend(rows.map(|row| Record {
                id: row.id,
                text: unquoted(&row.content),
                ttl: row.ttl,
            }));
            if page >= pages {
                return Ok(records);
            }
        }
        let context = format!("{name} has too many records");
        Err(PublishError::new(PublishErrorKind::Failed, context))
    }

    /// Makes a record, unless it exists already.
    async fn create(&self, path: &str, record: &NewRecord<'_>) -> Result<(), PublishError> {
        let (status, envelope) =
            self.exchange::<Row>(Method::POST, path, &[], Some(record)).await?;
        let is_there = envelope.errors.iter().any(|error| ALREADY_EXISTS.contains(&error.code));
        if envelope.success || is_there {
            return Ok(());
        }
        Err(api_error(status, &envelope.errors))
    }

    /// Makes a call that must succeed; returns the result, and its number of pages.
    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&impl Serialize>,
    ) -> Result<(T, u32), PublishError> {
        let (status, envelope) = self.exchange(method, path, query, body).await?;
        match envelope {
            Envelope { success: true, result: Some(result), result_info, .. } => {
                let pages = result_info.and_then(|info| info.pages()).unwrap_or(1);
                Ok((result, pages))
            }
            Envelope { errors, .. } => Err(api_error(status, &errors)),
        }
    }

    async fn exchange<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        body: Option<&impl Serialize>,
    ) -> Result<(StatusCode, Envelope<T>), PublishError> {
        let lost = |error: reqwest::Error| {
            let context = "the Cloudflare API does not answer";
            PublishError::wrap(PublishErrorKind::Unavailable, context, error.without_url())
        };
        let malformed = |why: String| {
            let context = format!("cannot read the answer of the Cloudflare API: {why}");
            PublishError::new(PublishErrorKind::Unavailable, context)
        };
        let request = self.client.request(method, format!("{}/{path}", self.api)).query(query);
        let mut request = request.bearer_auth(self.token.expose_secret());
        if let Some(body) = body {
            let body = serde_json::to_vec(body).map_err(|error| malformed(error.to_string()))?;
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let mut response = request.send().await.map_err(lost)?;
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS || status.is_server_error() {
            let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
            let after = after.and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
            let context = format!("the Cloudflare API answered {status}");
            return Err(PublishError::new(PublishErrorKind::Unavailable, context).after(after));
        }
        let mut answer = Vec::new();
        while let Some(piece) = response.chunk().await.map_err(lost)? {
            answer.extend_from_slice(&piece);
            if answer.len() > LONGEST {
                return Err(malformed("the answer is too long".to_owned()));
            }
        }
        let envelope = serde_json::from_slice(&answer).map_err(|error| match status {
            StatusCode::OK => malformed(error.to_string()),
            _ => api_error(status, &[]),
        })?;
        Ok((status, envelope))
    }
}

/// Maps a refusal to an error.
fn api_error(status: StatusCode, errors: &[ApiError]) -> PublishError {
    let kind = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => PublishErrorKind::Refused,
        // These codes mean that the token is malformed.
        _ if errors.iter().any(|error| matches!(error.code, 6003 | 6111 | 9109 | 10000)) => {
            PublishErrorKind::Refused
        }
        _ => PublishErrorKind::Failed,
    };
    let texts: Vec<String> =
        errors.iter().map(|error| format!("{} ({})", error.message, error.code)).collect();
    let context = format!("the Cloudflare API answered {status}: {}", texts.join(", "));
    PublishError::new(kind, context)
}

/// Returns the forms of a name in ASCII that the API may use: itself, and Unicode if that differs.
fn forms(name: &str) -> Vec<String> {
    let mut forms = vec![name.to_owned()];
    forms.extend(Some(idna::domain_to_unicode(name).0).filter(|unicode| *unicode != name));
    forms
}

/// Returns whether a name, in Unicode or in ASCII, is the same as one in ASCII.
fn is_same_name(found: &str, name: &str) -> bool {
    let is_ascii = found.eq_ignore_ascii_case(name);
    is_ascii || idna::domain_to_ascii(found).is_ok_and(|found| found.eq_ignore_ascii_case(name))
}

fn texts(records: &[Record]) -> Vec<String> {
    records.iter().map(|record| record.text.clone()).collect()
}

/// Writes a text as a zone file does: in quotes, a segment each.
fn quoted(text: &str) -> String {
    let escaped = |segment: &[u8]| {
        let text = String::from_utf8_lossy(segment);
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
    };
    segments(text).into_iter().map(escaped).collect::<Vec<_>>().join(" ")
}

/// Reads what [`quoted`] writes; a text without quotes is itself.
fn unquoted(content: &str) -> String {
    if !content.starts_with('"') {
        return content.to_owned();
    }
    let (mut text, mut is_inside) = (String::new(), false);
    let mut characters = content.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => is_inside = !is_inside,
            '\\' if is_inside => text.extend(characters.next()),
            _ if is_inside => text.push(character),
            _ => {}
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_text_stands_in_quotes_and_a_long_one_in_several() {
        assert_eq!(quoted("dnslink=/ipfs/a"), r#""dnslink=/ipfs/a""#);
        assert_eq!(quoted(&"a".repeat(256)), format!("\"{}\" \"a\"", "a".repeat(255)));
        assert_eq!(unquoted("dnslink=/ipfs/a"), "dnslink=/ipfs/a");
        assert_eq!(unquoted(r#""dnslink=" "/ipfs/a""#), "dnslink=/ipfs/a");
    }

    proptest! {
        #[test]
        fn what_is_quoted_reads_back_the_same(text in "[ -~]{1,600}") {
            prop_assert_eq!(unquoted(&quoted(&text)), text);
        }
    }
}
