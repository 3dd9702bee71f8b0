//! Clients that guess passwords, and those that sign in meanwhile.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use tempfile::TempDir;

use crate::common::Server;
use crate::common::connection::{Answer, ask};
use crate::common::repository::wait;

/// A server that knows `user0` to `user19`, whose password is `secret`.
struct Guarded {
    server: Server,
    folder: TempDir,
}

impl Guarded {
    fn start(cost: u32, wrong_passwords: &'static str) -> Self {
        let folder = TempDir::new().expect("a temporary folder can be made");
        let file = folder.path().join("htpasswd");
        let hash = bcrypt::hash("secret", cost).expect("it is a cost");
        let lines: Vec<String> = (0..20).map(|user| format!("user{user}:{hash}\n")).collect();
        fs::write(&file, lines.concat()).expect("the folder is ours");
        let server = Server::start_with(move |command| {
            command
                .env("ROADSTEAD_AUTH__METHOD", "htpasswd")
                .env("ROADSTEAD_AUTH__HTPASSWD__FILE", &file)
                .env("ROADSTEAD_AUTH__SIGN_INS__WRONG_PASSWORDS", wrong_passwords);
        });
        Self { server, folder }
    }

    fn sign_in(&self, client: &str, user: &str, password: &str) -> Answer {
        let credentials = BASE64_STANDARD.encode(format!("{user}:{password}"));
        let authorization = format!("Basic {credentials}");
        let headers = [("Authorization", authorization.as_str()), ("X-Forwarded-For", client)];
        ask(&self.server, "GET", "/v2/", &headers)
    }

    /// Has the server forget whose password was right, as it does when the file changes.
    fn forget(&self) {
        let file = self.folder.path().join("htpasswd");
        let text = fs::read_to_string(&file).expect("it is there");
        fs::write(&file, format!("# again\n{text}")).expect("it is ours");
        wait(|| self.server.log().contains("reloaded the password file"), "it is not read");
    }
}

fn retry_after(answer: &Answer) -> u64 {
    assert_eq!((answer.status, answer.code().as_str()), (429, "TOOMANYREQUESTS"), "{answer:?}");
    answer.header("retry-after").and_then(|text| text.parse().ok()).expect("a number of seconds")
}

/// What a good client sees while others guess, each thread from the address that it is given.
fn sign_in_beside(guarded: &Guarded, address: impl Fn(usize) -> String + Sync) -> usize {
    let (is_over, wrong) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..60 {
            let (is_over, wrong, address) = (&is_over, &wrong, &address);
            scope.spawn(move || {
                for guess in 0_u64.. {
                    if is_over.load(Ordering::Relaxed) {
                        break;
                    }
                    let guess = format!("guess {number} {guess}");
                    let answer = guarded.sign_in(&address(number), "user0", &guess);
                    match answer.status {
                        401 => {
                            wrong.fetch_add(1, Ordering::Relaxed);
                        }
                        _ => assert!(retry_after(&answer) >= 1),
                    }
                }
            });
        }
        let _over = OnDrop(|| is_over.store(true, Ordering::Relaxed));
        wait(|| wrong.load(Ordering::Relaxed) > 0, "nobody guesses");
        // Each is checked: none was right before.
        for user in 0..10 {
            let answer = guarded.sign_in("203.0.113.9", &format!("user{user}"), "secret");
            assert_eq!(answer.status, 200, "{answer:?}");
        }
    });
    wrong.into_inner()
}

struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}

#[test]
fn one_client_that_guesses_does_not_stop_others_from_signing_in() {
    let guarded = Guarded::start(6, "1000000");
    sign_in_beside(&guarded, |_| "198.51.100.1".to_owned());
    // One network of IPv6 is one client.
    sign_in_beside(&guarded, |number| format!("2001:db8::{}", number + 1));
}

#[test]
fn many_clients_that_guess_do_not_stop_others_and_have_few_guesses() {
    let guarded = Guarded::start(6, "3");
    let wrong = sign_in_beside(&guarded, |number| format!("198.51.100.{}", number + 1));
    // Three each, and one after each pause.
    assert!(wrong < 60 * 20, "{wrong}");
}

