//! Those whose rows the table has: their accounts, their credentials, and the issuer of their jobs.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, SystemTime};

use roadstead::auth::Scopes;
use roadstead::auth::accounts::AccessToken;
use roadstead::auth::signed::{
    Algorithm, KeyRing, OwnTokens, SigningKey, Subject, SubjectKind, generate,
};
use roadstead::index::{
    Actor, Added, Changed, Holder, Index, NewAccessToken, NewGrant, NewRobot, NewSigningKey,
    NewUser,
};
use secrecy::{ExposeSecret, SecretSlice};
use serde_json::json;

use super::super::team::{NOW, PASSWORD, Sender, fill, token_of, user};
use super::NAMES;
use super::senders::{SENDERS, Who};
use crate::common::Server;

/// The setting of the rules of workloads.
pub(super) const WORKLOADS: &str = "ROADSTEAD_AUTH__WORKLOADS";

const ISSUER: &str = "https://ci.example";

const AUDIENCE: &str = "registry";

/// What the issuer calls its job.
const JOB: &str = "job:7";

const HOUR: Duration = Duration::from_hours(1);

/// Accounts and keys, and the secrets of all of them.
pub(super) struct Cast {
    secrets: HashMap<(&'static str, &'static str), String>,
    expired: HashMap<&'static str, String>,
    revoked: HashMap<&'static str, (String, String)>,
    /// By their names: the number, and how often the password was changed.
    accounts: HashMap<&'static str, (i64, i64)>,
    key: SecretSlice<u8>,
    issuer: SecretSlice<u8>,
}

/// Names, and the number of the maker of each one's tokens.
const OWNERS: [&str; 10] =
    ["root", "anna", "will", "rita", "carl", "mia", "olga", "dora", "ci", "guest"];

impl Cast {
    /// Fills an index with the team, and all others of the table.
    pub(super) async fn fill(index: &Index) -> Self {
        fill(index).await;
        let actor = Actor::default();
        let number = async |name: &str| {
            let found = index.principal(name).await.expect("it can be read").expect("it is there");
            (found.principal.id, found.password_changes)
        };
        let anna = number("anna").await.0;
        let carl = number("carl").await.0;
        let hash = bcrypt::hash_with_result(PASSWORD, 4).expect("4 is a cost");
        let hash = hash.format_for_version(bcrypt::Version::TwoY).into();
        for (name, role) in [("mia", "maintainer"), ("olga", "owner"), ("dora", "writer")] {
            let user = NewUser { name, password: Some(&hash), is_admin: false };
            let holder = Holder::Principal(id(index.add_user(&user, &actor, NOW).await));
            let grant = NewGrant { holder, role, pattern: "team/**", maker: Some(anna) };
            let added = index.add_grant(&grant, &actor, NOW).await.expect("it can be given");
            assert_eq!(added, Changed::Done);
        }
        let namespace = async |name: &str| {
            index.namespace(name).await.expect("it can be read").expect("it is there").id
        };
        for (name, of, maker) in [("guest", "carl", carl), ("lost", "team", carl)] {
            let robot = NewRobot { name, namespace: namespace(of).await, maker };
            id(index.add_robot(&robot, &actor, NOW).await);
        }
        let key = generate(Algorithm::EdDsa).expect("a key can be made");
        let issuer = generate(Algorithm::EdDsa).expect("a key can be made");
        let kid = signing_key(&key).id().to_owned();
        let new = NewSigningKey { kid, algorithm: "EdDSA".to_owned(), private_key: key.clone() };
        index.ensure_signing_key(&new, &actor, NOW).await.expect("it can be added");
        let mut cast = Self {
            secrets: HashMap::new(),
            expired: HashMap::new(),
            revoked: HashMap::new(),
            accounts: HashMap::new(),
            key,
            issuer,
        };
        for name in OWNERS.into_iter().chain(["lost"]) {
            cast.accounts.insert(name, number(name).await);
        }
        let maker = |name| match name {
            "ci" => anna,
            "guest" | "lost" => carl,
            name => cast.accounts[name].0,
        };
        for row in SENDERS {
            let (Who::Token(owner, scopes) | Who::BearerOfToken(owner, scopes)) = row.who else {
                continue;
            };
            let token = add_token(index, cast.accounts[owner].0, maker(owner), scopes, None).await;
            cast.secrets.insert((owner, scopes), token.1);
        }
        for owner in ["anna", "ci"] {
            let (principal, maker) = (cast.accounts[owner].0, maker(owner));
            let all = "team/**:pull,push,delete";
            let past = Some(NOW + 1000);
            cast.expired.insert(owner, add_token(index, principal, maker, all, past).await.1);
            let revoked = add_token(index, principal, maker, all, None).await;
            let changed = index.revoke_access_token(&revoked.0, &actor, NOW).await;
            assert_eq!(changed.expect("it can be revoked"), Changed::Done);
            cast.revoked.insert(owner, revoked);
        }
        let changed = index.set_disabled(cast.accounts["dora"].0, true, &actor, NOW).await;
        assert_eq!(changed.expect("it can be changed"), Changed::Done);
        cast
    }

    /// Writes the keys of the issuer, and returns the rule that lets its job in.
    pub(super) fn write_workloads(&self, folder: &Path) -> String {
        let file = folder.join("jwks.json");
        let keys = KeyRing::new(signing_key(&self.issuer), Vec::new()).public_set();
        std::fs::write(&file, keys.to_string()).expect("the folder is ours");
        let rule = json!({
            "issuer": ISSUER, "audience": AUDIENCE, "claims": { "sub": JOB }, "role": "writer",
            "pattern": "team/**", "jwks_file": file.display().to_string(),
        });
        json!([rule]).to_string()
    }

