//! Argon2id (RFC 9106), with memory that is given back at once.

use argon2::password_hash::phc;
use argon2::{ARGON2ID_IDENT, Algorithm, Argon2, Block, Params, Version};
use aws_lc_rs::{constant_time, rand};

/// What a new hash costs: 19 MiB, two passes, one lane (the least that OWASP recommends). No stored hash may cost more memory,
/// so that two at a time are 38 MiB.
pub(super) const MEMORY: u32 = 19 * 1024;
pub(super) const PASSES: u32 = 2;

/// How many passes a stored hash may have at the most.
const MOST_PASSES: u32 = 10;

const SALT: usize = 16;
const OUTPUT: usize = 32;

/// How many blocks of 1 KiB are reserved. glibc maps an allocation of more than 32 MiB by itself and unmaps it when it is
/// freed; smaller ones it would go on to own after the first time. What is reserved and not written to costs no memory.
const RESERVED: usize = 33 * 1024;

/// A hash in the form of the PHC's strings, whose costs are bounded.
pub(super) struct Parsed {
    params: Params,
    salt: phc::Salt,
    output: phc::Output,
}

/// Reads a hash; none if it is no argon2id, or costs more than is good.
pub(super) fn parse(text: &str) -> Option<Parsed> {
    let hash = phc::PasswordHash::new(text).ok()?;
    let params = Params::try_from(&hash).ok()?;
    let (salt, output) = (hash.salt?, hash.hash?);
    // Written in full, with nothing else.
    let is_known = self::text(&params, &salt, output.as_bytes()) == text;
    let is_bounded = params.m_cost() <= MEMORY
        && params.t_cost() <= MOST_PASSES
        && params.p_cost() == 1
        && params.keyid().is_empty()
        && params.data().is_empty();
    let is_long = salt.len() >= 8 && output.len() >= 16;
    (is_known && is_bounded && is_long).then_some(Parsed { params, salt, output })
}

impl Parsed {
    /// Tells whether a new hash would cost the same.
    pub(super) fn is_current(&self) -> bool {
        self.params.m_cost() == MEMORY
            && self.params.t_cost() == PASSES
            && self.salt.len() == SALT
            && self.output.len() == OUTPUT
    }

    /// Tells whether it is that of a password; takes as long as its costs say.
    pub(super) fn is_of(&self, password: &str) -> bool {
        let mut output = vec![0; self.output.len()];
        derive(&self.params, password, &self.salt, &mut output)
            && constant_time::verify_slices_are_equal(&output, self.output.as_bytes()).is_ok()
    }
}

/// Hashes a password.
pub(super) fn hash(password: &str) -> String {
    let mut salt = [0; SALT];
    rand::fill(&mut salt).expect("the system has random numbers");
    let mut output = [0; OUTPUT];
    let params = params();
    assert!(
        derive(&params, password, &salt, &mut output),
        "the parameters are within their bounds"
    );
    text(&params, &salt, &output)
}

/// Returns a hash that is of no password, and costs as much as a new one.
pub(super) fn of_no_password() -> String {
    text(&params(), &[0; SALT], &[0; OUTPUT])
}

fn params() -> Params {
    Params::new(MEMORY, PASSES, 1, Some(OUTPUT)).expect("they are within the bounds of the RFC")
}

fn text(params: &Params, salt: &[u8], output: &[u8]) -> String {
    let why = "its length is within the bounds of the form";
    let hash = phc::PasswordHash {
        algorithm: ARGON2ID_IDENT,
        version: Some(Version::V0x13.into()),
        params: params.try_into().expect(why),
        salt: Some(phc::Salt::new(salt).expect(why)),
        hash: Some(phc::Output::new(output).expect(why)),
    };
    hash.to_string()
}

