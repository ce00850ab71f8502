//! The suite on a private PostgreSQL server, where its programs are installed.

mod server;

use std::pin::Pin;

use beamdesk_store::Store;
use sqlx::{Connection, PgConnection};

use self::server::Server;
use crate::store_suite;

/// One server for all cases, each with a database of its own; a server per case would spend most
/// of the time starting servers.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_whole_suite_passes_on_postgresql() {
    let Some(server) = Server::start().await else {
        assert!(
            std::env::var_os("BEAMDESK_REQUIRE_POSTGRESQL").is_none(),
            "PostgreSQL is required, but /usr/lib/postgresql/*/bin has none"
        );
        eprintln!("=====================================================================");
        eprintln!("  NOT TESTED: PostgreSQL is not installed, so the store's suite ran");
        eprintln!("  on SQLite only. Install the package `postgresql` to run it on both.");
        eprintln!("=====================================================================");
        return;
    };
    macro_rules! run {
        ($($module:ident::$case:ident),* $(,)?) => {$(
            eprintln!("case {}::{}", stringify!($module), stringify!($case));
            let store = boxed(|| server.store(stringify!($case))).await;
            boxed(|| crate::suite::$module::$case(store.clone())).await;
            boxed(|| store.close()).await;
        )*};
    }
    store_suite!(run);
    opening(&server).await;
}

/// Without it the test's own frame would have room for each case's future at once.
fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    Box::pin(make())
}

async fn opening(server: &Server) {
    let store = server.store("opened_twice").await;
    let again = Store::open(&server.url("opened_twice")).await.unwrap();
    again.put_setting("key", "value").await.unwrap();
    assert_eq!(store.setting("key").await.unwrap().as_deref(), Some("value"));
    let mut raw = PgConnection::connect(&server.url("opened_twice")).await.unwrap();
    let insert = "INSERT INTO _sqlx_migrations
        (version, description, success, checksum, execution_time) VALUES (77, 'x', TRUE, '', 0)";
    sqlx::query(insert).execute(&mut raw).await.unwrap();
    let refused = Store::open(&server.url("opened_twice")).await.unwrap_err();
    assert!(
        matches!(refused, beamdesk_store::StoreError::NewerSchema { version: 77 }),
        "{refused:?}"
    );
}
