//! A server that is killed in the middle of changes of the accounts: each change is whole or absent, with one event each.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use roadstead::index::{EventFilter, GrantFilter, Holder, Index, TokenFilter};
use tempfile::TempDir;

use super::graphql::try_post;
use super::team::{configure, edit, edit_at, fill, user};
use crate::common::dice::Dice;
use crate::common::{Postgres, Server};

/// How often the server is killed.
const KILLS: usize = 10;

/// How many changes it carries out before, at the most, and how many milliseconds pass then.
const MOST: u64 = 25;
const PAUSE: u64 = 40;

/// The changes of one round, in this order; `#` stands for its number. Each has what it is called in its events.
const CHANGES: &[(&str, &[&str])] = &[
    ("addUser(name: \"u#\") { name }", &["add u#"]),
    ("addTeam(name: \"t#\") { name }", &["add t#"]),
    ("addTeamMember(team: \"t#\", member: \"u#\")", &["add u# to t#"]),
    (
        "addGrant(holder: \"u#\", role: \"writer\", pattern: \"g#/**\")",
        &["add writer on g#/** to u#"],
    ),
    ("addNamespace(name: \"n#\", owner: \"u#\") { name }", &["add n# of u#"]),
    // A robot and its token are two changes of one request.
    (
        "createToken(name: \"one\", robot: { name: \"r#\", namespace: \"n#\" }, scopes: [\"n#/**:pull\"]) \
         { secret }",
        &["add robot r# in n#", "add TOKEN of r#"],
    ),
    (
        "removeGrant(holder: \"u#\", role: \"writer\", pattern: \"g#/**\")",
        &["remove writer on g#/** from u#"],
    ),
    ("setDisabled(name: \"u#\", isDisabled: true)", &["disable u#"]),
    ("setDisabled(name: \"r#\", isDisabled: true)", &["disable r#"]),
    // All at once, the namespaces in any order.
    (
        "removeAccount(name: \"u#\")",
        &["give n# to the administrators", "give u# to the administrators", "remove u#"],
    ),
];

/// How many events may be there of a request that was not answered.
const UNANSWERED: usize = 3;

/// What a client knows of each round: how many events its acknowledged changes made.
type Acknowledged = BTreeMap<u32, usize>;

/// Sends changes until the server is gone, and counts those that were carried out.
fn work(url: &str, first: u32, done: &AtomicU64) -> Acknowledged {
    let mut acknowledged = Acknowledged::new();
    for round in first.. {
        let mut count = 0;
        acknowledged.insert(round, count);
        for (change, events) in CHANGES {
            let query = format!("mutation {{ {} }}", change.replace('#', &round.to_string()));
            let Ok(answer) = try_post(url, &user("root"), &query) else { return acknowledged };
            let text = answer.text();
            assert!(answer.status == 200 && !text.contains("\"errors\""), "{query}: {text}");
            count += events.len();
            acknowledged.insert(round, count);
            done.fetch_add(1, Ordering::Relaxed);
        }
    }
    acknowledged
}

/// Writes down what is there of a round.
async fn found(index: &Index, round: u32) -> String {
    let mut text = String::new();
    let name = |letter: char| format!("{letter}{round}");
    let account = async |name: &str| index.principal(name).await.expect("it can be read");
    let user = account(&name('u')).await;
    if let Some(user) = &user {
        let disabled = user.principal.is_disabled;
        write!(text, "user disabled={disabled} ").expect("a string takes everything");
    }
    let team = index.team(&name('t')).await.expect("it can be read");
    if let Some(team) = &team {
        let members = index.team_members(team.id, None, 10).await.expect("it can be read").len();
        write!(text, "team members={members} ").expect("a string takes everything");
    }
    if let Some(user) = &user {
        let grants = GrantFilter::Of(Holder::Principal(user.principal.id));
        let grants = index.grants(grants, None, 10).await.expect("it can be read").len();
        write!(text, "grants={grants} ").expect("a string takes everything");
    }
    let namespace = index.namespace(&name('n')).await.expect("it can be read");
    if let Some(namespace) = &namespace {
        let is_owned =
            namespace.owner.is_some() && namespace.owner == user.map(|it| it.principal.id);
        write!(text, "namespace owned={is_owned} ").expect("a string takes everything");
    }
    if let Some(robot) = account(&name('r')).await {
        let tokens = TokenFilter::Of(robot.principal.id);
        let tokens = index.access_tokens(tokens, None, 10).await.expect("it can be read").len();
        let disabled = robot.principal.is_disabled;
        write!(text, "robot disabled={disabled} tokens={tokens}")
            .expect("a string takes everything");
    }
    text.trim_end().to_owned()
}

