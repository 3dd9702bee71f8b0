//! The kinds of callers, and what each is answered.

/// Whose credential a request has, and which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Nobody,
    /// A user, by the password.
    User(&'static str),
    WrongPassword(&'static str),
    /// A user or a robot, by an access token of these scopes.
    Token(&'static str, &'static str),
    /// The same token in the name of another.
    TokenOfOther(&'static str, &'static str),
    ExpiredToken(&'static str),
    RevokedToken(&'static str),
    /// An access token as a bearer token.
    BearerOfToken(&'static str, &'static str),
    BearerOfExpiredToken(&'static str),
    /// A job of CI, by the ID token of its issuer.
    Workload,
    /// The same by a token that is not its issuer's, and by one that has expired.
    ForgedWorkload,
    ExpiredWorkload,
    /// A user's token of `/v2/token`, good for pulls only.
    OnlyPulls(&'static str),
    /// The same, good for nothing.
    NoScopes(&'static str),
    /// A user's token of `/v2/token` that has expired.
    Expired(&'static str),
    /// One that another key has signed.
    Forged(&'static str),
    /// One that was had for an access token that is revoked by now.
    OfRevokedToken(&'static str),
    /// A user's refresh token.
    Refresh(&'static str),
    /// What is no token.
    Word,
}

/// What one kind of caller is answered.
///
/// `A`: what it requests. `C`: 401 without an error, since it has not signed in. `H`: 401 `insufficient_scope`, as if the
/// repository were absent, or since its token lacks that. `D`: 403 and what it lacks. `X`: 401, since its credential is not
/// good. `B`: 401 that asks for `Basic`.
#[derive(Debug)]
pub(super) struct SenderRow {
    pub(super) name: &'static str,
    pub(super) who: Who,
    /// To pull, push and delete, in the public, the internal, the private and the absent repository.
    pub(super) images: [&'static str; 4],
    /// `/v2/`, the catalog, the metrics, the management API, `/v2/token`.
    pub(super) server: &'static str,
    /// To say who may see each of the four, over the management API.
    pub(super) visibility: &'static str,
    /// The first two by a token of `/v2/token` that the credential was exchanged for; none where there is none to be had.
    pub(super) exchanged: Option<([&'static str; 4], &'static str)>,
}

/// One whose token allows the same.
const fn row(
    name: &'static str,
    who: Who,
    images: [&'static str; 4],
    server: &'static str,
    visibility: &'static str,
) -> SenderRow {
    let by_token = match server.as_bytes()[2] {
        b'A' => "AAABX",
        _ => "AADBX",
    };
    SenderRow { name, who, images, server, visibility, exchanged: Some((images, by_token)) }
}

/// One whose credential is itself a token of `/v2/token`.
const fn bearer(
    name: &'static str,
    who: Who,
    images: [&'static str; 4],
    server: &'static str,
) -> SenderRow {
    SenderRow { name, who, images, server, visibility: "BBBB", exchanged: None }
}

/// One whose credential is not good.
const fn refused(name: &'static str, who: Who) -> SenderRow {
    bearer(name, who, ["XXX"; 4], "XXXBX")
}

use Who::{Token, User};

pub(super) const SENDERS: &[SenderRow] = &[
    SenderRow {
        name: "nobody",
        who: Who::Nobody,
        images: ["ACC", "CCC", "CCC", "CCC"],
        server: "CCCBA",
        visibility: "BBBB",
        exchanged: Some((["AHH", "HHH", "HHH", "HHH"], "AHHBX")),
    },
    row("stranger", User("carl"), ["ADD", "ADD", "HHH", "HHH"], "AADAA", "DDHH"),
    row("reader", User("rita"), ["ADD"; 4], "AADAA", "DDDD"),
    row("writer", User("will"), ["AAD"; 4], "AADAA", "DDDD"),
    row("maintainer", User("mia"), ["AAA"; 4], "AADAA", "AAAA"),
    row("owner by a grant", User("olga"), ["AAA"; 4], "AADAA", "AAAA"),
    row("owner of the namespace", User("anna"), ["AAA"; 4], "AADAA", "AAAA"),
    row("root", User("root"), ["AAA"; 4], "AAAAA", "AAAA"),
    row("workload", Who::Workload, ["AAD"; 4], "AADAA", "DDDD"),
    // The robot `ci` of `team`, with each scope.
    row("robot", Token("ci", "team/**:pull"), ["AHH"; 4], "AADAA", "HHHH"),
    row("robot", Token("ci", "team/**:push"), ["HAH"; 4], "AADAA", "HHHH"),
    row("robot", Token("ci", "team/**:delete"), ["HHA"; 4], "AADAA", "HHHH"),
    row("robot", Token("ci", "team/**:pull,push"), ["AAH"; 4], "AADAA", "HHHH"),
    row("robot", Token("ci", "team/**:pull,push,delete"), ["AAA"; 4], "AADAA", "HHHH"),
    row("robot", Token("ci", "team/**:visibility"), ["HHH"; 4], "AADAA", "AAAA"),
    row("robot", Token("ci", "team/**:retention"), ["HHH"; 4], "AADAA", "HHHH"),
    row("robot", Token("ci", "team/**:members"), ["HHH"; 4], "AADAA", "HHHH"),
    row("robot", Token("ci", "admin"), ["HHH"; 4], "AADAA", "AAAA"),
    row("robot", Token("ci", "metrics"), ["HHH"; 4], "AADAA", "HHHH"),
    row("robot", Token("ci", "audit"), ["HHH"; 4], "AADAA", "HHHH"),
    row("robot", Token("ci", "tokens"), ["HHH"; 4], "AADAA", "HHHH"),
    row("robot", Token("ci", "namespaces"), ["HHH"; 4], "AADAA", "HHHH"),
    row(
        "robot of another namespace",
        Token("guest", "**:pull,push,delete"),
        STRANGER,
        "AADAA",
        "DDHH",
    ),
    row(
        "robot of a maker without rights",
        Token("lost", "team/**:pull,push,delete"),
        STRANGER,
        "AADAA",
        "DDHH",
    ),
    // Access tokens of Anna, with each scope.
    row("access token", Token("anna", "team/**:pull"), ["AHH"; 4], "AADAA", "HHHH"),
    row("access token", Token("anna", "team/**:push"), ["HAH"; 4], "AADAA", "HHHH"),
    row("access token", Token("anna", "team/**:delete"), ["HHA"; 4], "AADAA", "HHHH"),
    row("access token", Token("anna", "team/**:pull,push,delete"), ["AAA"; 4], "AADAA", "HHHH"),
    row("access token", Token("anna", "team/**:visibility"), ["HHH"; 4], "AADAA", "AAAA"),
    row("access token", Token("anna", "team/**:retention"), ["HHH"; 4], "AADAA", "HHHH"),
    row("access token", Token("anna", "team/**:members"), ["HHH"; 4], "AADAA", "HHHH"),
    row("access token", Token("anna", "admin"), ["HHH"; 4], "AADAA", "AAAA"),
    row("access token", Token("anna", "metrics"), ["HHH"; 4], "AADAA", "HHHH"),
    row("access token", Token("anna", "audit"), ["HHH"; 4], "AADAA", "HHHH"),
    row("access token", Token("anna", "tokens"), ["HHH"; 4], "AADAA", "HHHH"),
    row("access token", Token("anna", "namespaces"), ["HHH"; 4], "AADAA", "HHHH"),
    row(
        "access token for elsewhere",
        Token("anna", "other/**:pull,push,delete"),
        ["HHH"; 4],
        "AADAA",
        "HHHH",
    ),
    row(
        "access token wider than its owner",
        Token("rita", "**:pull,push,delete"),
        ["ADD"; 4],
        "AADAA",
        "DDDD",
    ),
    row(
        "access token of a stranger",
        Token("carl", "**:pull,push,delete"),
        STRANGER,
        "AADAA",
        "DDHH",
    ),
    row("access token of root", Token("root", "metrics"), ["HHH"; 4], "AAAAA", "HHHH"),
    row("access token of root", Token("root", "admin"), ["HHH"; 4], "AAAAA", "AAAA"),
    row("access token of root", Token("root", "audit"), ["HHH"; 4], "AADAA", "HHHH"),
    row("access token of root", Token("root", "**:pull"), ["AHH"; 4], "AADAA", "HHHH"),
    // Tokens that are good for less than their bearers.
    bearer(
        "bearer of an access token",
        Who::BearerOfToken("anna", "team/**:pull,push"),
        ["AAH"; 4],
        "AADBX",
    ),
    bearer(
        "bearer of an access token",
        Who::BearerOfToken("ci", "team/**:pull"),
        ["AHH"; 4],
        "AADBX",
    ),
    bearer("token for pulls", Who::OnlyPulls("anna"), ["AHH"; 4], "AHDBX"),
    bearer("token for pulls", Who::OnlyPulls("carl"), ["ADD", "ADD", "HHH", "HHH"], "AHDBX"),
    bearer("token for nothing", Who::NoScopes("anna"), ["HHH"; 4], "AHDBX"),
    bearer("token for nothing", Who::NoScopes("root"), ["HHH"; 4], "AHHBX"),
    // What is not good, or not any more.
    refused("wrong password", Who::WrongPassword("anna")),
    refused("user who is not there", Who::WrongPassword("nemo")),
    refused("robot by a password", User("ci")),
    refused("disabled user", User("dora")),
    refused("access token of a disabled user", Token("dora", "team/**:pull")),
    refused("access token of another", Who::TokenOfOther("will", "anna")),
    refused("expired access token", Who::ExpiredToken("anna")),
    refused("expired access token", Who::ExpiredToken("ci")),
    refused("revoked access token", Who::RevokedToken("anna")),
    refused("revoked access token", Who::RevokedToken("ci")),
    refused("bearer of an expired access token", Who::BearerOfExpiredToken("anna")),
    refused("forged workload", Who::ForgedWorkload),
    refused("expired workload", Who::ExpiredWorkload),
    refused("expired token", Who::Expired("root")),
    refused("forged token", Who::Forged("root")),
    refused("token of a disabled user", Who::OnlyPulls("dora")),
    refused("token of a revoked access token", Who::OfRevokedToken("anna")),
    refused("refresh token", Who::Refresh("root")),
    refused("word", Who::Word),
];

const STRANGER: [&str; 4] = ["ADD", "ADD", "HHH", "HHH"];
