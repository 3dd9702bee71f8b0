//! The repositories that a caller may see, in pages.

use sqlx::QueryBuilder;

use super::super::columns::parsed;
use super::super::connection::{Connection, on};
use super::super::{Index, Result};
use super::visible::{Range, VisiblePattern, ranges};
use crate::oci::{RepositoryName, Visibility};

/// How many ranges one statement reads, whatever there are, so that it is prepared once. With more, a statement of many
/// parts takes longer to plan than to run; with fewer, there are more round trips.
const RANGES: usize = 16;

/// How many names are read at a time where not all of them match.
const UNSURE: usize = 1000;

/// What a caller may see beside public repositories. For administrators there is [`Index::repositories`].
#[derive(Debug, Clone, Copy)]
pub struct CatalogFilter<'a> {
    /// Whether it is signed in, and so sees internal repositories.
    pub is_signed_in: bool,
    /// Which repositories it has a role in or owns, whoever else may see them.
    pub patterns: &'a [VisiblePattern],
}

/// A repository in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRepository {
    /// Its name.
    pub name: RepositoryName,
    /// Who may see it.
    pub visibility: Visibility,
}

/// A name, and who may see what has it.
type Row = (String, String);

/// Names to read: those of a range, in a tree of names by visibility where one is given.
struct Part {
    visibility: Option<Visibility>,
    range: Range,
}

impl Index {
    /// Lists repositories that have a manifest and that a caller may see, bytewise after `last`, at most `limit`.
    ///
    /// The work of a page depends on what it lists and on how many patterns there are, not on how many repositories are
    /// hidden between: what everybody may see is read by the index on visibility and name, and each pattern is a range of
    /// the index on names, read from where the page begins and no further than the page needs. Only patterns with a `*`
    /// before their end also read names that do not match.
    pub async fn visible_repositories(
        &self,
        filter: &CatalogFilter<'_>,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<SeenRepository>> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let last = last.unwrap_or_default();
        if limit == 0 {
            return Ok(Vec::new());
        }
        let connection = &mut self.read().await?;
        let mut names = open_names(connection, filter.is_signed_in, last, limit).await?;
        // What comes after a full page of these is not on this page.
        let through = names.last().filter(|_| names.len() >= limit).map(|(name, _)| name.clone());
        let (ranges, is_exact) = ranges(filter.patterns);
        let ranges = ranges.iter().filter_map(|range| range.clipped(last, through.as_deref()));
        let ranges: Vec<Range> = ranges.collect();
        let matches = |name: &str| is_exact || filter.patterns.iter().any(|it| it.matches(name));
        names.extend(matching_names(connection, ranges, matches, is_exact, limit).await?);
        names.sort_unstable();
        // It may have changed between the two queries.
        names.dedup_by(|later, first| later.0 == first.0);
        names.truncate(limit);
        names.iter().map(seen).collect()
    }

    /// Lists all repositories that have a manifest, bytewise after `last`, at most `limit`.
    pub async fn all_repositories(
        &self,
        last: Option<&str>,
        limit: u32,
    ) -> Result<Vec<SeenRepository>> {
        let Some(range) = Range::all().clipped(last.unwrap_or_default(), None) else {
            return Ok(Vec::new());
        };
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let parts = [Part { visibility: None, range }];
        read(&mut self.read().await?, &parts, limit).await?.iter().map(seen).collect()
    }
}

fn seen((name, visibility): &Row) -> Result<SeenRepository> {
    Ok(SeenRepository { name: parsed(name)?, visibility: parsed(visibility)? })
}

/// Lists the first repositories after a name that everybody may see, or everybody who is signed in.
async fn open_names(
    connection: &mut Connection,
    is_signed_in: bool,
    last: &str,
    limit: usize,
) -> Result<Vec<Row>> {
    let Some(range) = Range::all().clipped(last, None) else { return Ok(Vec::new()) };
    let mut parts = vec![Part { visibility: Some(Visibility::Public), range: range.clone() }];
    if is_signed_in {
        parts.push(Part { visibility: Some(Visibility::Internal), range });
    }
    read(connection, &parts, limit).await
}

/// Lists the first repositories of ranges, which do not overlap, that match.
async fn matching_names(
    connection: &mut Connection,
    ranges: Vec<Range>,
    matches: impl Fn(&str) -> bool,
    is_exact: bool,
    limit: usize,
) -> Result<Vec<Row>> {
    let at_once = if is_exact { limit } else { limit.max(UNSURE) };
    let mut found = Vec::new();
    for chunk in ranges.chunks(RANGES) {
        let mut last = String::new();
        loop {
            let ranges = chunk.iter().filter_map(|range| range.clipped(&last, None));
            let mut parts: Vec<Part> =
                ranges.map(|range| Part { visibility: None, range }).collect();
            if parts.is_empty() {
                break;
            }
            parts.resize_with(RANGES, || Part { visibility: None, range: Range::none() });
            let names = read(connection, &parts, at_once).await?;
            let is_all = names.len() < at_once;
            last = names.last().map(|(name, _)| name.clone()).unwrap_or_default();
            found.extend(names.into_iter().filter(|(name, _)| matches(name)));
            if found.len() >= limit {
                return Ok(found);
            }
            if is_all {
                break;
            }
        }
    }
    Ok(found)
}

/// Lists the first repositories of some parts that have a manifest, in order.
///
/// Each part is a statement of its own with a limit of its own: the database then reads it by an index, in order, and
/// stops. One condition with `OR` over all of them would have it read every name, or all that match before the first page
/// is cut off. For the same reason what is asked about manifests is a value and no `EXISTS`, which Postgres would turn into
/// a join, and read all manifests for it.
async fn read(connection: &mut Connection, parts: &[Part], limit: usize) -> Result<Vec<Row>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    on!(connection, "listing visible repositories", db => {
        let mut select = QueryBuilder::new("SELECT name, visibility FROM (");
        for (number, part) in parts.iter().enumerate() {
            if number > 0 {
                select.push(" UNION ALL ");
            }
            select.push(
                "SELECT name, visibility FROM (SELECT name, visibility FROM repositories r WHERE ",
            );
            if let Some(visibility) = part.visibility {
                select.push("visibility = ").push_bind(visibility.as_str()).push(" AND ");
            }
            select
                .push("name >= ")
                .push_bind(part.range.first.as_str())
                .push(" AND name <= ")
                .push_bind(part.range.last.as_str())
                .push(
                    " AND (SELECT m.repository FROM repository_manifests m \
                     WHERE m.repository = r.id LIMIT 1) IS NOT NULL ORDER BY name LIMIT ",
                )
                .push_bind(limit)
                .push(") AS part");
        }
        select.push(") AS parts ORDER BY name LIMIT ").push_bind(limit);
        select.build_query_as().fetch_all(db).await
    })
}
