//! What a start does about repositories that are not public, where clients sign in otherwise than before.

use super::{App, AppError};
use crate::registry::RegistryError;

impl App {
    /// Refuses a registry with repositories that are not public, where clients have no accounts: every one of them could
    /// read these. With `make_public` these become public instead.
    ///
    /// # Errors
    /// [`AppError::NotPublic`]; those of the registry.
    pub async fn expect_public(&self, make_public: bool) -> Result<(), AppError> {
        if make_public {
            let count = self.registry.make_all_public().await?;
            if count > 0 {
                tracing::warn!(count, "made repositories public");
            }
        }
        match self.registry.non_public_count().await? {
            0 => Ok(()),
            count => Err(AppError::NotPublic { count }),
        }
    }

    /// Has a registry that was without accounts keep to whom it showed its repositories, at its first start with them:
    /// where anonymous clients could not pull, those become internal. Repeating it goes on where it was interrupted.
    ///
    /// # Errors
    /// [`AppError::NoPrivateTree`]; those of the registry.
    pub async fn keep_from_anonymous(&self, anonymous_could_pull: bool) -> Result<(), AppError> {
        if anonymous_could_pull {
            return Ok(());
        }
        let count = match self.registry.make_all_internal().await {
            Err(RegistryError::MustBePublic(_)) => return Err(AppError::NoPrivateTree),
            made => made?,
        };
        if count > 0 {
            tracing::warn!(count, "made repositories internal, which only users could pull before");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::super::{limits, open_index, open_storage};
    use super::*;
    use crate::auth::{Authority, Caller, Names, open_to_all};
    use crate::config::{Settings, Sources};
    use crate::index::Access;
    use crate::oci::{RepositoryName, Visibility};
    use crate::registry::{Limits, Registry};

    fn settings(data: &TempDir, driver: &str) -> Settings {
        let environment = [
            ("SERVER__DATA", data.path().display().to_string()),
            ("STORAGE__DRIVER", driver.to_owned()),
            // Nothing listens there.
            ("STORAGE__KUBO__API", "http://127.0.0.1:9".to_owned()),
            ("STORAGE__KUBO__GATEWAY", "http://127.0.0.1:9".to_owned()),
        ];
        let environment =
            environment.map(|(name, value)| (format!("ROADSTEAD_{name}").into(), value.into()));
        let environment = environment.to_vec();
        Settings::load(&Sources { environment, ..Sources::default() }).unwrap()
    }

    async fn open(data: &TempDir, driver: &str, new_visibility: Option<Visibility>) -> Registry {
        let settings = settings(data, driver);
        let index = open_index(&settings, Access::Full).await.unwrap();
        let storage = open_storage(&settings, &index).await.unwrap();
        Registry::new(index, storage, Limits { new_visibility, ..limits(&settings).unwrap() })
    }

    async fn make(app: &App, name: &str, visibility: Visibility) {
        let mut writer = app.index.lock().await.unwrap();
        writer.set_visibility(&name.parse().unwrap(), visibility, 1).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_push_that_would_hide_what_a_node_shows_is_refused_before_its_bytes() {
        for (new_visibility, is_refused) in [
            (None, false),
            (Some(Visibility::Public), false),
            (Some(Visibility::Internal), true),
            (Some(Visibility::Private), true),
        ] {
            let data = TempDir::new().unwrap();
            let registry = open(&data, "kubo", new_visibility).await;
            let name: RepositoryName = "team/app".parse().unwrap();
            let authority = Authority::new(open_to_all(), Names::default());
            let anonymous = Caller::anonymous();
            let grant = authority.push(&anonymous, name.clone()).await.unwrap();
            let begun = registry.begin_upload(&grant).await;
            assert_eq!(registry.expect_storable(&grant).await.is_err(), is_refused);
            let Err(refusal) = begun else {
                assert!(!is_refused, "{new_visibility:?}");
                continue;
            };
            assert!(matches!(refusal, RegistryError::MustBePublic(_)), "{refusal}");
            let advice = "auth.accounts.default_visibility = \"public\"";
            assert!(refusal.to_string().contains(advice), "{refusal}");
            let from = authority.pull(&anonymous, name.clone()).await.unwrap();
            let digest = crate::oci::Digest::of(crate::oci::Algorithm::Sha256, b"blob");
            assert!(registry.mount_blob(&grant, &from, &digest).await.is_err());
            let tag = "tag".parse().unwrap();
            let manifest = registry.put_manifest(
                &grant,
                &tag,
                Vec::new(),
                None,
                "{}".into(),
                crate::registry::Condition::default(),
            );
            let refused = manifest.await;
            assert!(matches!(refused, Err(RegistryError::MustBePublic(_))));
            assert_eq!(registry.record(&name).await.unwrap(), None);
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn without_accounts_nothing_may_be_hidden() {
        let data = TempDir::new().unwrap();
        let app = App::open(&settings(&data, "embedded")).await.unwrap();
        make(&app, "a", Visibility::Public).await;
        app.expect_public(false).await.unwrap();
        make(&app, "b", Visibility::Internal).await;
        make(&app, "c", Visibility::Private).await;
        let refused = app.expect_public(false).await;
        assert!(matches!(refused, Err(AppError::NotPublic { count: 2 })), "{refused:?}");
        assert!(refused.unwrap_err().to_string().contains("--make-public"));
        app.expect_public(true).await.unwrap();
        app.expect_public(false).await.unwrap();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn accounts_begin_with_what_could_be_pulled_before() {
        for (anonymous_could_pull, expected) in
            [(true, Visibility::Public), (false, Visibility::Internal)]
        {
            let data = TempDir::new().unwrap();
            let mut app = App::open(&settings(&data, "embedded")).await.unwrap();
            app.registry = open(&data, "embedded", Some(Visibility::Private)).await;
            make(&app, "a", Visibility::Public).await;
            app.keep_from_anonymous(anonymous_could_pull).await.unwrap();
            let record = app.registry.record(&"a".parse().unwrap()).await.unwrap();
            assert_eq!(record.map(|record| record.visibility), Some(expected));
            app.registry = open(&data, "kubo", Some(Visibility::Private)).await;
            make(&app, "b", Visibility::Public).await;
            let begun = app.keep_from_anonymous(anonymous_could_pull).await;
            match begun {
                Err(AppError::NoPrivateTree) => assert!(!anonymous_could_pull),
                begun => assert!(begun.is_ok() && anonymous_could_pull, "{begun:?}"),
            }
        }
    }
}
