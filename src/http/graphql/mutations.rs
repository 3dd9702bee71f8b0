//! What can be changed over the management API. Each change is durable when its answer comes.

use std::time::Duration;

use actix_web::web::Data;
use async_graphql::{Context, InputObject, Object, Result};
use secrecy::SecretString;

use super::super::Api;
use super::bounds::CHANGE;
use super::collection::{self, Collection};
use super::count::Count;
use super::error::refusal;
use super::manifests::{self, PurgedManifest, UndeletedManifest};
use super::queries::namespace;
use super::sender::present;
use super::types::{CreatedToken, Namespace, Quota, Repository, Robot, Team, User, Visibility};
use super::{removal, visibility};
use crate::accounts::{AdministrationError, RobotRequest, TokenRequest, UserRequest};
use crate::index;

/// What can be changed
pub(super) struct Mutation;

/// A robot that a token is for; it is made if it is not there
#[derive(InputObject)]
struct RobotInput {
    name: String,
    namespace: String,
}

#[Object]
impl Mutation {
    /// Adds a user, who owns the namespace of that name
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn add_user(
        &self,
        context: &Context<'_>,
        name: String,
        #[graphql(secret)] password: Option<String>,
        #[graphql(default)] is_administrator: bool,
    ) -> Result<User> {
        let (administration, caller) = &present(context).await?;
        let password = password.map(SecretString::from);
        let request = UserRequest { name: &name, password, is_admin: is_administrator };
        administration.add_user(caller, request).await.map(Into::into).map_err(refusal)
    }

    /// Adds a user by the hash of a password (bcrypt), as a password file has it; false: there was such a user already, who
    /// stays unchanged
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn import_user(
        &self,
        context: &Context<'_>,
        name: String,
        #[graphql(secret)] password_hash: String,
    ) -> Result<bool> {
        let (administration, caller) = &present(context).await?;
        administration.import_user(caller, &name, &password_hash.into()).await.map_err(refusal)
    }

    /// Disables a user or a robot, or enables it again
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn set_disabled(
        &self,
        context: &Context<'_>,
        name: String,
        is_disabled: bool,
    ) -> Result<bool> {
        let (administration, caller) = &present(context).await?;
        let account = administration.set_disabled(caller, &name, is_disabled).await;
        account.map(|account| account.principal.is_disabled).map_err(refusal)
    }

    /// Makes a user an administrator, or one no longer
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn set_administrator(
        &self,
        context: &Context<'_>,
        name: String,
        is_administrator: bool,
    ) -> Result<User> {
        let (administration, caller) = &present(context).await?;
        let user = administration.set_admin(caller, &name, is_administrator).await;
        user.map(Into::into).map_err(refusal)
    }

    /// Removes a user or a robot for good; the name cannot be used again
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn remove_account(&self, context: &Context<'_>, name: String) -> Result<bool> {
        let (administration, caller) = &present(context).await?;
        done(administration.remove_account(caller, &name).await)
    }

    /// Gives a robot to a user, whose rights bound it from then on: to the caller, or by an administrator to another user
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn set_robot_maker(
        &self,
        context: &Context<'_>,
        name: String,
        maker: Option<String>,
    ) -> Result<Robot> {
        let (administration, caller) = &present(context).await?;
        let robot = administration.set_robot_maker(caller, &name, maker.as_deref()).await;
        robot.map(Into::into).map_err(refusal)
    }

    /// Gives a user another password
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn set_password(
        &self,
        context: &Context<'_>,
        name: String,
        #[graphql(secret)] password: String,
    ) -> Result<bool> {
        let (administration, caller) = &present(context).await?;
        done(administration.set_password(caller, &name, password.into()).await)
    }

    /// Makes an access token of the caller, or of a robot in a namespace that it owns
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn create_token(
        &self,
        context: &Context<'_>,
        name: String,
        robot: Option<RobotInput>,
        scopes: Vec<String>,
        #[graphql(desc = "How many seconds it is good for; without it, for good")] lifetime: Option<
            i32,
        >,
    ) -> Result<CreatedToken> {
        let (administration, caller) = &present(context).await?;
        let robot = robot.as_ref();
        let robot = robot.map(|it| RobotRequest { name: &it.name, namespace: &it.namespace });
        // What is less than nothing is too short as well.
        let lifetime = lifetime.map(|it| Duration::from_secs(u64::try_from(it).unwrap_or(0)));
        let request = TokenRequest { name: &name, robot, scopes: &scopes, lifetime };
        administration.make_token(caller, request).await.map(Into::into).map_err(refusal)
    }

    /// Revokes an access token for good
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn revoke_token(&self, context: &Context<'_>, id: String) -> Result<bool> {
        let (administration, caller) = &present(context).await?;
        done(administration.revoke_token(caller, &id).await)
    }

    /// Adds a team
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn add_team(&self, context: &Context<'_>, name: String) -> Result<Team> {
        let (administration, caller) = &present(context).await?;
        administration.add_team(caller, &name).await.map(Into::into).map_err(refusal)
    }

    /// Removes a team with its grants
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn remove_team(&self, context: &Context<'_>, name: String) -> Result<bool> {
        let (administration, caller) = &present(context).await?;
        done(administration.remove_team(caller, &name).await)
    }

    /// Adds a user or a robot to a team
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn add_team_member(
        &self,
        context: &Context<'_>,
        team: String,
        member: String,
    ) -> Result<bool> {
        let (administration, caller) = &present(context).await?;
        done(administration.add_team_member(caller, &team, &member).await)
    }

