use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use secrecy::{ExposeSecret, SecretString};

use super::super::super::accounts::{
    AccessToken, AccountName, Grant, Namespace, Rights, Role, TokenId, TokenScopes,
};
use super::super::super::passwords::{Bounds, Checks, NewPassword, PasswordHash};
use super::super::super::signed::{Algorithm, FetchOptions, generate};
use super::super::super::{
    Act, AuthError, Authority, Caller, CallerKind, Challenge, Credentials, Meant, Names, Scopes,
    TokenFault,
};
use super::super::METHODS;
use super::*;
use crate::config::{Flag, Settings, Sources};
use crate::oci::{RepositoryName, RepositoryRecord, Visibility};

const PASSWORD: &str = "correct horse battery";
const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

/// Accounts in memory.
#[derive(Default)]
struct Memory(Mutex<Content>);

#[derive(Default)]
struct Content {
    state: u64,
    reads: usize,
    passwords: HashMap<String, StoredPassword>,
    principals: HashMap<i64, StoredPrincipal>,
    tokens: HashMap<TokenId, StoredToken>,
    keys: Vec<StoredKey>,
    is_away: bool,
}

impl Memory {
    fn read<T>(&self, read: impl FnOnce(&Content) -> T) -> Result<T, Unavailable> {
        let mut content = self.0.lock().unwrap();
        content.reads += 1;
        if content.is_away { Err(Unavailable) } else { Ok(read(&content)) }
    }
}

#[async_trait]
impl Directory for Memory {
    async fn state(&self) -> Result<u64, Unavailable> {
        let content = self.0.lock().unwrap();
        if content.is_away { Err(Unavailable) } else { Ok(content.state) }
    }

    async fn password(&self, name: &AccountName) -> Result<Option<StoredPassword>, Unavailable> {
        self.read(|content| content.passwords.get(name.as_str()).cloned())
    }

    async fn dearest_bcrypt(&self) -> Result<Option<u32>, Unavailable> {
        self.read(|content| content.passwords.values().filter_map(|it| it.hash.bcrypt_cost()).max())
    }

    async fn principal(&self, id: i64) -> Result<Option<StoredPrincipal>, Unavailable> {
        self.read(|content| content.principals.get(&id).cloned())
    }

    async fn access_token(&self, id: &TokenId) -> Result<Option<StoredToken>, Unavailable> {
        self.read(|content| content.tokens.get(id).cloned())
    }

    async fn signing_keys(&self) -> Result<Vec<StoredKey>, Unavailable> {
        self.read(|content| content.keys.clone())
    }

    async fn rehash(&self, _: i64, _: &PasswordHash, _: &PasswordHash) {}

    async fn note_use(&self, _: &TokenId) {}
}

struct World {
    memory: Arc<Memory>,
    authority: Authority,
}

const ANNA: i64 = 1;
const ROBOT: i64 = 2;

impl World {
    /// Anna, who owns `anna` and writes to `team/**`, and her robot in `team`.
    fn new() -> Self {
        let memory = Arc::new(Memory::default());
        let directory: Arc<dyn Directory> = memory.clone();
        let flags = [("auth.method", "accounts"), ("auth.token_lifetime", "60s")];
        let flag = |(setting, value): (&'static str, &str)| Flag {
            flag: "--flag",
            setting,
            value: value.to_owned(),
        };
        let flags = flags.map(flag).into();
        let settings = Settings::load(&Sources { flags, ..Sources::default() }).unwrap();
        let fetcher = |_: &FetchOptions| panic!("nothing is fetched");
        let checks = Arc::new(Checks::new(Bounds::wide()).rehashing());
        let context = AuthContext {
            checks: &checks,
            key: &[0; 32],
            open_fetcher: &fetcher,
            directory: &directory,
            anonymous_foreign: false,
        };
        let method = METHODS.iter().find(|method| method.name == "accounts").unwrap();
        let access = (method.open)(&settings.auth, &context).unwrap();
        let world = Self { memory, authority: Authority::new(access, Names::default()) };
        let password = NewPassword::new(PASSWORD.into()).unwrap();
        let hash = PasswordHash::new(&password);
        let private_key = generate(Algorithm::EdDsa).unwrap();
        world.change(|content| {
            content
                .passwords
                .insert("anna".to_owned(), StoredPassword { id: ANNA, changes: 0, hash });
            let kind = PrincipalKind::User;
            content.principals.insert(ANNA, principal(ANNA, "anna", kind, anna(Role::Writer)));
            let kind = PrincipalKind::Robot { maker: Some(ANNA) };
            let rights = Rights::robot("team".parse().unwrap(), vec![]);
            content.principals.insert(ROBOT, principal(ROBOT, "ci", kind, rights));
            let algorithm = Algorithm::EdDsa;
            content.keys.push(StoredKey { algorithm, private_key, retired: None });
        });
        world
    }

