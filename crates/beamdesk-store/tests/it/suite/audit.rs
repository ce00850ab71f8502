//! The audit.

use beamdesk_store::{AuditEvent, Store};

use crate::world::at;

pub(crate) async fn events_come_newest_first_and_in_pages(store: Store) {
    let event = |n: i64| AuditEvent {
        at: at(n),
        actor: "ada".to_owned(),
        action: "login".to_owned(),
        subject: format!("session:{n}"),
        detail: "from 10.0.0.1".to_owned(),
    };
    for n in 0..5 {
        store.audit(&event(n)).await.unwrap();
    }
    let first = store.audit_events(None, 3).await.unwrap();
    let events: Vec<_> = first.iter().map(|entry| entry.event.clone()).collect();
    assert_eq!(events, [event(4), event(3), event(2)]);
    let rest = store.audit_events(Some(&first[2].id), 3).await.unwrap();
    let events: Vec<_> = rest.iter().map(|entry| entry.event.clone()).collect();
    assert_eq!(events, [event(1), event(0)]);
}
