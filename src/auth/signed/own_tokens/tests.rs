use std::time::UNIX_EPOCH;

use jsonwebtoken::EncodingKey;
use secrecy::ExposeSecret;

use super::super::{Algorithm, SigningKey, SubjectKind, generate};
use super::*;

const ISSUER: &str = "https://registry.example";
const MINUTES: Duration = Duration::from_mins(5);

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_hours(500_000)
}

fn key(algorithm: Algorithm) -> SigningKey {
    SigningKey::from_pkcs8(algorithm, generate(algorithm).unwrap().expose_secret()).unwrap()
}

fn tokens(key: SigningKey) -> OwnTokens {
    OwnTokens::new(ISSUER, "roadstead", KeyRing::new(key, Vec::new()))
}

fn anna() -> Subject {
    Subject::new(SubjectKind::User, "42", "anna")
}

fn scopes() -> Scopes {
    Scopes::requested(["repository:team/app:pull,push registry:catalog:*"])
}

fn access(tokens: &OwnTokens) -> String {
    let token = tokens.access(&anna(), &scopes(), MINUTES, now()).unwrap();
    assert_eq!(token.lifetime, MINUTES);
    token.text.expose_secret().to_owned()
}

fn part(text: &str, number: usize) -> Value {
    let part = text.split('.').nth(number).unwrap();
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap()
}

/// Signs other claims or another header than a token has.
fn resigned(tokens: &OwnTokens, text: &str, edit: impl Fn(&mut Value, &mut Value)) -> String {
    let (mut header, mut claims) = (part(text, 0), part(text, 1));
    edit(&mut header, &mut claims);
    compact(&header, &claims, |message| tokens.ring().current().sign(message)).unwrap()
}

#[test]
fn a_token_of_each_algorithm_says_what_it_was_issued_for() {
    for algorithm in Algorithm::ALL {
        let bytes = generate(algorithm).unwrap();
        let key = || SigningKey::from_pkcs8(algorithm, bytes.expose_secret()).unwrap();
        let tokens = tokens(key());
        let text = access(&tokens);
        let read = tokens.verify_access(&text, now()).unwrap();
        assert_eq!((read.subject, &*read.scopes), (anna(), &scopes()));
        assert_eq!(read.until, now() + MINUTES + Duration::from_mins(1));
        let other = OwnTokens::new(ISSUER, "roadstead", KeyRing::new(key(), Vec::new()));
        assert!(other.verify_access(&text, now()).is_ok(), "another process");

        let header = json!({ "alg": algorithm.name(), "typ": "JWT", "kid": key().id() });
        assert_eq!(part(&text, 0), header);
        let id = part(&text, 1)["jti"].clone();
        let expected = json!({
            "iss": ISSUER, "sub": "anna", "aud": "roadstead", "jti": id,
            "exp": 1_800_000_300, "nbf": 1_800_000_000, "iat": 1_800_000_000,
            "access": [
                { "type": "repository", "name": "team/app", "actions": ["pull", "push"] },
                { "type": "registry", "name": "catalog", "actions": ["*"] },
            ],
            "roadstead": { "kind": "user", "id": "42" },
        });
        assert_eq!(part(&text, 1), expected);
        assert_ne!(part(&access(&tokens), 1)["jti"], id);
        for wrong in Algorithm::ALL.into_iter().filter(|wrong| *wrong != algorithm) {
            assert!(SigningKey::from_pkcs8(wrong, bytes.expose_secret()).is_err());
        }
    }
}

#[test]
fn each_kind_of_subject_comes_back() {
    let tokens = tokens(key(Algorithm::EdDsa));
    let mut workload = Subject::new(SubjectKind::Workload, "https://ci.example#7", "repo 7");
    workload.rules = vec!["a1".to_owned(), "b2".to_owned()];
    let mut robot = Subject::new(SubjectKind::Robot, "9", "deploy");
    robot.credential = Some("tok1".to_owned());
    for subject in [Subject::anonymous(), anna(), workload, robot] {
        let token = tokens.access(&subject, &Scopes::default(), MINUTES, now()).unwrap();
        let read = tokens.verify_access(token.text.expose_secret(), now()).unwrap();
        assert_eq!(read.subject, subject);
        let token = tokens.refresh(&subject, MINUTES, now()).unwrap();
        let read = tokens.verify_refresh(token.text.expose_secret(), now()).unwrap();
        assert_eq!((read.subject, read.issued), (subject, now()));
    }
}

