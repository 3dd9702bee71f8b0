//! The audit log.

use super::*;

#[tokio::test]
async fn what_was_refused_is_in_the_audit_log() {
    let home = Home::new().await;
    let refusals = Arc::new(crate::auth::Refusals::default());
    let checks = Arc::new(Checks::new(Bounds::wide()));
    let it = Administration::new(Arc::clone(&home.index), checks, RULES).noting(&refusals);
    let root = home.caller("root").await;
    let app = "anna/app".parse().unwrap();
    let ben = Caller { address: Some([192, 0, 2, 7].into()), ..home.caller("ben").await };
    for _ in 0..3 {
        refusals.note_act(&ben, Some(&app), "push");
    }
    let filter = AuditFilter { repository: Some("anna/app"), ..AuditFilter::default() };
    let events = it.audit(&root, filter, FIRST).await.unwrap().items;
    let [event] = &events[..] else { panic!("{events:?}") };
    assert_eq!(event.change.kind, "refused");
    assert_eq!(event.change.actor, Actor::from(&ben));
    assert_eq!(event.change.detail.as_deref(), Some("push, 3 times"));
    let again = it.audit(&root, filter, FIRST).await.unwrap().items;
    assert_eq!(again.len(), 1, "each once");
}

#[tokio::test]
async fn the_audit_log_is_filtered() {
    let home = Home::new().await;
    let it = &home.administration;
    let root = home.caller("root").await;
    it.add_grant(&home.caller("anna").await, "ben", "reader", "anna/app").await.unwrap();
    assert_eq!(home.kinds_of_events().await, ["user", "user", "user", "grant"]);
    let filter = AuditFilter { user: Some("anna"), ..AuditFilter::default() };
    let events = it.audit(&root, filter, FIRST).await.unwrap().items;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].change.detail.as_deref(), Some("add reader on anna/app to ben"));
    let filter = AuditFilter { since: Some(i64::MAX), ..AuditFilter::default() };
    assert!(it.audit(&root, filter, FIRST).await.unwrap().items.is_empty());
    let filter = AuditFilter { repository: Some("anna/app"), ..AuditFilter::default() };
    assert!(it.audit(&root, filter, FIRST).await.unwrap().items.is_empty());
    let page = it.audit(&root, AuditFilter::default(), PageRequest { after: None, limit: 3 });
    let next = page.await.unwrap().next;
    let page = PageRequest { after: next.as_deref(), limit: 3 };
    assert_eq!(it.audit(&root, AuditFilter::default(), page).await.unwrap().items.len(), 1);
}