    fn change(&self, change: impl FnOnce(&mut Content)) {
        let mut content = self.memory.0.lock().unwrap();
        change(&mut content);
        content.state += 1;
    }

    /// Adds an access token and returns its text.
    fn token(&self, of: i64, scopes: &str, expires: Option<SystemTime>) -> SecretString {
        let token = AccessToken::generate();
        let scopes = TokenScopes::read(scopes.split(' ')).unwrap();
        let (hash, maker) = (token.hash(), Some(ANNA));
        let stored = StoredToken { hash, principal: of, maker, scopes, expires };
        self.change(|content| {
            content.tokens.insert(token.id().clone(), stored);
        });
        token.into_text()
    }

    async fn identify(&self, credentials: &Credentials) -> Result<Caller, AuthError> {
        self.authority.identify(credentials, CLIENT).await
    }

    /// Fetches a token for scopes, all of which are granted.
    async fn bearer(&self, credentials: &Credentials, scopes: &str) -> Credentials {
        let signed_in = self.authority.sign_in(credentials, CLIENT).await.unwrap().unwrap();
        let token = self.authority.token(&signed_in, Scopes::requested([scopes]), None).await;
        Credentials::Bearer(token.unwrap().unwrap().text)
    }

    async fn push(&self, credentials: &Credentials) -> Result<(), AuthError> {
        let caller = self.identify(credentials).await?;
        self.authority.push(&caller, private("team/app")).await.map(drop)
    }
}

fn anna(role: Role) -> Rights {
    let grants = vec![Grant { role, pattern: "team/**".parse().unwrap() }];
    Rights::user(false, vec!["anna".parse::<Namespace>().unwrap()], grants)
}

fn principal(id: i64, name: &str, kind: PrincipalKind, rights: Rights) -> StoredPrincipal {
    StoredPrincipal { id, name: name.to_owned(), kind, rights, password_changes: 0 }
}

