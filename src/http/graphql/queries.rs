//! What can be read over the management API.

use std::sync::Arc;

use actix_web::web::Data;
use async_graphql::{ComplexObject, Context, Object, Result};

use super::super::Api;
use super::bounds::{CHANGE, QUERY};
use super::browse;
use super::error::{no_accounts, refusal};
use super::fields::Fields;
use super::images::{Image, NamespaceUsage};
use super::lists::{List, complexity, page};
use super::manifests;
use super::moment::Moment;
use super::types::{
    AuditEvent, Grant, Member, Namespace, Quota, Repository, Robot, Team, Token, User, Viewer,
};
use crate::accounts::{Administration, AuditFilter, GrantSelection};
use crate::auth::Caller;
use crate::index::NamespaceRow;

/// What can be read
pub(super) struct Query;

/// Returns the use cases, and who requests them.
pub(super) fn parts<'a>(context: &Context<'a>) -> Result<(&'a Administration, &'a Caller)> {
    if let Some(fields) = context.data_opt::<Arc<Fields>>() {
        fields.note(context);
    }
    let administration = context.data_opt::<Arc<Administration>>().ok_or_else(no_accounts)?;
    Ok((administration, context.data::<Caller>()?))
}

/// Tells whether clients have accounts.
fn has_accounts(context: &Context<'_>) -> bool {
    context.data_opt::<Arc<Administration>>().is_some()
}

#[Object]
impl Query {
    /// Who the caller is
    #[graphql(complexity = "QUERY + child_complexity")]
    async fn viewer(&self, context: &Context<'_>) -> Result<Viewer> {
        let (administration, caller) = parts(context)?;
        administration.whoami(caller).await.map(Into::into).map_err(refusal)
    }

    /// The CID of the public root, which has all that was pushed before the request
    #[graphql(complexity = "CHANGE")]
    async fn root(&self, context: &Context<'_>) -> Result<String> {
        let (administration, caller) = parts(context)?;
        administration.whoami(caller).await.map_err(refusal)?;
        manifests::root(context.data::<Data<Api>>()?).await
    }

    /// Users, by their names
    #[graphql(complexity = "complexity(first, child_complexity)")]
    async fn users(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        first: Option<i32>,
    ) -> Result<List<User>> {
        let (administration, caller) = parts(context)?;
        let users = administration.users(caller, page(after.as_deref(), first)).await;
        users.map(Into::into).map_err(refusal)
    }

    /// Robots, by their names: of one namespace, or of all that the caller may see
    #[graphql(complexity = "complexity(first, child_complexity)")]
    async fn robots(
        &self,
        context: &Context<'_>,
        namespace: Option<String>,
        after: Option<String>,
        first: Option<i32>,
    ) -> Result<List<Robot>> {
        let (administration, caller) = parts(context)?;
        let page = page(after.as_deref(), first);
        let robots = administration.robots(caller, namespace.as_deref(), page).await;
        robots.map(Into::into).map_err(refusal)
    }

    /// Access tokens, by their ids: of a user or robot, or those that the caller made
    #[graphql(complexity = "complexity(first, child_complexity)")]
    async fn tokens(
        &self,
        context: &Context<'_>,
        owner: Option<String>,
        after: Option<String>,
        first: Option<i32>,
    ) -> Result<List<Token>> {
        let (administration, caller) = parts(context)?;
        let page = page(after.as_deref(), first);
        let tokens = administration.tokens(caller, owner.as_deref(), page).await;
        tokens.map(Into::into).map_err(refusal)
    }

    /// Teams, by their names
    #[graphql(complexity = "complexity(first, child_complexity)")]
    async fn teams(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        first: Option<i32>,
    ) -> Result<List<Team>> {
        let (administration, caller) = parts(context)?;
        let teams = administration.teams(caller, page(after.as_deref(), first)).await;
        teams.map(Into::into).map_err(refusal)
    }

    /// The members of a team, by their names
    #[graphql(complexity = "complexity(first, child_complexity)")]
    async fn team_members(
        &self,
        context: &Context<'_>,
        team: String,
        after: Option<String>,
        first: Option<i32>,
    ) -> Result<List<Member>> {
        members(context, &team, after.as_deref(), first).await
    }

    /// Grants, in the order in which they were made: of a user, a robot or `team:NAME`, in a namespace, or all that the
    /// caller may see: its own, those of its teams and those in its namespaces
    #[graphql(complexity = "complexity(first, child_complexity)")]
    async fn grants(
        &self,
        context: &Context<'_>,
        holder: Option<String>,
        namespace: Option<String>,
        after: Option<String>,
        first: Option<i32>,
    ) -> Result<List<Grant>> {
        let (administration, caller) = parts(context)?;
        let selection =
            GrantSelection { holder: holder.as_deref(), namespace: namespace.as_deref() };
        let page = page(after.as_deref(), first);
        let grants = administration.grants(caller, selection, page).await;
        grants.map(Into::into).map_err(refusal)
    }

