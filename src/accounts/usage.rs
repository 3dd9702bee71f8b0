//! What namespaces have.

use super::acting::Acting;
use super::{Administration, Page, PageRequest, Result};
use crate::auth::Caller;
use crate::auth::accounts::ServerAct;
use crate::index::Usage;

impl Administration {
    /// Lists what namespaces have, by their names: those of the caller, all for administrators. Of others it would say what
    /// is hidden in them.
    ///
    /// # Errors
    /// Why not.
    pub async fn usage(
        &self,
        caller: &Caller,
        page: PageRequest<'_>,
    ) -> Result<Page<(String, Usage)>> {
        let acting = self.acting(caller)?;
        let name = |row: &(String, Usage)| row.0.clone();
        if acting.may(ServerAct::Admin) {
            let rows = self.index.usage_after(page.after, page.read()).await?;
            return Ok(page.page(rows, name));
        }
        if !acting.has_scope(ServerAct::Namespaces) {
            return Err(Acting::lacks("namespaces", "list what namespaces have"));
        }
        let mut rows = Vec::new();
        for name in acting.namespaces_after(page.after) {
            let usage = self.index.usage_of(name).await?;
            rows.extend(usage.map(|usage| (name.to_owned(), usage)));
            if rows.len() >= page.read() as usize {
                break;
            }
        }
        Ok(page.page(rows, name))
    }
}
