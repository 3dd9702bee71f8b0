//! Every answer about a repository, written out.

use super::super::Decision;
use super::{
    Bound, Bounded, CreateRule, Grant, Permission, Rights, Role, Rules, State, Target, TokenScopes,
};
use crate::oci::{RepositoryName, Visibility};

/// Answers to pull, push and delete: `A`llow, `C`hallenge, `H`idden, `D`enied; and whether it is listed, `+` or `-`.
/// Columns: a public, an internal, a private repository, an absent one, and one of another registry.
const TABLE: &[(&str, [&str; 5])] = &[
    //              public  internal private  absent  foreign
    ("anonymous", ["ACC+", "CCC-", "CCC-", "CCC-", "CCC-"]),
    ("stranger", ["ADD+", "ADD+", "HHH-", "HHH-", "ADD-"]),
    ("reader", ["ADD+", "ADD+", "ADD+", "ADD-", "ADD-"]),
    ("writer", ["AAD+", "AAD+", "AAD+", "AAD-", "ADD-"]),
    ("maintainer", ["AAA+", "AAA+", "AAA+", "AAA-", "ADD-"]),
    ("owner", ["AAA+", "AAA+", "AAA+", "AAA-", "ADD-"]),
    ("namespace", ["AAA+", "AAA+", "AAA+", "AAA-", "ADD-"]),
    ("admin", ["AAA+", "AAA+", "AAA+", "AAA-", "ADD-"]),
    ("robot", ["AAA+", "AAA+", "AAA+", "AAA-", "ADD-"]),
    ("guest robot", ["ADD+", "ADD+", "HHH-", "HHH-", "ADD-"]),
    ("reading robot", ["ADD+", "ADD+", "ADD+", "ADD-", "ADD-"]),
    ("workload", ["AAD+", "AAD+", "AAD+", "AAD-", "ADD-"]),
    ("other workload", ["ADD+", "ADD+", "HHH-", "HHH-", "ADD-"]),
];

/// The same where only administrators create repositories: of the absent one.
const CREATED_BY_ADMINS: &[(&str, &str)] = &[
    ("anonymous", "CCC-"),
    ("stranger", "HHH-"),
    ("reader", "ADD-"),
    ("writer", "ADD-"),
    ("maintainer", "ADA-"),
    ("owner", "ADA-"),
    ("namespace", "ADA-"),
    ("admin", "AAA-"),
    ("robot", "ADA-"),
    ("guest robot", "HHH-"),
    ("reading robot", "ADD-"),
    ("workload", "ADD-"),
    ("other workload", "HHH-"),
];

const NAMES: [(&str, State); 5] = [
    ("acme/app", State::Present(Visibility::Public)),
    ("acme/app", State::Present(Visibility::Internal)),
    ("acme/app", State::Present(Visibility::Private)),
    ("acme/app", State::Absent),
    ("example.com/acme/app", State::Foreign),
];

fn rights(who: &str) -> Rights {
    let grant = |role, pattern: &str| Grant { role, pattern: pattern.parse().unwrap() };
    let namespace = |text: &str| text.parse().unwrap();
    // A grant on another registry's name gives no more than to pull, which everybody may.
    let user = |role| {
        let grants = vec![grant(role, "acme/**"), grant(role, "example.com/**")];
        Rights::user(false, vec![namespace("me")], grants)
    };
    match who {
        "anonymous" => Rights::anonymous(),
        "stranger" => {
            Rights::user(false, vec![namespace("acme2")], vec![grant(Role::Owner, "acme")])
        }
        "reader" => user(Role::Reader),
        "writer" => user(Role::Writer),
        "maintainer" => user(Role::Maintainer),
        "owner" => user(Role::Owner),
        "namespace" => {
            Rights::user(false, vec![namespace("acme"), namespace("example.com")], vec![])
        }
        "admin" => Rights::user(true, vec![], vec![]),
        "robot" => Rights::robot(namespace("acme"), vec![]),
        "guest robot" => Rights::robot(namespace("other"), vec![]),
        "reading robot" => Rights::robot(namespace("other"), vec![grant(Role::Reader, "acme/app")]),
        "workload" => Rights::workload(vec![grant(Role::Writer, "acme/app")]),
        "other workload" => Rights::workload(vec![grant(Role::Writer, "acme/app2")]),
        _ => panic!("{who} is nobody"),
    }
}

fn letter(decision: &Decision) -> char {
    match decision {
        Decision::Allow => 'A',
        Decision::Challenge => 'C',
        Decision::Hidden => 'H',
        Decision::Denied(_) => 'D',
    }
}