    /// Returns a credential as it is sent.
    pub(super) fn sender(&self, server: &Server, who: Who) -> Sender {
        let basic =
            |name: &str, password: &str| Sender::Basic(name.to_owned(), password.to_owned());
        let requested = |name: &str, scopes: &[&str]| {
            let answer = token_of(server, &user(name), scopes).json();
            Sender::Bearer(answer["token"].as_str().expect("it is a text").to_owned())
        };
        let pulls = NAMES.map(|name| format!("repository:{name}:pull"));
        let pulls = pulls.each_ref().map(String::as_str);
        match who {
            Who::Nobody => Sender::Nobody,
            Who::User(name) => user(name),
            Who::WrongPassword(name) => basic(name, "wrong, and long enough"),
            Who::Token(name, scopes) => basic(name, &self.secrets[&(name, scopes)]),
            Who::TokenOfOther(name, owner) => {
                basic(name, &self.secrets[&(owner, "team/**:pull,push,delete")])
            }
            Who::ExpiredToken(name) => basic(name, &self.expired[name]),
            Who::RevokedToken(name) => basic(name, &self.revoked[name].1),
            Who::BearerOfToken(name, scopes) => {
                Sender::Bearer(self.secrets[&(name, scopes)].clone())
            }
            Who::BearerOfExpiredToken(name) => Sender::Bearer(self.expired[name].clone()),
            Who::Workload => basic("oidc", &job(&self.issuer, SystemTime::now())),
            Who::ForgedWorkload => {
                let other = generate(Algorithm::EdDsa).expect("a key can be made");
                basic("oidc", &job(&other, SystemTime::now()))
            }
            Who::ExpiredWorkload => basic("oidc", &job(&self.issuer, SystemTime::now() - HOUR)),
            // He cannot have one any more.
            Who::OnlyPulls("dora") => self.signed("dora", None, &self.key, SystemTime::now()),
            Who::OnlyPulls(name) => requested(name, &pulls),
            Who::NoScopes(name) => requested(name, &[]),
            Who::Expired(name) => {
                let good = self.signed(name, None, &self.key, SystemTime::now());
                let pulled = super::send(server, reqwest::Method::GET, "/v2/", &good, Vec::new());
                assert_eq!(pulled.status, 200, "that it has expired is all that it lacks");
                self.signed(name, None, &self.key, SystemTime::now() - HOUR)
            }
            Who::Forged(name) => {
                let other = generate(Algorithm::EdDsa).expect("a key can be made");
                self.signed(name, None, &other, SystemTime::now())
            }
            Who::OfRevokedToken(name) => {
                let credential = format!("token:{}", self.revoked[name].0);
                self.signed(name, Some(credential), &self.key, SystemTime::now())
            }
            Who::Refresh(name) => {
                let url = server.url("/v2/token?offline_token=true&client_id=docker");
                let answer = crate::common::http::send(|client| {
                    client.get(url).basic_auth(name, Some(PASSWORD))
                });
                let token = answer.json()["refresh_token"].as_str().map(str::to_owned);
                Sender::Bearer(token.expect("there is one"))
            }
            Who::Word => Sender::Bearer("opaque".to_owned()),
        }
    }

    /// A user's token of `/v2/token`, as it would be by that key at that time.
    fn signed(
        &self,
        name: &str,
        credential: Option<String>,
        key: &SecretSlice<u8>,
        now: SystemTime,
    ) -> Sender {
        let (id, changes) = self.accounts[name];
        let credential = credential.unwrap_or_else(|| format!("password:{changes}"));
        let subject = Subject::new(SubjectKind::User, id.to_string(), name);
        let subject = Subject { credential: Some(credential), ..subject };
        let scopes = super::all_scopes();
        let scopes = Scopes::requested(scopes.iter().map(String::as_str));
        let ring = KeyRing::new(signing_key(key), Vec::new());
        let tokens = OwnTokens::new("roadstead", "roadstead", ring);
        let token = tokens.access(&subject, &scopes, Duration::from_mins(5), now);
        Sender::Bearer(token.expect("it can be signed").text.expose_secret().to_owned())
    }
}

/// The ID token of the job.
fn job(key: &SecretSlice<u8>, now: SystemTime) -> String {
    let ring = KeyRing::new(signing_key(key), Vec::new());
    let tokens = OwnTokens::new(ISSUER, AUDIENCE, ring);
    let subject = Subject::new(SubjectKind::Workload, "", JOB);
    let token = tokens.access(&subject, &Scopes::default(), Duration::from_mins(5), now);
    token.expect("it can be signed").text.expose_secret().to_owned()
}

fn signing_key(bytes: &SecretSlice<u8>) -> SigningKey {
    SigningKey::from_pkcs8(Algorithm::EdDsa, bytes.expose_secret()).expect("it is a key")
}

fn id(added: roadstead::index::Result<Added>) -> i64 {
    let added = added.expect("it can be added");
    let Added::Made(id) = added else { panic!("it was not added: {added:?}") };
    id
}

/// Adds an access token; returns its id and its text.
async fn add_token(
    index: &Index,
    principal: i64,
    maker: i64,
    scopes: &str,
    expires: Option<i64>,
) -> (String, String) {
    let token = AccessToken::generate();
    let (id, hash) = (token.id().as_str().to_owned(), token.hash());
    let hash = hash.as_bytes();
    let new = NewAccessToken { id: &id, principal, hash, name: "one", scopes, maker, expires };
    let added = index.add_access_token(&new, &Actor::default(), NOW).await;
    assert_eq!(added.expect("it can be added"), Changed::Done);
    (id, token.into_text().expose_secret().to_owned())
}
