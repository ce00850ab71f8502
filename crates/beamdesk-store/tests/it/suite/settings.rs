//! Settings.

use beamdesk_store::Store;

pub(crate) async fn a_setting_is_replaced_and_removed(store: Store) {
    assert_eq!(store.setting("a").await.unwrap(), None);
    store.put_setting("a", "1").await.unwrap();
    store.put_setting("a", "2").await.unwrap();
    store.put_setting("b", "3").await.unwrap();
    assert_eq!(store.setting("a").await.unwrap().as_deref(), Some("2"));
    assert!(store.remove_setting("a").await.unwrap());
    assert!(!store.remove_setting("a").await.unwrap());
    assert_eq!(store.setting("b").await.unwrap().as_deref(), Some("3"));
}