#[test]
fn a_token_counts_from_a_minute_before_its_begin_to_a_minute_after_its_end() {
    let tokens = tokens(key(Algorithm::EdDsa));
    let text = access(&tokens);
    let at = |seconds: i64| {
        let moment = u64::try_from(1_800_000_000 + seconds).unwrap();
        tokens.verify_access(&text, UNIX_EPOCH + Duration::from_secs(moment)).err()
    };
    assert_eq!(at(-61), Some(TokenError::NotYetValid));
    assert_eq!((at(-60), at(0), at(359)), (None, None, None));
    assert_eq!(at(360), Some(TokenError::Expired));
    assert_eq!(at(1_000_000), Some(TokenError::Expired));
}

#[test]
fn a_refresh_token_is_no_access_token_and_the_reverse() {
    let tokens = tokens(key(Algorithm::EdDsa));
    let text = access(&tokens);
    assert_eq!(tokens.verify_refresh(&text, now()).err(), Some(TokenError::Type));
    let refresh = tokens.refresh(&anna(), MINUTES, now()).unwrap();
    let refresh = refresh.text.expose_secret();
    assert_eq!(tokens.verify_access(refresh, now()).err(), Some(TokenError::Type));
    // Either difference is enough.
    let typed = resigned(&tokens, refresh, |header, _| header["typ"] = "JWT".into());
    assert_eq!(tokens.verify_access(&typed, now()).err(), Some(TokenError::Audience));
    let meant = resigned(&tokens, refresh, |_, claims| claims["aud"] = "roadstead".into());
    assert_eq!(tokens.verify_access(&meant, now()).err(), Some(TokenError::Type));
}

#[test]
fn a_token_of_another_is_refused() {
    let (own, other) = (tokens(key(Algorithm::EdDsa)), tokens(key(Algorithm::EdDsa)));
    assert_eq!(own.verify_access(&access(&other), now()).err(), Some(TokenError::UnknownKey));
    // The other's signature under our key's name.
    let id = own.ring().current().id().to_owned();
    let named = resigned(&other, &access(&other), |header, _| header["kid"] = id.clone().into());
    assert_eq!(own.verify_access(&named, now()).err(), Some(TokenError::Signature));

    let bytes = generate(Algorithm::EdDsa).unwrap();
    let ring = || {
        let key = SigningKey::from_pkcs8(Algorithm::EdDsa, bytes.expose_secret()).unwrap();
        KeyRing::new(key, Vec::new())
    };
    let own = OwnTokens::new(ISSUER, "roadstead", ring());
    let issuer = OwnTokens::new("https://registry.example/", "roadstead", ring());
    assert_eq!(own.verify_access(&access(&issuer), now()).err(), Some(TokenError::Issuer));
    let service = OwnTokens::new(ISSUER, "Roadstead", ring());
    assert_eq!(own.verify_access(&access(&service), now()).err(), Some(TokenError::Audience));
}

