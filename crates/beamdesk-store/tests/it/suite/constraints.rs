//! What the schema itself refuses.

use beamdesk_store::{Store, StoreError};

use crate::world::{LIMITS, desktop, scene, session};

/// SR-22: a row that joins one person's session with another's desktop cannot be written.
pub(crate) async fn cross_owner_insert_rejected(store: Store) {
    let ada = scene(&store, "ada").await;
    let bob = scene(&store, "bob").await;
    let mut crossed = Vec::new();
    for (user, session, desktop) in [
        (&ada, &ada, &bob),
        (&ada, &bob, &ada),
        (&bob, &ada, &ada),
        (&ada, &bob, &bob),
        (&bob, &ada, &bob),
        (&bob, &bob, &ada),
    ] {
        let mut ticket = user.ticket("t");
        ticket.session = session.session.id;
        ticket.desktop = desktop.desktop.id;
        crossed.push(ticket);
    }
    for ticket in crossed {
        let refused = store.add_ticket(&ticket, LIMITS).await.unwrap_err();
        assert!(matches!(refused, StoreError::Foreign), "{refused:?}");
    }
    store.add_ticket(&ada.ticket("t"), LIMITS).await.unwrap();

    let nobody = beamdesk_types::UserId::fresh();
    let refused = store.add_desktop(&desktop(nobody), 10).await.unwrap_err();
    assert!(matches!(refused, StoreError::Foreign), "{refused:?}");
    let refused = store.add_session(&session(nobody)).await.unwrap_err();
    assert!(matches!(refused, StoreError::Foreign), "{refused:?}");
}
