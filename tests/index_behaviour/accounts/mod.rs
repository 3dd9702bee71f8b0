//! Cases about accounts: who there is, what they may do, and what of it they see.

mod bounds;
mod catalog;
mod keys;
mod namespaces;
mod people;
mod removal;
mod rights;
mod setup;
mod states;
mod tokens;

use std::error::Error;
use std::sync::Arc;

use roadstead::index::{
    Actor, Added, Changed, Holder, Index, NewAccessToken, NewGrant, NewRobot, NewUser, Result,
};
use secrecy::SecretString;

use tokio::task::JoinSet;

use crate::fixtures::NOW;
use crate::{Case, home::Home};

pub(crate) fn cases() -> Vec<Case> {
    [
        people::cases(),
        removal::cases(),
        tokens::cases(),
        rights::cases(),
        keys::cases(),
        states::cases(),
        catalog::cases(),
        bounds::cases(),
        setup::cases(),
        namespaces::cases(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn nobody() -> Actor {
    Actor::default()
}

fn anna() -> Actor {
    Actor { name: Some("anna".to_owned()), address: Some([192, 0, 2, 1].into()) }
}

fn secret(text: &str) -> SecretString {
    text.to_owned().into()
}

fn id_of(added: Added) -> i64 {
    let Added::Made(id) = added else { panic!("it was not added: {added:?}") };
    id
}

async fn add_user(index: &Index, name: &str) -> Result<i64> {
    let password = secret("$argon2id$");
    let user = NewUser { name, password: Some(&password), is_admin: false };
    index.add_user(&user, &anna(), NOW).await.map(id_of)
}

async fn add_admin(index: &Index, name: &str) -> Result<i64> {
    let password = secret("$argon2id$");
    let user = NewUser { name, password: Some(&password), is_admin: true };
    index.add_user(&user, &anna(), NOW).await.map(id_of)
}

async fn add_robot(index: &Index, name: &str, namespace: &str, maker: i64) -> Result<i64> {
    let namespace = index.namespace(namespace).await?.expect("it is there").id;
    let robot = NewRobot { name, namespace, maker };
    index.add_robot(&robot, &anna(), NOW).await.map(id_of)
}

async fn add_token(index: &Index, id: &str, principal: i64, maker: i64) -> Result<Changed> {
    let token = NewAccessToken {
        id,
        principal,
        hash: &[7; 32],
        name: "laptop",
        scopes: "team/**:pull,push",
        maker,
        expires: None,
    };
    index.add_access_token(&token, &anna(), NOW).await
}

async fn give_role(index: &Index, holder: Holder, role: &str, pattern: &str) -> Result<Changed> {
    let grant = NewGrant { holder, role, pattern, maker: None };
    index.add_grant(&grant, &anna(), NOW).await
}

/// Lists the events, each as its kind and what it says.
async fn events(index: &Index) -> Result<Vec<String>> {
    let events = index.events_after(0, 1000).await?;
    let text = |kind: &str, detail: Option<&str>| format!("{kind}: {}", detail.unwrap_or_default());
    Ok(events.iter().map(|it| text(&it.change.kind, it.change.detail.as_deref())).collect())
}

/// How many tasks try the same at once.
const TASKS: usize = 8;

/// Has several tasks do something at once, each second one in another process where there may be one.
async fn race<T, R>(
    home: &Home,
    run: impl Fn(Arc<Index>, usize) -> R,
) -> std::result::Result<Vec<T>, Box<dyn Error>>
where
    T: Send + 'static,
    R: Future<Output = Result<T>> + Send + 'static,
{
    let other = if home.index.is_shared() { home.open_again().await? } else { home.index.clone() };
    let mut tasks = JoinSet::new();
    for number in 0..TASKS {
        let index = if number.is_multiple_of(2) { &home.index } else { &other };
        tasks.spawn(run(index.clone(), number));
    }
    tasks.join_all().await.into_iter().map(|done| done.map_err(Into::into)).collect()
}