fn derive(params: &Params, password: &str, salt: &[u8], output: &mut [u8]) -> bool {
    let mut blocks = Vec::with_capacity(RESERVED);
    blocks.resize(params.block_count(), Block::new());
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
    argon2.hash_password_into_with_memory(password.as_bytes(), salt, output, &mut blocks).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the reference implementation writes it: `echo -n "correct horse" | argon2 somesaltsomesalt -id -t 2 -k 19456 -p 1 -e`.
    const REFERENCE: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$k9ohroejZy1PN5E1SbHNPug6vB8eQAahb5SOAp6iGF4";

    #[test]
    fn hashes_of_other_programs_are_read_and_ours_have_their_form() {
        let parsed = parse(REFERENCE).unwrap();
        assert!(
            parsed.is_current() && parsed.is_of("correct horse") && !parsed.is_of("Correct horse")
        );
        let own = hash("correct horse");
        assert!(own.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{own}");
        assert!(parse(&own).unwrap().is_of("correct horse"));
        assert_ne!(own, hash("correct horse"), "the salt is another one");
        let none = parse(&of_no_password()).unwrap();
        assert!(none.is_current() && !none.is_of("") && !none.is_of("correct horse"));
    }

    #[test]
    fn absurd_costs_and_other_forms_are_refused() {
        assert!(parse(&REFERENCE.replace("t=2", "t=10")).is_some_and(|it| !it.is_current()));
        assert!(parse(&REFERENCE.replace("m=19456", "m=8192")).is_some_and(|it| !it.is_current()));
        for (part, other) in [
            ("m=19456", "m=19457"),
            ("m=19456", "m=4294967295"),
            ("m=19456", "m=99999999999999999999"),
            ("m=19456", "m=1"),
            ("t=2", "t=11"),
            ("t=2", "t=0"),
            ("t=2", "t=4294967295"),
            ("p=1", "p=2"),
            ("p=1", "p=0"),
            ("p=1", "p=16777215"),
            ("p=1", "p=1,keyid=AAAA"),
            ("p=1", "p=1,data=AAAA"),
            ("m=19456,", ""),
            ("argon2id", "argon2i"),
            ("argon2id", "argon2d"),
            ("argon2id", "scrypt"),
            ("v=19", "v=16"),
            ("v=19$", ""),
            ("$argon2id", "argon2id"),
            ("$argon2id", " $argon2id"),
        ] {
            assert!(parse(&REFERENCE.replacen(part, other, 1)).is_none(), "{other}");
        }
        let end = REFERENCE.rfind('$').unwrap();
        for text in [
            "",
            "$",
            "$argon2id$",
            &REFERENCE[..end],
            &REFERENCE[..end + 9],
            &format!("{REFERENCE}\n"),
        ] {
            assert!(parse(text).is_none(), "{text}");
        }
    }

    /// How much memory this process has, in bytes.
    #[cfg(target_os = "linux")]
    fn resident() -> usize {
        let text = std::fs::read_to_string("/proc/self/statm").unwrap();
        text.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * rustix::param::page_size()
    }

    /// Other tests of this process use memory, too; so it is measured in another one.
    #[cfg(target_os = "linux")]
    #[test]
    fn the_memory_of_hashes_is_given_back() {
        let (name, child) =
            ("auth::passwords::argon2id::tests::the_memory_of_hashes_is_given_back", "TEST_CHILD");
        if std::env::var_os(child).is_none() {
            let mut command = std::process::Command::new(std::env::current_exe().unwrap());
            let output = command.args(["--exact", name]).env(child, "1").output().unwrap();
            let text = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && text.contains("1 passed"), "{text}");
            return;
        }
        let hash_in_threads = || {
            let threads: Vec<_> = (0..2)
                .map(|_| {
                    std::thread::spawn(|| {
                        for _ in 0..3 {
                            hash("correct horse");
                        }
                    })
                })
                .collect();
            for thread in threads {
                thread.join().unwrap();
            }
        };
        hash("correct horse");
        let before = resident();
        hash_in_threads();
        let grown = resident().saturating_sub(before);
        assert!(grown < 4 << 20, "{grown} bytes are still in use");
    }
}