fn basic(user: &str, password: &str) -> Credentials {
    Credentials::Basic { user: user.to_owned(), password: password.into() }
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

fn present(text: &str, visibility: Visibility) -> Meant {
    let (id, tree, as_of) = (1, visibility.tree(), None);
    let record = RepositoryRecord { id, name: name(text), visibility, tree, created: 1, as_of };
    Meant { record: Some(record), ..name(text).into() }
}

fn private(text: &str) -> Meant {
    present(text, Visibility::Private)
}

fn refused(fault: Option<TokenFault>) -> AuthError {
    AuthError::Unauthorized(Challenge::Token { scope: None, fault })
}

#[tokio::test]
async fn users_and_robots_sign_in_by_what_they_have() {
    let world = World::new();
    let personal = world.token(ANNA, "team/**:pull,push", None);
    let robots = world.token(ROBOT, "team/**:pull,push", None);
    let expired = world.token(ANNA, "team/**:pull", Some(SystemTime::UNIX_EPOCH));
    let text = |secret: &SecretString| secret.expose_secret().to_owned();
    let anna = CallerKind::User { name: "anna".to_owned(), id: Some(ANNA) };
    let ci = CallerKind::Robot { name: "ci".to_owned(), id: ROBOT };
    for (user, password, expected) in [
        ("anna", PASSWORD.to_owned(), Some(&anna)),
        ("anna", text(&personal), Some(&anna)),
        ("ci", text(&robots), Some(&ci)),
        ("", String::new(), Some(&CallerKind::Anonymous)),
        ("anna", "wrong".to_owned(), None),
        ("anna", String::new(), None),
        ("", PASSWORD.to_owned(), None),
        ("bob", PASSWORD.to_owned(), None),
        ("Anna", PASSWORD.to_owned(), None),
        // The name has to be that of the token's owner.
        ("bob", text(&personal), None),
        ("ci", text(&personal), None),
        ("", text(&personal), None),
        ("ci", PASSWORD.to_owned(), None),
        ("anna", text(&expired), None),
        ("anna", format!("{}x", text(&personal)), None),
        ("oidc", PASSWORD.to_owned(), None),
    ] {
        let identified = world.identify(&basic(user, &password)).await;
        match expected {
            Some(kind) => assert_eq!(&identified.unwrap().kind, kind, "{user}"),
            None => assert_eq!(identified, Err(refused(None)), "{user}"),
        }
    }
    let raw = world.identify(&Credentials::Bearer(robots)).await.unwrap();
    assert_eq!(raw.kind, ci);
    let bad = world.identify(&Credentials::Bearer("opaque".into())).await;
    assert_eq!(bad, Err(refused(Some(TokenFault::Invalid))));
}

#[tokio::test]
async fn a_token_that_is_had_while_the_password_changes_ends_with_the_old_one() {
    let world = World::new();
    // The row of the password was read before the change, that of the user after it.
    world.change(|content| content.principals.get_mut(&ANNA).unwrap().password_changes += 1);
    assert!(world.push(&basic("anna", PASSWORD)).await.is_err());
}

#[tokio::test]
async fn what_was_taken_away_is_refused_at_the_next_request() {
    type Edit = fn(&mut Content);
    let edits: [(&str, Edit); 5] = [
        ("the user is gone", |content| {
            content.principals.remove(&ANNA);
        }),
        ("the role is less", |content| {
            content.principals.get_mut(&ANNA).unwrap().rights = anna(Role::Reader);
        }),
        ("the password is another", |content| {
            content.principals.get_mut(&ANNA).unwrap().password_changes += 1;
            let password = NewPassword::new("another password".into()).unwrap();
            content.passwords.get_mut("anna").unwrap().hash = PasswordHash::new(&password);
        }),
        ("the token is revoked", |content| content.tokens.clear()),
        ("the keys are others", |content| {
            let private_key = generate(Algorithm::EdDsa).unwrap();
            let algorithm = Algorithm::EdDsa;
            content.keys = vec![StoredKey { algorithm, private_key, retired: None }];
        }),
    ];
    for (case, edit) in edits {
        let world = World::new();
        let personal = world.token(ANNA, "team/**:pull,push", None);
        let robots = world.token(ROBOT, "team/**:pull,push", None);
        let mut ways = vec![
            basic("anna", PASSWORD),
            basic("anna", personal.expose_secret()),
            basic("ci", robots.expose_secret()),
        ];
        for way in ways.clone() {
            ways.push(world.bearer(&way, "repository:team/app:pull,push").await);
        }
        for way in &ways {
            assert_eq!(world.push(way).await, Ok(()), "{case}: {way:?}");
            assert_eq!(world.push(way).await, Ok(()), "{case}: {way:?}, from the cache");
        }
        world.change(edit);
        let is_refused: Vec<bool> = {
            let mut found = Vec::new();
            for way in &ways {
                found.push(world.push(way).await.is_err());
            }
            found
        };
        // By password, token and robot, and then by a signed token that was had for each.
        let expected = match case {
            "the user is gone" | "the role is less" => [true; 6],
            "the password is another" => [true, false, false, true, false, false],
            "the token is revoked" => [false, true, true, false, true, true],
            _ => [false, false, false, true, true, true],
        };
        assert_eq!(is_refused, expected, "{case}");
    }
}

#[tokio::test]
async fn a_token_is_good_for_no_more_than_what_was_requested_and_may_be_done() {
    let world = World::new();
    let anna = basic("anna", PASSWORD);
    let signed_in = world.authority.sign_in(&anna, CLIENT).await.unwrap().unwrap();
    let anonymous = world.authority.sign_in(&Credentials::None, CLIENT).await.unwrap().unwrap();
    let requested = Scopes::requested([
        "repository:team/app:*",
        "repository:anna/new:pull,push,delete",
        "repository:other/secret:pull,push",
        "repository:other/open:push,pull",
        "repository:team/read:pull",
        "registry:catalog:*",
    ]);
    let meant = [
        private("team/app"),
        name("anna/new").into(),
        private("other/secret"),
        present("other/open", Visibility::Public),
        private("team/read"),
    ];
    let grantable = async |caller| world.authority.grantable(caller, &requested, &meant).await;
    assert_eq!(
        grantable(&signed_in.caller).await.lines(),
        [
            "repository:anna/new:pull,push,delete",
            "repository:other/open:pull",
            "repository:team/app:pull,push",
            "repository:team/read:pull",
            "registry:catalog:*"
        ]
    );
    assert_eq!(grantable(&anonymous.caller).await.lines(), ["repository:other/open:pull"]);

    // A token for `pull` does not push, and a token of a token is bounded by that.
    let bearer = world.bearer(&anna, "repository:team/app:pull").await;
    let AuthError::Unauthorized(challenge) = world.push(&bearer).await.unwrap_err() else {
        panic!("it is no challenge")
    };
    let scope = Some("repository:team/app:pull,push".to_owned());
    let fault = Some(TokenFault::InsufficientScope);
    assert_eq!(challenge, Challenge::Token { scope, fault });
    let narrow = world.token(ANNA, "team/**:pull", None);
    let bearer =
        world.bearer(&basic("anna", narrow.expose_secret()), "repository:team/app:*").await;
    assert!(world.push(&bearer).await.is_err());
    let refused = world.authority.sign_in(&bearer, CLIENT).await.unwrap_err();
    assert!(matches!(refused, AuthError::Unauthorized(_)), "a token gets no other one");
}

#[tokio::test]
async fn a_refresh_token_is_good_again_and_again_until_its_password_or_token_ends() {
    let world = World::new();
    let personal = world.token(ANNA, "team/**:pull", None);
    for (way, is_by_password) in
        [(basic("anna", PASSWORD), true), (basic("anna", personal.expose_secret()), false)]
    {
        let authority = &world.authority;
        let signed_in = authority.sign_in(&way, CLIENT).await.unwrap().unwrap();
        let token = authority
            .token(&signed_in, Scopes::default(), Some(Duration::MAX))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(token.lifetime, Duration::from_mins(1));
        let refresh = Credentials::Refresh(token.refresh.unwrap());
        for _ in 0..3 {
            let again = authority.sign_in(&refresh, CLIENT).await.unwrap().unwrap();
            assert_eq!(again.caller.subject(), Some("anna"));
            let token = authority
                .token(&again, Scopes::default(), Some(Duration::MAX))
                .await
                .unwrap()
                .unwrap();
            assert!(token.refresh.is_none(), "no other one");
        }
        let Credentials::Refresh(text) = &refresh else { unreachable!() };
        let as_access = Credentials::Bearer(text.clone());
        assert!(world.identify(&as_access).await.is_err(), "it is no access token");
        let bearer = world.bearer(&way, "").await;
        let Credentials::Bearer(text) = bearer else { unreachable!() };
        let as_refresh = Credentials::Refresh(text);
        assert!(authority.sign_in(&as_refresh, CLIENT).await.is_err());
        world.change(|content| {
            if is_by_password {
                content.principals.get_mut(&ANNA).unwrap().password_changes += 1;
            } else {
                content.tokens.clear();
            }
        });
        assert!(authority.sign_in(&refresh, CLIENT).await.is_err());
    }
    let anonymous = world.authority.sign_in(&Credentials::None, CLIENT).await.unwrap().unwrap();
    let token = world.authority.token(&anonymous, Scopes::default(), Some(Duration::MAX)).await;
    assert!(token.unwrap().unwrap().refresh.is_none());
}

#[tokio::test]
async fn private_and_absent_are_refused_alike() {
    let world = World::new();
    let narrow = world.token(ANNA, "team/app:pull", None);
    let stranger = world.bearer(&Credentials::None, "repository:x/y:pull,push").await;
    for way in [
        Credentials::None,
        stranger,
        basic("anna", PASSWORD),
        basic("anna", narrow.expose_secret()),
        world.bearer(&basic("anna", PASSWORD), "repository:x/y:pull,push,delete").await,
    ] {
        let caller = world.identify(&way).await.unwrap();
        let authority = &world.authority;
        for (there, absent) in [
            (
                authority.pull(&caller, private("x/y")).await.map(drop),
                authority.pull(&caller, name("x/y")).await.map(drop),
            ),
            (
                authority.push(&caller, private("x/y")).await.map(drop),
                authority.push(&caller, name("x/y")).await.map(drop),
            ),
            (
                authority.delete(&caller, private("x/y")).await.map(drop),
                authority.delete(&caller, name("x/y")).await.map(drop),
            ),
        ] {
            assert_eq!(there, absent);
            assert!(matches!(there, Err(AuthError::Unauthorized(_))));
        }
    }
}

#[tokio::test]
async fn without_accounts_nothing_is_allowed_and_nothing_is_wrong() {
    let world = World::new();
    let bearer = world.bearer(&basic("anna", PASSWORD), "repository:team/app:pull,push").await;
    assert_eq!(world.push(&bearer).await, Ok(()));
    let reads = || world.memory.0.lock().unwrap().reads;
    let before = reads();
    assert_eq!(world.push(&bearer).await, Ok(()));
    assert_eq!(reads(), before, "no more than the state is read");
    world.memory.0.lock().unwrap().is_away = true;
    for way in [bearer, basic("anna", PASSWORD), basic("bob", PASSWORD)] {
        assert_eq!(world.push(&way).await, Err(AuthError::Unavailable));
    }
    world.memory.0.lock().unwrap().is_away = false;
    let caller = world.identify(&basic("anna", PASSWORD)).await.unwrap();
    let metrics = world.authority.decide(&caller, Act::Metrics).await;
    assert!(matches!(metrics, Err(AuthError::Denied(_))));
    assert!(matches!(
        world.authority.delete(&caller, private("team/app")).await,
        Err(AuthError::Denied(_))
    ));
}