/// What there is after so many events of a round.
fn expected(count: usize) -> &'static str {
    match count {
        0 => "",
        1 => "user disabled=false grants=0",
        2 => "user disabled=false team members=0 grants=0",
        3 => "user disabled=false team members=1 grants=0",
        4 => "user disabled=false team members=1 grants=1",
        5 => "user disabled=false team members=1 grants=1 namespace owned=true",
        6 => {
            "user disabled=false team members=1 grants=1 namespace owned=true robot disabled=false tokens=0"
        }
        7 => {
            "user disabled=false team members=1 grants=1 namespace owned=true robot disabled=false tokens=1"
        }
        8 => {
            "user disabled=false team members=1 grants=0 namespace owned=true robot disabled=false tokens=1"
        }
        9 => {
            "user disabled=true team members=1 grants=0 namespace owned=true robot disabled=false tokens=1"
        }
        10 => {
            "user disabled=true team members=1 grants=0 namespace owned=true robot disabled=true tokens=1"
        }
        13 => "team members=0 namespace owned=false robot disabled=true tokens=1",
        count => panic!("{count} events are not those of whole changes"),
    }
}

/// The events of a round, in their order, if all is well.
fn events_of(round: u32) -> Vec<String> {
    let all = CHANGES.iter().flat_map(|(_, events)| events.iter());
    all.map(|event| event.replace('#', &round.to_string())).collect()
}

/// Checks each round: its events are the first of those that its changes make, no fewer than were acknowledged, and what is
/// there is just what they say.
async fn check(index: &Index, acknowledged: &Acknowledged) {
    let filter = EventFilter { actor: Some("root"), ..EventFilter::default() };
    let events = index.matching_events(&filter, 0, 100_000).await.expect("it can be read");
    let details = events.iter().filter_map(|event| event.change.detail.as_deref());
    let details: Vec<&str> = details.collect();
    for (round, answered) in acknowledged {
        let names: Vec<String> = "utngr".chars().map(|letter| format!("{letter}{round}")).collect();
        let is_of_round = |detail: &&&str| {
            let mut words = detail.split([' ', '/']);
            words.any(|word| names.iter().any(|name| name == word))
        };
        let of_round = details.iter().filter(is_of_round);
        let mut of_round: Vec<String> = of_round.map(|detail| without_id(detail)).collect();
        if let Some(gift) = of_round.iter().position(|detail| detail.starts_with("give ")) {
            let gifts = of_round[gift..].iter().take_while(|detail| detail.starts_with("give "));
            let end = gift + gifts.count();
            of_round[gift..end].sort();
        }
        let all = events_of(*round);
        let count = of_round.len();
        assert!(count <= all.len() && of_round == all[..count], "{round}: {of_round:?}");
        let most = answered + UNANSWERED;
        assert!((*answered..=most).contains(&count), "{round}: {answered} of {of_round:?}");
        assert_eq!(found(index, *round).await, expected(count), "{round}: {of_round:?}");
    }
}

/// Leaves out the id of a token, which is random.
fn without_id(detail: &str) -> String {
    let words: Vec<&str> = detail.split(' ').collect();
    match words[..] {
        ["add", id, "of", robot] if robot.starts_with('r') && id.len() == 16 => {
            format!("add TOKEN of {robot}")
        }
        _ => detail.to_owned(),
    }
}

/// Kills the server again and again, while a client changes accounts, and looks each time at what is left.
fn kill_and_check(mut server: Server, check: impl Fn(&Server, &Acknowledged)) {
    let mut dice = Dice::cast();
    let mut acknowledged = Acknowledged::new();
    let mut first = 0;
    for _ in 0..KILLS {
        let url = server.url("/graphql");
        let (most, pause) = (dice.below(MOST), Duration::from_millis(dice.below(PAUSE)));
        let done = AtomicU64::new(0);
        let seen = thread::scope(|scope| {
            let client = scope.spawn(|| work(&url, first, &done));
            while done.load(Ordering::Relaxed) < most && !client.is_finished() {
                thread::sleep(Duration::from_millis(1));
            }
            thread::sleep(pause);
            server.kill();
            client.join().expect("each answer is the one that is due")
        });
        first = seen.keys().max().map_or(first, |last| last + 1);
        acknowledged.extend(seen);
        check(&server, &acknowledged);
        server.start_again();
    }
    server.stop();
    check(&server, &acknowledged);
    let whole = acknowledged.values().filter(|count| **count == events_of(0).len()).count();
    eprintln!("{} rounds, {whole} of them whole", acknowledged.len());
    assert!(acknowledged.values().any(|count| *count > 0), "nothing was changed");
}

#[test]
fn each_change_is_whole_or_absent_however_the_server_is_killed() {
    let folder = TempDir::new().expect("a temporary folder can be made");
    let data = folder.path().join("data");
    std::fs::create_dir(&data).expect("the folder is ours");
    edit(&data, async |index| fill(index).await);
    let server = Server::start_on_with(&data, configure);
    kill_and_check(server, |server, acknowledged| {
        edit(&server.data(), async |index| check(index, acknowledged).await);
    });
}

#[test]
fn each_change_is_whole_or_absent_over_postgres_too() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let url = postgres.url();
    edit_at(&url, async |index| fill(index).await);
    let at = url.clone();
    let server = Server::start_with(move |command| {
        configure(command);
        command.env("ROADSTEAD_INDEX__URL", &at);
    });
    kill_and_check(server, |_, acknowledged| {
        edit_at(&url, async |index| check(index, acknowledged).await);
    });
}
