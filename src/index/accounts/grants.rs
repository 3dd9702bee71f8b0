//! Grants: roles on patterns, given to users, robots and teams.

use sqlx::QueryBuilder;

use super::super::columns::damaged;
use super::super::connection::{Connection, on};
use super::super::{Actor, Index, Result};
use super::bounds::MOST_ROLES;
use super::principals::find as find_principal;
use super::rows::{Changed, GrantFilter, GrantRow, Holder, NewGrant};
use super::teams;

const SELECT: &str = "SELECT g.id, g.principal, g.team, COALESCE(p.name, t.name, ''), g.role, g.pattern, g.maker, \
     g.created FROM grants g LEFT JOIN principals p ON p.id = g.principal \
     LEFT JOIN teams t ON t.id = g.team ";

type Row = (i64, Option<i64>, Option<i64>, String, String, String, Option<i64>, i64);

impl Index {
    /// Lists grants by their numbers, after `last`, at most `limit`.
    pub async fn grants(
        &self,
        filter: GrantFilter<'_>,
        last: Option<i64>,
        limit: u32,
    ) -> Result<Vec<GrantRow>> {
        let connection = &mut self.read().await?;
        let rows: Vec<Row> = on!(connection, "listing grants", db => {
            let mut select = QueryBuilder::new(SELECT);
            select.push("WHERE g.id > ").push_bind(last.unwrap_or_default());
            match filter {
                GrantFilter::All => &mut select,
                GrantFilter::Of(Holder::Principal(id)) => {
                    select.push(" AND g.principal = ").push_bind(id)
                }
                GrantFilter::Of(Holder::Team(id)) => select.push(" AND g.team = ").push_bind(id),
                // `0` follows `/`.
                GrantFilter::In(component) => select
                    .push(" AND (g.pattern = ")
                    .push_bind(component)
                    .push(" OR (g.pattern >= ")
                    .push_bind(format!("{component}/"))
                    .push(" AND g.pattern < ")
                    .push_bind(format!("{component}0"))
                    .push("))"),
                GrantFilter::SeenBy(id) => select
                    .push(" AND (g.principal = ")
                    .push_bind(id)
                    .push(" OR g.team IN (SELECT team FROM team_members WHERE principal = ")
                    .push_bind(id)
                    .push(") OR EXISTS (SELECT 1 FROM namespaces n WHERE n.owner = ")
                    .push_bind(id)
                    .push(
                        " AND (g.pattern = n.name \
                         OR (g.pattern >= n.name || '/' AND g.pattern < n.name || '0'))))",
                    ),
            };
            select.push(" ORDER BY g.id LIMIT ").push_bind(i64::from(limit));
            select.build_query_as().fetch_all(db).await
        })?;
        rows.into_iter().map(grant).collect()
    }

    /// Gives a role. Unknown is a holder who is gone, and a maker who is; full, that this maker has given
    /// [`MOST_ROLES`] to this holder.
    pub async fn add_grant(
        &self,
        grant: &NewGrant<'_>,
        actor: &Actor,
        now: i64,
    ) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        let Some(holder) = holder_name(connection, grant.holder).await? else {
            return change.undo(Changed::Unknown).await;
        };
        if let Some(id) = grant.maker {
            let maker = find_principal(connection, id).await?.filter(|maker| !maker.is_disabled);
            let Some(maker) = maker else { return change.undo(Changed::Unknown).await };
            if !maker.is_admin && given(connection, id, grant.holder).await? >= MOST_ROLES {
                return change.undo(Changed::Full).await;
            }
        }
        let (principal, team) = columns(grant.holder);
        let added = on!(connection, "giving a role", db => sqlx::query(
            "INSERT INTO grants (principal, team, role, pattern, maker, created) \
             VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING",
        )
        .bind(principal)
        .bind(team)
        .bind(grant.role)
        .bind(grant.pattern)
        .bind(grant.maker)
        .bind(now)
        .execute(db)
        .await
        .map(|done| done.rows_affected()))?;
        if added == 0 {
            return change.undo(Changed::Unchanged).await;
        }
        let given = format!("add {} on {} to {holder}", grant.role, grant.pattern);
        change.note("grant", given).await?;
        change.commit(Changed::Done).await
    }

    /// Takes a role away. Unknown is one that the holder does not have by itself.
    pub async fn remove_grant(
        &self,
        holder: Holder,
        role: &str,
        pattern: &str,
        actor: &Actor,
        now: i64,
    ) -> Result<Changed> {
        let mut change = self.begin_change(actor, now).await?;
        let connection = change.connection();
        let Some(name) = holder_name(connection, holder).await? else {
            return change.undo(Changed::Unknown).await;
        };
        let (statement, id) = match holder {
            Holder::Principal(id) => {
                ("DELETE FROM grants WHERE principal = $1 AND role = $2 AND pattern = $3", id)
            }
            Holder::Team(id) => {
                ("DELETE FROM grants WHERE team = $1 AND role = $2 AND pattern = $3", id)
            }
        };
        let removed = on!(connection, "taking a role away", db =>
            sqlx::query(statement)
                .bind(id)
                .bind(role)
                .bind(pattern)
                .execute(db)
                .await
                .map(|done| done.rows_affected()))?;
        if removed == 0 {
            return change.undo(Changed::Unknown).await;
        }
        change.note("grant", format!("remove {role} on {pattern} from {name}")).await?;
        change.commit(Changed::Done).await
    }
}

/// Counts the roles that a principal has given to a holder.
async fn given(connection: &mut Connection, maker: i64, holder: Holder) -> Result<i64> {
    let (statement, id) = match holder {
        Holder::Principal(id) => {
            ("SELECT count(*) FROM grants WHERE principal = $1 AND maker = $2", id)
        }
        Holder::Team(id) => ("SELECT count(*) FROM grants WHERE team = $1 AND maker = $2", id),
    };
    let (count,): (i64,) = on!(connection, "counting roles", db =>
        sqlx::query_as(statement).bind(id).bind(maker).fetch_one(db).await)?;
    Ok(count)
}

/// Returns what an event calls a holder, if it is there.
async fn holder_name(connection: &mut Connection, holder: Holder) -> Result<Option<String>> {
    match holder {
        Holder::Principal(id) => Ok(find_principal(connection, id).await?.map(|it| it.name)),
        Holder::Team(id) => {
            Ok(teams::name_of(connection, id).await?.map(|name| format!("team:{name}")))
        }
    }
}

fn columns(holder: Holder) -> (Option<i64>, Option<i64>) {
    match holder {
        Holder::Principal(id) => (Some(id), None),
        Holder::Team(id) => (None, Some(id)),
    }
}

fn grant(
    (id, principal, team, holder_name, role, pattern, maker, created): Row,
) -> Result<GrantRow> {
    let holder = match (principal, team) {
        (Some(id), None) => Holder::Principal(id),
        (None, Some(id)) => Holder::Team(id),
        _ => return Err(damaged("reading a grant", "it has not one holder")),
    };
    Ok(GrantRow { id, holder, holder_name, role, pattern, maker, created })
}
