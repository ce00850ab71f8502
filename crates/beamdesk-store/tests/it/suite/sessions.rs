//! Sessions.

use beamdesk_store::Store;

use crate::world::{at, digest, scene, session};

pub(crate) async fn a_session_lives_until_it_is_ended(store: Store) {
    let ada = scene(&store, "ada").await;
    let found = async |hash| store.session_by_hash(&hash).await.unwrap();
    let hash = ada.session.token_hash;
    assert_eq!(found(hash).await, Some((ada.session.clone(), ada.user.clone())));
    assert_eq!(found(digest("other")).await, None);

    store.touch_session(ada.session.id, at(100), at(1900)).await.unwrap();
    let (touched, _) = found(hash).await.unwrap();
    assert_eq!((touched.last_seen, touched.expires), (at(100), at(1900)));
    // A slow request does not turn the time back.
    store.touch_session(ada.session.id, at(50), at(1850)).await.unwrap();
    assert_eq!(found(hash).await.unwrap().0.expires, at(1900));

    store.end_session(ada.session.id, at(200)).await.unwrap();
    store.end_session(ada.session.id, at(300)).await.unwrap();
    store.touch_session(ada.session.id, at(400), at(2200)).await.unwrap();
    assert_eq!(found(hash).await, None);

    let (one, two) = (session(ada.user.id), session(ada.user.id));
    let bob = scene(&store, "bob").await;
    store.add_session(&one).await.unwrap();
    store.add_session(&two).await.unwrap();
    assert_eq!(store.end_sessions_of(ada.user.id, at(500)).await.unwrap(), 2);
    assert_eq!(found(one.token_hash).await, None);
    assert_eq!(found(two.token_hash).await, None);
    assert!(found(bob.session.token_hash).await.is_some());
}