    /// Namespaces, by their names: those of the caller, all for administrators
    #[graphql(complexity = "complexity(first, child_complexity)")]
    async fn namespaces(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        first: Option<i32>,
    ) -> Result<List<Namespace>> {
        let (administration, caller) = parts(context)?;
        let page = administration.namespaces(caller, page(after.as_deref(), first)).await;
        let page = page.map_err(refusal)?;
        let mut items = Vec::with_capacity(page.items.len());
        for row in page.items {
            items.push(namespace(administration, row).await?);
        }
        Ok(List { items, next: page.next })
    }

    /// Quotas, by the names of their namespaces: of those of the caller, all for administrators
    #[graphql(complexity = "complexity(first, child_complexity)")]
    async fn quotas(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        first: Option<i32>,
    ) -> Result<List<Quota>> {
        let (administration, caller) = parts(context)?;
        let quotas = administration.quotas(caller, page(after.as_deref(), first)).await;
        quotas.map(Into::into).map_err(refusal)
    }

    /// Repositories that the caller may learn of, by their names
    #[graphql(complexity = "complexity(first, child_complexity)")]
    async fn repositories(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        first: Option<i32>,
    ) -> Result<List<Repository>> {
        let page = page(after.as_deref(), first);
        if !has_accounts(context) {
            return browse::repositories(context, page).await;
        }
        let (administration, caller) = parts(context)?;
        let repositories = administration.repositories(caller, page).await;
        repositories.map(Into::into).map_err(refusal)
    }

    /// The images of a repository that the caller may pull from, by their tags
    #[graphql(complexity = "complexity(first, child_complexity)")]
    async fn images(
        &self,
        context: &Context<'_>,
        repository: String,
        after: Option<String>,
        first: Option<i32>,
    ) -> Result<List<Image>> {
        browse::images(context, &repository, page(after.as_deref(), first)).await
    }

    /// An image of a repository that the caller may pull from, by a tag or a digest
    #[graphql(complexity = "QUERY + child_complexity")]
    async fn image(
        &self,
        context: &Context<'_>,
        repository: String,
        reference: String,
    ) -> Result<Image> {
        browse::image(context, &repository, &reference).await
    }

    /// What namespaces have, by their names: those of the caller, all for administrators and where there are no accounts
    #[graphql(complexity = "complexity(first, child_complexity)")]
    async fn usage(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        first: Option<i32>,
    ) -> Result<List<NamespaceUsage>> {
        let page = page(after.as_deref(), first);
        if !has_accounts(context) {
            return browse::usage(context, page).await;
        }
        let (administration, caller) = parts(context)?;
        administration.usage(caller, page).await.map(Into::into).map_err(refusal)
    }

    /// The audit log, in the order in which things happened
    #[graphql(complexity = "complexity(first, child_complexity)")]
    async fn audit(
        &self,
        context: &Context<'_>,
        repository: Option<String>,
        user: Option<String>,
        since: Option<Moment>,
        after: Option<String>,
        first: Option<i32>,
    ) -> Result<List<AuditEvent>> {
        let (administration, caller) = parts(context)?;
        let (repository, user) = (repository.as_deref(), user.as_deref());
        let filter = AuditFilter { repository, user, since: since.map(Moment::milliseconds) };
        let page = page(after.as_deref(), first);
        administration.audit(caller, filter, page).await.map(Into::into).map_err(refusal)
    }
}

#[ComplexObject]
impl Team {
    /// Its members, by their names
    #[graphql(complexity = "complexity(first, child_complexity)")]
    async fn members(
        &self,
        context: &Context<'_>,
        after: Option<String>,
        first: Option<i32>,
    ) -> Result<List<Member>> {
        members(context, &self.name, after.as_deref(), first).await
    }
}

async fn members(
    context: &Context<'_>,
    team: &str,
    after: Option<&str>,
    first: Option<i32>,
) -> Result<List<Member>> {
    let (administration, caller) = parts(context)?;
    let members = administration.team_members(caller, team, page(after, first)).await;
    members.map(Into::into).map_err(refusal)
}

/// Shows a namespace with the name of its owner.
pub(super) async fn namespace(
    administration: &Administration,
    row: NamespaceRow,
) -> Result<Namespace> {
    let owner = administration.owner_of(&row).await.map_err(refusal)?;
    Ok(Namespace { owner, created: Moment::of(row.created), name: row.name })
}