#[test]
fn forged_tokens_are_refused() {
    for algorithm in Algorithm::ALL {
        let tokens = tokens(key(algorithm));
        let text = access(&tokens);
        let parts: Vec<&str> = text.split('.').collect();
        let refused = |text: &str| tokens.verify_access(text, now()).expect_err(text);
        let wider = part(&text, 1).to_string().replace("pull", "delete");
        let wider = BASE64_URL_SAFE_NO_PAD.encode(wider);
        assert_eq!(refused(&format!("{}.{wider}.{}", parts[0], parts[2])), TokenError::Signature);
        assert_eq!(refused(&format!("{}.{}.", parts[0], parts[1])), TokenError::Signature);

        // No signature, as header or as word.
        for none in ["none", "None", "NONE", ""] {
            let header = json!({ "alg": none, "typ": "JWT", "kid": tokens.ring().current().id() });
            let header = BASE64_URL_SAFE_NO_PAD.encode(header.to_string());
            assert_eq!(refused(&format!("{header}.{}.", parts[1])), TokenError::Malformed);
            assert_eq!(
                refused(&format!("{header}.{}.{}", parts[1], parts[2])),
                TokenError::Malformed
            );
        }
        // The public key as the secret of HMAC, in each form that it is published in.
        let jwk = json!(tokens.ring().current().jwk());
        for secret in [jwk["x"].as_str(), jwk["n"].as_str()].into_iter().flatten() {
            let decoded = BASE64_URL_SAFE_NO_PAD.decode(secret).unwrap();
            for secret in [secret.as_bytes(), &decoded, jwk.to_string().as_bytes()] {
                let mut header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS256);
                header.kid = Some(tokens.ring().current().id().to_owned());
                let key = EncodingKey::from_secret(secret).unwrap();
                let forged = jsonwebtoken::encode(&header, &part(&text, 1), &key).unwrap();
                assert_eq!(refused(&forged), TokenError::Algorithm);
            }
        }
        // A key that the token brings along, or another place for keys.
        let impostor = super::tests::tokens(key(algorithm));
        let forged = resigned(&impostor, &text, |header, _| {
            header["jwk"] = json!(impostor.ring().current().jwk());
            header["jku"] = "https://evil.example/jwks.json".into();
        });
        assert_eq!(refused(&forged), TokenError::Signature);
        for other in ["RS384", "PS256", "ES384", "HS512", "EdDSA", "RS256", "ES256"] {
            if other != algorithm.name() {
                let text = resigned(&tokens, &text, |header, _| header["alg"] = other.into());
                assert_eq!(refused(&text), TokenError::Algorithm, "{other}");
            }
        }
        let nameless = resigned(&tokens, &text, |header, _| {
            header.as_object_mut().unwrap().remove("kid");
        });
        assert_eq!(refused(&nameless), TokenError::UnknownKey);
        let critical = resigned(&tokens, &text, |header, _| header["crit"] = json!(["exp"]));
        assert_eq!(refused(&critical), TokenError::Malformed);
    }
}

#[test]
fn claims_of_another_form_are_refused_and_unknown_ones_passed_over() {
    let tokens = tokens(key(Algorithm::EdDsa));
    let text = access(&tokens);
    for claim in ["iss", "sub", "aud", "exp", "nbf", "iat", "jti", "access", "roadstead"] {
        for value in [json!(null), json!([]), json!({}), json!(-1), json!(true), json!(1.5)] {
            if claim == "access" && value == json!([]) {
                continue;
            }
            let bad = resigned(&tokens, &text, |_, claims| claims[claim] = value.clone());
            let refused = tokens.verify_access(&bad, now());
            assert_eq!(refused.err(), Some(TokenError::Malformed), "{claim} {value}");
        }
        let bad = resigned(&tokens, &text, |_, claims| {
            claims.as_object_mut().unwrap().remove(claim);
        });
        assert_eq!(tokens.verify_access(&bad, now()).err(), Some(TokenError::Malformed), "{claim}");
    }
    for claim in ["exp", "nbf", "iat"] {
        let bad = resigned(&tokens, &text, |_, claims| claims[claim] = "1800000000".into());
        assert_eq!(tokens.verify_access(&bad, now()).err(), Some(TokenError::Malformed), "{claim}");
    }
    let more = resigned(&tokens, &text, |header, claims| {
        header["x"] = json!([1]);
        claims["admin"] = true.into();
        claims["roadstead"]["more"] = 1.into();
    });
    assert_eq!(tokens.verify_access(&more, now()).unwrap().subject, anna());

    // The same claim twice.
    let claims = part(&text, 1).to_string();
    let twice = claims.replacen('{', r#"{"sub":"root","#, 1);
    let header = text.split('.').next().unwrap();
    let message = format!("{header}.{}", BASE64_URL_SAFE_NO_PAD.encode(twice));
    let signature = tokens.ring().current().sign(message.as_bytes()).unwrap();
    let twice = format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature));
    assert_eq!(tokens.verify_access(&twice, now()).err(), Some(TokenError::Malformed));
}

