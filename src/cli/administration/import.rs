//! The users of a password file.

use std::collections::HashSet;
use std::path::Path;

use anyhow::{Context, bail};
use secrecy::SecretString;

use crate::auth::accounts::AccountName;
use crate::auth::passwords::PasswordHash;

/// The largest file in bytes.
const LARGEST: u64 = 16 << 20;

/// A user of a password file.
pub(super) struct ImportedUser {
    /// The line where it is, from 1 on.
    pub(super) line: usize,
    pub(super) name: String,
    /// The hash of the password.
    pub(super) hash: SecretString,
}

/// Reads a password file as `htpasswd -B` makes it. It is good as a whole, or not at all.
pub(super) fn read(path: &Path) -> anyhow::Result<Vec<ImportedUser>> {
    let shown = path.display();
    let size = std::fs::metadata(path).with_context(|| format!("cannot read {shown}"))?.len();
    if size > LARGEST {
        bail!("cannot import {shown}: it is larger than {LARGEST} bytes");
    }
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {shown}"))?;
    parse(&text)
        .map_err(|why| anyhow::anyhow!("cannot import {shown}: {why}; nothing was imported"))
}

/// Reads lines of `name:hash`. What is wrong is said of each line that is, and without anything that could be a password.
fn parse(text: &str) -> Result<Vec<ImportedUser>, String> {
    let (mut users, mut wrong, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        match user(line) {
            Ok((name, _)) if !seen.insert(name) => {
                wrong.push((index + 1, format!("`{name}` is there twice")));
            }
            Ok((name, hash)) => {
                users.push(ImportedUser {
                    line: index + 1,
                    name: name.to_owned(),
                    hash: hash.into(),
                });
            }
            Err(why) => wrong.push((index + 1, why)),
        }
    }
    if wrong.is_empty() {
        return Ok(users);
    }
    let wrong: Vec<String> =
        wrong.iter().map(|(line, why)| format!("line {line}: {why}")).collect();
    Err(wrong.join("; "))
}

fn user(line: &str) -> Result<(&str, &str), String> {
    let (name, hash) = line.split_once(':').ok_or("expected `name:hash`")?;
    name.parse::<AccountName>().map_err(|error| error.to_string())?;
    let most = PasswordHash::DEAREST_IMPORTED;
    match hash.parse::<PasswordHash>() {
        Ok(hash) if hash.bcrypt_cost().is_some_and(|cost| cost <= most) => {}
        Ok(hash) if hash.is_bcrypt() => {
            return Err(format!("the hash of `{name}` has a cost outside 4 to {most}"));
        }
        Err(
            crate::auth::passwords::HashError::Cost | crate::auth::passwords::HashError::Malformed,
        ) => {
            return Err(format!(
                "the hash of `{name}` is malformed, or has a cost outside 4 to {most}"
            ));
        }
        Ok(_) | Err(_) => {
            return Err(format!(
                "the password of `{name}` is not hashed with bcrypt; make the line with `htpasswd -B`"
            ));
        }
    }
    Ok((name, hash))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `password`, as `htpasswd -B -C 4` writes it but for the salt.
    const HASH: &str = "$2y$04$......................w74bL5gU7LSJClZClCa.Pkz14aTv/XO";

    #[test]
    fn users_are_read_with_their_lines() {
        let users = parse(&format!("# ours\n\nanna:{HASH}\r\n ben:{HASH}\n")).unwrap();
        let found: Vec<_> = users.iter().map(|it| (it.line, it.name.as_str())).collect();
        assert_eq!(found, [(3, "anna"), (4, "ben")]);
        assert!(parse("").unwrap().is_empty());
    }

    #[test]
    fn each_line_that_is_wrong_is_named_without_what_could_be_a_password() {
        let sha = "{SHA}2PRZAyDhNDqRW2OUFwZQqPNdaSY=";
        let ours = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$k9ohroejZy1PN5E1SbHNPug6vB8eQAahb5SOAp6iGF4";
        for (line, why) in [
            ("s3cret", "expected `name:hash`"),
            (&*format!("a.b:{HASH}"), "another registry"),
            (&format!("Anna:{HASH}"), "cannot be a name"),
            (&format!("oidc:{HASH}"), "reserved"),
            (&format!(":{HASH}"), "cannot be a name"),
            (&format!("ben:{sha}"), "not hashed with bcrypt"),
            (&format!("ben:{ours}"), "not hashed with bcrypt"),
            ("ben:s3cret", "not hashed with bcrypt"),
            (&format!("ben:{}", HASH.replace("04", "18")), "a cost outside 4 to 14"),
            (&format!("ben:{}", HASH.replace("04", "15")), "a cost outside 4 to 14"),
            (&format!("anna:{HASH}"), "twice"),
        ] {
            let Err(refusal) = parse(&format!("anna:{HASH}\n{line}\n")) else { panic!("{line}") };
            assert!(refusal.starts_with("line 2: ") && refusal.contains(why), "{refusal}");
            assert!(!refusal.contains("s3cret") && !refusal.contains("2PRZ"), "{refusal}");
        }
        let Err(both) = parse("x\ny\n") else { panic!("they are wrong") };
        assert!(both.contains("line 1: ") && both.contains("line 2: "), "{both}");
    }
}
