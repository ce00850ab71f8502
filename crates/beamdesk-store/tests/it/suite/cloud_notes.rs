//! What the cloud says of desktops.

use beamdesk_store::{CloudNote, Store};

use crate::world;

pub(crate) async fn a_word_of_the_cloud_is_kept_while_there_is_one(store: Store) {
    let one = world::scene(&store, "ada").await.desktop.id;
    assert_eq!(store.cloud_note(one).await.unwrap(), None);
    let paused = CloudNote { state: Some("paused".to_owned()), ..CloudNote::default() };
    store.put_cloud_note(one, &paused).await.unwrap();
    let troubled =
        CloudNote { trouble: Some("cloud_quota".to_owned()), detail: "req-1".to_owned(), ..paused };
    store.put_cloud_note(one, &troubled).await.unwrap();
    assert_eq!(store.cloud_note(one).await.unwrap(), Some(troubled.clone()));
    assert_eq!(store.cloud_notes().await.unwrap(), [(one, troubled)]);
    store.put_cloud_note(one, &CloudNote::default()).await.unwrap();
    assert_eq!(store.cloud_notes().await.unwrap(), []);
}
