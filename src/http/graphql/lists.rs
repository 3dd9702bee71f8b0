//! Lists in pages.

use async_graphql::{OutputType, SimpleObject};

use super::bounds::QUERY;
use super::images::{Image, NamespaceUsage};
use super::types::{
    AuditEvent, Grant, Member, Namespace, Quota, Repository, Robot, Team, Token, User,
};
use crate::accounts::{Page, PageRequest};

/// How many a page has that does not say.
const USUAL: i32 = 50;

/// A page of a list
#[derive(SimpleObject)]
#[graphql(concrete(name = "UserPage", params(User)))]
#[graphql(concrete(name = "RobotPage", params(Robot)))]
#[graphql(concrete(name = "TokenPage", params(Token)))]
#[graphql(concrete(name = "TeamPage", params(Team)))]
#[graphql(concrete(name = "MemberPage", params(Member)))]
#[graphql(concrete(name = "GrantPage", params(Grant)))]
#[graphql(concrete(name = "NamespacePage", params(Namespace)))]
#[graphql(concrete(name = "QuotaPage", params(Quota)))]
#[graphql(concrete(name = "RepositoryPage", params(Repository)))]
#[graphql(concrete(name = "ImagePage", params(Image)))]
#[graphql(concrete(name = "NamespaceUsagePage", params(NamespaceUsage)))]
#[graphql(concrete(name = "AuditEventPage", params(AuditEvent)))]
pub(super) struct List<T: OutputType> {
    /// What is on it
    pub(super) items: Vec<T>,
    /// What to give as `after` to get the next page; none after the last one
    pub(super) next: Option<String>,
}

impl<T: OutputType, U: Into<T>> From<Page<U>> for List<T> {
    fn from(page: Page<U>) -> Self {
        Self { items: page.items.into_iter().map(Into::into).collect(), next: page.next }
    }
}

/// Returns which page is requested.
pub(super) fn page(after: Option<&str>, first: Option<i32>) -> PageRequest<'_> {
    let limit = u32::try_from(first.unwrap_or(USUAL)).unwrap_or(1);
    PageRequest { after, limit }
}

/// Returns what a page counts of which each entry counts that much.
pub(super) fn complexity(first: Option<i32>, entry: usize) -> usize {
    page(None, first).limit.clamp(1, PageRequest::MOST) as usize * entry + QUERY
}
