//! Cases about signing keys and the sign-in method.

use roadstead::index::{Changed, NewSigningKey};
use secrecy::ExposeSecret;

use super::{anna, events, nobody, race};
use crate::fixtures::NOW;
use crate::{Case, Outcome, case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    vec![
        case(a_signing_key_is_made_once),
        case(a_signing_key_is_rotated_once),
        case(a_signing_key_is_retired_once),
        case(the_sign_in_method_is_recorded_once),
    ]
}

fn new_key(number: usize) -> NewSigningKey {
    NewSigningKey {
        kid: format!("key-{number}"),
        algorithm: "EdDSA".to_owned(),
        private_key: vec![250, 251, u8::try_from(number).unwrap_or_default()].into(),
    }
}

async fn a_signing_key_is_made_once(home: Home) -> Outcome {
    let made = race(&home, |index, number| async move {
        index.ensure_signing_key(&new_key(number), &nobody(), NOW).await
    });
    let made = made.await?;
    let stored = home.index.signing_keys().await?;
    let [stored] = &stored[..] else { panic!("{stored:?}") };
    for key in &made {
        assert_eq!(key.key.kid, stored.key.kid);
        let bytes = key.key.private_key.expose_secret();
        assert_eq!(bytes, stored.key.private_key.expose_secret());
        assert_eq!(bytes[..2], [250, 251]);
        assert_eq!((key.created, key.retired), (NOW, None));
        assert!(!format!("{key:?}").contains("251"), "{key:?}");
    }
    assert_eq!(events(&home.index).await?, [format!("key: add {} for EdDSA", stored.key.kid)]);
    let other = NewSigningKey { algorithm: "RS256".to_owned(), ..new_key(99) };
    let other = home.index.ensure_signing_key(&other, &nobody(), NOW).await?;
    assert_eq!(other.key.kid, "key-99", "each algorithm has its own");
    Ok(())
}

async fn a_signing_key_is_rotated_once(home: Home) -> Outcome {
    let index = &home.index;
    let first = index.ensure_signing_key(&new_key(100), &nobody(), NOW).await?;
    assert_eq!(index.remove_retired_keys(i64::MAX, &nobody(), NOW).await?, 0);
    let made = race(&home, |index, number| async move {
        index.rotate_signing_key("key-100", &new_key(number), NOW + 5, &nobody(), NOW + 4).await
    });
    let made = made.await?;
    let stored = index.signing_keys().await?;
    let [new, old] = &stored[..] else { panic!("{stored:?}") };
    assert!(made.iter().all(|key| key.key.kid == new.key.kid), "{made:?}");
    assert_eq!((&old.key.kid, old.retired), (&first.key.kid, Some(NOW + 5)));
    assert_eq!((new.created, new.retired), (NOW + 4, None));
    let seen = index.states().await?.accounts;
    assert_eq!(index.remove_retired_keys(NOW + 5, &nobody(), NOW).await?, 0);
    assert_eq!(index.states().await?.accounts, seen);
    assert_eq!(index.remove_retired_keys(NOW + 6, &nobody(), NOW).await?, 1);
    assert_ne!(index.states().await?.accounts, seen);
    let stored = index.signing_keys().await?;
    let [left] = &stored[..] else { panic!("{stored:?}") };
    assert_eq!(left.key.kid, made[0].key.kid);
    Ok(())
}

async fn a_signing_key_is_retired_once(home: Home) -> Outcome {
    let index = &home.index;
    let key = index.ensure_signing_key(&new_key(1), &nobody(), NOW).await?;
    let kid = key.key.kid.as_str();
    let retired = race(&home, |index, _| async move {
        index.retire_signing_key("key-1", &nobody(), NOW + 5).await
    });
    let retired = retired.await?;
    let done = retired.iter().filter(|changed| **changed == Changed::Done).count();
    assert_eq!(done, 1, "{retired:?}");
    assert_eq!(index.retire_signing_key("other", &nobody(), NOW).await?, Changed::Unchanged);
    assert_eq!(index.signing_keys().await?[0].retired, Some(NOW + 5));
    let again = index.ensure_signing_key(&new_key(2), &nobody(), NOW + 6).await?;
    assert_eq!(again.key.kid, "key-2", "one that signs is missing");
    assert_eq!(
        events(index).await?,
        ["key: add key-1 for EdDSA", &format!("key: retire {kid}"), "key: add key-2 for EdDSA"]
    );
    Ok(())
}

async fn the_sign_in_method_is_recorded_once(home: Home) -> Outcome {
    let index = &home.index;
    assert_eq!(index.sign_in_method().await?, None);
    let set = index.set_sign_in_method("open", "accounts", &anna(), NOW).await?;
    assert_eq!(set, Changed::Unknown, "none is recorded");
    let methods = race(&home, |index, number| async move {
        let method = if number % 4 < 2 { "accounts" } else { "htpasswd" };
        index.ensure_sign_in_method(method, &nobody(), NOW).await
    });
    let methods = methods.await?;
    let recorded = index.sign_in_method().await?.ok_or("none is recorded")?;
    assert!(methods.iter().all(|method| *method == recorded), "{methods:?}");
    let seen = index.states().await?.accounts;
    for (expected, method, changed) in [
        ("open", "token", Changed::Unknown),
        (recorded.as_str(), recorded.as_str(), Changed::Unchanged),
        (recorded.as_str(), "open", Changed::Done),
        (recorded.as_str(), "token", Changed::Unknown),
    ] {
        let set = index.set_sign_in_method(expected, method, &anna(), NOW).await?;
        assert_eq!(set, changed, "{expected} {method}");
    }
    assert_ne!(index.states().await?.accounts, seen);
    let again = home.open_again().await?;
    assert_eq!(again.ensure_sign_in_method("accounts", &anna(), NOW).await?, "open");
    let said = [format!("sign_in_method: {recorded}"), "sign_in_method: open".to_owned()];
    assert_eq!(events(index).await?, said);
    Ok(())
}
