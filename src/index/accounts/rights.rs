//! What a principal may do: all that the policy needs, in one query.

use super::super::connection::on;
use super::super::{Index, Result};
use super::rows::{Rights, RoleGrant};

/// What a row says: flags of the principal, a grant, or a namespace that it owns.
type Row = (String, Option<i64>, Option<i64>, String, String);

impl Index {
    /// Returns what a principal may do, by itself and by its teams, all of it as of one moment; none where it is gone.
    /// What its maker may do, which bounds a robot, is another question, and so is what a token allows.
    pub async fn rights(&self, principal: i64) -> Result<Option<Rights>> {
        let connection = &mut self.read().await?;
        let rows: Vec<Row> = on!(connection, "reading rights", db => sqlx::query_as(
            "SELECT 'principal', is_admin, is_disabled, '', '' FROM principals WHERE id = $1 \
             UNION SELECT 'grant', 0, 1, role, pattern FROM grants WHERE principal = $1 \
             UNION SELECT 'grant', 0, 1, g.role, g.pattern FROM team_members t \
             JOIN grants g ON g.team = t.team WHERE t.principal = $1 \
             UNION SELECT 'namespace', 0, 1, '', name FROM namespaces WHERE owner = $1",
        )
        .bind(principal)
        .fetch_all(db)
        .await)?;
        let mut flags = None;
        let (mut grants, mut namespaces) = (Vec::new(), Vec::new());
        for (what, is_admin, is_disabled, role, pattern) in rows {
            match what.as_str() {
                "principal" => flags = Some((is_admin == Some(1), is_disabled != Some(0))),
                "grant" => grants.push(RoleGrant { role, pattern }),
                _ => namespaces.push(pattern),
            }
        }
        let Some((is_admin, is_disabled)) = flags else { return Ok(None) };
        Ok(Some(Rights { is_admin, is_disabled, grants, namespaces }))
    }
}
