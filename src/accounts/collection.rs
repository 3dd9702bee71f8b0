//! Who may have garbage collected.

use super::{Administration, Result};
use crate::auth::Caller;
use crate::auth::accounts::ServerAct;
use crate::index::Actor;

impl Administration {
    /// Returns who collects garbage, if that caller may: administrators may.
    ///
    /// # Errors
    /// Why not.
    pub fn collector(&self, caller: &Caller) -> Result<Actor> {
        let acting = self.acting(caller)?;
        acting.expect(ServerAct::Admin, "collect garbage")?;
        Ok(acting.actor)
    }
}