    /// Removes a user or a robot from a team
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn remove_team_member(
        &self,
        context: &Context<'_>,
        team: String,
        member: String,
    ) -> Result<bool> {
        let (administration, caller) = &present(context).await?;
        done(administration.remove_team_member(caller, &team, &member).await)
    }

    /// Gives a role on a pattern to a user, a robot or `team:NAME`
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn add_grant(
        &self,
        context: &Context<'_>,
        holder: String,
        role: String,
        pattern: String,
    ) -> Result<bool> {
        let (administration, caller) = &present(context).await?;
        done(administration.add_grant(caller, &holder, &role, &pattern).await)
    }

    /// Takes a role on just that pattern away
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn remove_grant(
        &self,
        context: &Context<'_>,
        holder: String,
        role: String,
        pattern: String,
    ) -> Result<bool> {
        let (administration, caller) = &present(context).await?;
        done(administration.remove_grant(caller, &holder, &role, &pattern).await)
    }

    /// Makes a namespace of the caller, or of another user
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn add_namespace(
        &self,
        context: &Context<'_>,
        name: String,
        owner: Option<String>,
    ) -> Result<Namespace> {
        let (administration, caller) = &present(context).await?;
        let row = administration.add_namespace(caller, &name, owner.as_deref()).await;
        namespace(administration, row.map_err(refusal)?).await
    }

    /// Gives a namespace to a user; an administrator also to all of them, by naming none
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn set_namespace_owner(
        &self,
        context: &Context<'_>,
        name: String,
        owner: Option<String>,
    ) -> Result<Namespace> {
        let (administration, caller) = &present(context).await?;
        let row = administration.set_namespace_owner(caller, &name, owner.as_deref()).await;
        namespace(administration, row.map_err(refusal)?).await
    }

    /// Removes a namespace in which there is nothing, with the roles that were given in it; its name can be used again
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn remove_namespace(&self, context: &Context<'_>, name: String) -> Result<bool> {
        let (administration, caller) = &present(context).await?;
        done(administration.remove_namespace(caller, &name).await)
    }

    /// Limits what the repositories of a namespace may have together; what is not given stays as it was, and with `bytes`
    /// alone there may be twice as many unreferenced ones
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn set_quota(
        &self,
        context: &Context<'_>,
        namespace: String,
        bytes: Option<Count>,
        unreferenced: Option<Count>,
        repositories: Option<Count>,
        tags: Option<Count>,
    ) -> Result<Quota> {
        let (administration, caller) = &present(context).await?;
        let quota = index::Quota {
            bytes: bytes.map(Count::number),
            unreferenced: unreferenced.map(Count::number),
            repositories: repositories.map(Count::number),
            tags: tags.map(Count::number),
        };
        let row = administration.set_quota(caller, &namespace, quota).await;
        row.map(Into::into).map_err(refusal)
    }

    /// Takes all limits of a namespace away
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn remove_quota(&self, context: &Context<'_>, namespace: String) -> Result<bool> {
        let (administration, caller) = &present(context).await?;
        done(administration.remove_quota(caller, &namespace).await)
    }

    /// Says who may see a repository
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn set_visibility(
        &self,
        context: &Context<'_>,
        name: String,
        visibility: Visibility,
    ) -> Result<Repository> {
        let (_, caller) = &present(context).await?;
        visibility::set(context.data::<Data<Api>>()?, caller, &name, visibility).await
    }

    /// Removes a repository with all that it has
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn remove_repository(&self, context: &Context<'_>, name: String) -> Result<bool> {
        let (_, caller) = &present(context).await?;
        removal::remove(context.data::<Data<Api>>()?, caller, &name).await?;
        Ok(true)
    }

    /// Deletes a manifest of a repository with its tags, as maintainers may, and withdraws what only that needs: no public
    /// root leads to it any more, earlier ones neither. One that was deleted of late can be purged, too
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn purge_manifest(
        &self,
        context: &Context<'_>,
        repository: String,
        digest: String,
    ) -> Result<PurgedManifest> {
        let (_, caller) = &present(context).await?;
        manifests::purge(context.data::<Data<Api>>()?, caller, &repository, &digest).await
    }

    /// Puts back what was deleted from a repository, as maintainers may, by a tag or a digest: as long as its bytes are
    /// stored, which is `gc.grace` at least
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn undelete(
        &self,
        context: &Context<'_>,
        repository: String,
        reference: String,
    ) -> Result<UndeletedManifest> {
        let (_, caller) = &present(context).await?;
        manifests::undelete(context.data::<Data<Api>>()?, caller, &repository, &reference).await
    }

    /// Collects garbage, as administrators may: blobs that no manifest has named for `gc.grace`, and content that no
    /// repository has. A collection that runs already is joined
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn collect_garbage(
        &self,
        context: &Context<'_>,
        #[graphql(default)] dry_run: bool,
    ) -> Result<Collection> {
        let (administration, caller) = &present(context).await?;
        let actor = administration.collector(caller).map_err(refusal)?;
        collection::collect(context.data::<Data<Api>>()?, actor, dry_run).await
    }

    /// Gives a user, a robot or `team:NAME` the role owner in one repository
    #[graphql(complexity = "CHANGE + child_complexity")]
    async fn add_repository_owner(
        &self,
        context: &Context<'_>,
        name: String,
        owner: String,
    ) -> Result<bool> {
        let (administration, caller) = &present(context).await?;
        done(administration.add_repository_owner(caller, &name, &owner).await)
    }
}

/// Says that a change was made of which there is nothing to show.
fn done(result: Result<(), AdministrationError>) -> Result<bool> {
    result.map(|()| true).map_err(refusal)
}