#[test]
fn keys_are_rotated() {
    let bytes = [Algorithm::EdDsa, Algorithm::Es256].map(|it| (it, generate(it).unwrap()));
    let key = |number: usize| {
        let (algorithm, bytes) = &bytes[number];
        SigningKey::from_pkcs8(*algorithm, bytes.expose_secret()).unwrap()
    };
    let tokens = OwnTokens::new(ISSUER, "roadstead", KeyRing::new(key(0), Vec::new()));
    let early = access(&tokens);
    tokens.rotate(KeyRing::new(key(0), vec![key(1)]));
    assert_eq!(tokens.ring().public_set()["keys"].as_array().unwrap().len(), 2);
    assert_eq!(part(&access(&tokens), 0)["alg"], "EdDSA", "the next key is published first");
    tokens.rotate(KeyRing::new(key(1), vec![key(0)]));
    let late = access(&tokens);
    assert_eq!(part(&late, 0)["alg"], "ES256");
    assert!(tokens.verify_access(&early, now()).is_ok());
    tokens.rotate(KeyRing::new(key(1), Vec::new()));
    assert_eq!(tokens.verify_access(&early, now()).err(), Some(TokenError::UnknownKey));
    assert!(tokens.verify_access(&late, now()).is_ok());
}

#[test]
fn only_public_members_are_published() {
    let others = vec![key(Algorithm::Rs256), key(Algorithm::Es256)];
    let ring = KeyRing::new(key(Algorithm::EdDsa), others);
    let set = ring.public_set();
    let members = |number: usize| {
        let key = set["keys"][number].as_object().unwrap();
        let mut names: Vec<&str> = key.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    };
    assert_eq!(members(0), ["alg", "crv", "kid", "kty", "use", "x"]);
    assert_eq!(members(1), ["alg", "e", "kid", "kty", "n", "use"]);
    assert_eq!(members(2), ["alg", "crv", "kid", "kty", "use", "x", "y"]);
    assert_eq!(set["keys"][0]["kid"], ring.current().id());
    assert_eq!(set["keys"][0]["use"], "sig");
}

#[test]
fn the_id_of_a_key_is_its_thumbprint() {
    // RFC 8037, A.1 to A.3.
    let seed = "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A";
    let prefix = [0x30, 46, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    let pkcs8 = [&prefix[..], &BASE64_URL_SAFE_NO_PAD.decode(seed).unwrap()].concat();
    let key = SigningKey::from_pkcs8(Algorithm::EdDsa, &pkcs8).unwrap();
    assert_eq!(key.id(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    assert_eq!(json!(key.jwk())["x"], "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo");
}

#[test]
fn the_longest_token_is_accepted_and_a_longer_text_is_not_looked_at() {
    let tokens = tokens(key(Algorithm::Rs256));
    let many: Vec<String> =
        (0..200).map(|it| format!("repository:{it:03}{}:*", "n".repeat(252))).collect();
    let scopes = Scopes::requested(many.iter().map(String::as_str));
    let token = tokens.access(&anna(), &scopes, MINUTES, now()).unwrap();
    let text = token.text.expose_secret();
    assert_eq!(*tokens.verify_access(text, now()).unwrap().scopes, scopes);
    assert!(scopes.access().len() == 64 && text.len() > 20_000, "{}", text.len());

    let long = format!("{text}{}", "A".repeat(jws::LONGEST));
    assert_eq!(tokens.verify_access(&long, now()).err(), Some(TokenError::TooLong));
    let long = Subject::new(SubjectKind::User, "1", "a".repeat(jws::LONGEST));
    let refused = tokens.refresh(&long, MINUTES, now());
    assert!(matches!(refused, Err(KeyError::TooLong(_))), "{refused:?}");
    for text in ["", ".", "..", "...", "a.b.c", "e30.e30.e30", "e30.e30.", "\u{feff}e30.e30.AA"] {
        assert_eq!(tokens.verify_access(text, now()).err(), Some(TokenError::Malformed), "{text}");
    }
}
