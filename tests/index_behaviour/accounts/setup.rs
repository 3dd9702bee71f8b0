//! Cases about the code by which the first administrator is made.

use roadstead::index::{FirstAdministrator, SetupCode};
use secrecy::ExposeSecret;

use super::{anna, nobody, secret};
use crate::fixtures::NOW;
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![case(a_code_counts_until_there_is_a_user)]
}

async fn a_code_counts_until_there_is_a_user(home: Home) -> Outcome {
    let index = &home.index;
    assert!(index.setup_code().await?.is_none());
    let code = |hash| SetupCode { name: "admin".to_owned(), hash: secret(hash) };
    assert!(index.set_setup_code(&code("one"), NOW).await?);
    assert!(home.open_again().await?.set_setup_code(&code("two"), NOW).await?, "a later start");
    let found = index.setup_code().await?.ok_or("it is not there")?;
    assert_eq!((found.name.as_str(), found.hash.expose_secret()), ("admin", "two"));
    assert!(!format!("{found:?}").contains("two"));
    let made = index.add_first_administrator("admin", &secret("x"), &anna(), NOW).await?;
    assert!(matches!(made, FirstAdministrator::Made(_)));
    assert!(index.setup_code().await?.is_none());
    assert!(!index.set_setup_code(&code("three"), NOW).await?);
    assert_eq!(home.number("SELECT count(*) FROM setup_code").await?, 0);
    let again = index.add_first_administrator("other", &secret("x"), &nobody(), NOW).await?;
    assert_eq!(again, FirstAdministrator::Exists);
    Ok(())
}