fn answers(who: &str, (name, state): (&str, State), rules: Rules) -> String {
    let (rights, name) = (rights(who), name.parse::<RepositoryName>().unwrap());
    let target = Target { name: &name, state };
    let decide = |permission| rights.decide(permission, &target, rules);
    let decisions = [Permission::Pull, Permission::Push, Permission::Delete].map(decide);
    // What is listed is what is there, here, and may be pulled.
    let is_listed = matches!(state, State::Present(_)) && decisions[0] == Decision::Allow;
    let letters = decisions.iter().map(letter);
    letters.chain([if is_listed { '+' } else { '-' }]).collect()
}

const RULES: Rules = Rules { create: CreateRule::Users, anonymous_foreign: false };

#[test]
fn every_answer_is_the_one_of_the_table() {
    for (who, expected) in TABLE {
        let answers = NAMES.map(|name| answers(who, name, RULES));
        assert_eq!(&answers, expected, "{who}");
        let open = Rules { anonymous_foreign: true, ..RULES };
        let foreign = self::answers(who, NAMES[4], open);
        assert_eq!(foreign, if *who == "anonymous" { "ACC-" } else { "ADD-" }, "{who}");
    }
    let admins = Rules { create: CreateRule::Admins, ..RULES };
    for (who, expected) in CREATED_BY_ADMINS {
        assert_eq!(&answers(who, NAMES[3], admins), expected, "{who}");
        for (name, users) in [(NAMES[0], 0), (NAMES[2], 2)] {
            let expected = TABLE.iter().find(|(it, _)| it == who).unwrap().1[users];
            assert_eq!(
                answers(who, name, admins),
                expected,
                "{who}: of what is there nothing changes"
            );
        }
    }
}

#[test]
fn what_is_hidden_is_like_what_is_absent_for_every_act_and_rule() {
    for (who, _) in TABLE {
        let rights = rights(who);
        let name = "acme/app".parse().unwrap();
        let private = Target { name: &name, state: State::Present(Visibility::Private) };
        let absent = Target { name: &name, state: State::Absent };
        for create in [CreateRule::Users, CreateRule::Admins] {
            for permission in Permission::ALL {
                let rules = Rules { create, ..RULES };
                if rights.role(&name).is_none() {
                    let [one, other] =
                        [private, absent].map(|it| rights.decide(permission, &it, rules));
                    assert_eq!(one, other, "{who} {permission}");
                    assert!(
                        matches!(one, Decision::Hidden | Decision::Challenge),
                        "{who} {permission}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_repository_may_be_known_where_a_pull_is_not_refused_as_if_it_were_absent() {
    for (who, _) in TABLE {
        let (rights, name) = (rights(who), "acme/app".parse().unwrap());
        for visibility in [Visibility::Public, Visibility::Internal, Visibility::Private] {
            let target = Target { name: &name, state: State::Present(visibility) };
            let decision = rights.decide(Permission::Pull, &target, RULES);
            let is_known = matches!(decision, Decision::Allow | Decision::Denied(_));
            assert_eq!(rights.may_know(&name, visibility), is_known, "{who} {visibility:?}");
            let scopes = TokenScopes::read(["other/**:pull"]).unwrap();
            let bounded = Bounded::from(rights.clone()).within(Bound::Scopes(scopes));
            assert!(!bounded.may_know(&name, visibility), "{who}: by a token for elsewhere");
        }
    }
}

#[test]
fn a_refusal_names_the_role_that_is_missing() {
    let name = "acme/app".parse().unwrap();
    let target = Target { name: &name, state: State::Present(Visibility::Private) };
    for (permission, role) in [
        (Permission::Push, "writer"),
        (Permission::Delete, "maintainer"),
        (Permission::Visibility, "maintainer"),
        (Permission::Retention, "maintainer"),
        (Permission::Members, "owner"),
        (Permission::Remove, "owner"),
    ] {
        let Decision::Denied(why) = rights("reader").decide(permission, &target, RULES) else {
            panic!("a reader may {permission}");
        };
        assert!(why.contains(&format!("the role {role} ")) && why.contains("`acme/app`"), "{why}");
    }
    let foreign = "example.com/app".parse().unwrap();
    let decision = rights("admin").decide(Permission::Push, &Target::foreign(&foreign), RULES);
    assert!(
        matches!(decision, Decision::Denied(why) if why.contains("belong to other registries"))
    );
}