#[test]
fn each_further_wrong_password_costs_its_client_a_longer_pause() {
    let guarded = Guarded::start(4, "3");
    let [bad, good] = ["198.51.100.1", "198.51.100.2"];
    assert_eq!(guarded.sign_in(bad, "user1", "secret").status, 200);
    for guess in ["1", "2", "3"] {
        assert_eq!(guarded.sign_in(bad, "user0", guess).status, 401);
    }
    let first = retry_after(&guarded.sign_in(bad, "user0", "guess"));
    assert_eq!(first, 1);
    // Not even the right password is looked at, else that would tell it.
    wait(|| guarded.sign_in(bad, "user2", "guess").status == 401, "the pause has no end");
    assert!(retry_after(&guarded.sign_in(bad, "user2", "secret")) >= 1);
    wait(|| guarded.sign_in(bad, "user3", "guess").status == 401, "the pause has no end");
    let third = retry_after(&guarded.sign_in(bad, "user0", "secret"));
    assert!((2..=4).contains(&third), "{third}");

    // Others are not kept out, and neither is a user who has signed in from there before.
    assert_eq!(guarded.sign_in(good, "user0", "secret").status, 200);
    assert_eq!(guarded.sign_in(bad, "user1", "secret").status, 200);
    guarded.forget();
    assert_eq!(guarded.sign_in(bad, "user1", "secret").status, 200);
    // Whose password is guessed from there all the same is kept out, and only that user.
    for guess in ["1", "2", "3"] {
        assert_eq!(guarded.sign_in(bad, "user1", guess).status, 401);
    }
    retry_after(&guarded.sign_in(bad, "user1", "guess"));
    assert_eq!(guarded.sign_in(bad, "user1", "secret").status, 200, "it was right a moment ago");

    // Anonymous clients and those without a password have guessed nothing.
    for _ in 0..8 {
        assert_eq!(ask(&guarded.server, "GET", "/v2/", &[("X-Forwarded-For", good)]).status, 401);
        assert_eq!(guarded.sign_in(good, "", "").status, 401);
    }
    assert_eq!(guarded.sign_in(good, "user4", "secret").status, 200);
    let credentials = BASE64_STANDARD.encode("user4:secret");
    let authorization = format!("Basic {credentials}");
    let headers = [("Authorization", authorization.as_str()), ("X-Forwarded-For", good)];
    let metrics = ask(&guarded.server, "GET", "/metrics", &headers).text();
    assert!(
        metrics.contains("roadstead_limit_refusals_total{limit=\"wrong_passwords\"}"),
        "{metrics}"
    );
}

#[test]
fn one_wrong_password_that_is_repeated_is_one_guess() {
    let guarded = Guarded::start(4, "3");
    let [office, other] = ["198.51.100.1", "198.51.100.2"];
    let stale = |times| {
        for _ in 0..times {
            assert_eq!(guarded.sign_in(office, "user0", "stale").status, 401);
        }
    };
    stale(20);
    // A user who is new at that address is not kept out, and neither are two with old passwords of their own.
    assert_eq!(guarded.sign_in(office, "user1", "secret").status, 200);
    assert_eq!(guarded.sign_in(office, "user2", "old").status, 401);
    stale(5);
    assert_eq!(guarded.sign_in(office, "user2", "secret").status, 200);
    // Another guess is the third, and the next one too many; the old password is known to be wrong all the same.
    assert_eq!(guarded.sign_in(office, "user3", "guess").status, 401);
    assert_eq!(retry_after(&guarded.sign_in(office, "user3", "another")), 1);
    stale(5);
    assert_eq!(
        guarded.sign_in(office, "user2", "old").status,
        401,
        "user2 is counted apart by now"
    );
    // The same words of another client are a guess.
    assert_eq!(guarded.sign_in(other, "user0", "stale").status, 401);
    guarded.forget();
    wait(|| guarded.sign_in(office, "user0", "stale").status == 401, "the pause has no end");
}

#[test]
fn a_wrong_password_is_right_once_the_file_says_so() {
    let guarded = Guarded::start(4, "3");
    let client = "198.51.100.1";
    for _ in 0..3 {
        assert_eq!(guarded.sign_in(client, "user0", "next").status, 401);
    }
    let file = guarded.folder.path().join("htpasswd");
    let hash = bcrypt::hash("next", 4).expect("it is a cost");
    fs::write(&file, format!("user0:{hash}\n")).expect("it is ours");
    wait(|| guarded.sign_in(client, "user0", "next").status == 200, "it is still wrong");
}

#[test]
fn requests_that_send_one_wrong_password_at_once_are_one_guess() {
    let guarded = Guarded::start(8, "3");
    thread::scope(|scope| {
        for _ in 0..12 {
            scope.spawn(|| {
                assert_eq!(guarded.sign_in("198.51.100.1", "user0", "stale").status, 401);
            });
        }
    });
    assert_eq!(guarded.sign_in("198.51.100.1", "user1", "secret").status, 200);
}
