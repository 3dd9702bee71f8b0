//! What the page for running it says of Postgres.

use crate::common::Postgres;
use crate::common::repository::Repository;
use crate::postgres::serve_with;

const PAGE: &str = include_str!("../../docs/RUNNING.md");

#[test]
fn the_database_that_the_page_makes_holds_an_index() {
    let Some(postgres) = Postgres::start(&[]) else { return };
    let block = PAGE.split("```sql\n").nth(1).and_then(|rest| rest.split("```").next());
    let statements: Vec<&str> = block.expect("the page has such a block").lines().collect();
    assert_eq!(statements.len(), 2);
    for statement in statements {
        postgres.sql(statement);
    }
    let server =
        serve_with(&format!("postgres://roadstead:secret@{}/roadstead", postgres.address()));
    Repository::of(&server, "team/app").push_image("v1", "word");
    let connections = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'roadstead'";
    let connections: u32 = postgres.sql(connections).parse().expect("it is a number");
    assert!((1..=21).contains(&connections), "{connections}");
}
