//! The suite on SQLite files, and what only SQLite can do wrong.

use std::{fs, os::unix::fs::PermissionsExt, time::Duration};

use beamdesk_store::{Store, StoreError};
use sqlx::{Connection, SqliteConnection};

use crate::{store_suite, world};

/// A database file that goes with the value.
struct File {
    dir: tempfile::TempDir,
}

impl File {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.dir.path().join("beamdesk.db").display())
    }

    async fn raw(&self) -> SqliteConnection {
        SqliteConnection::connect(&self.url()).await.unwrap()
    }
}

macro_rules! tests {
    ($($module:ident::$case:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            let file = File::new();
            let store = Store::open(&file.url()).await.unwrap();
            crate::suite::$module::$case(store).await;
        }
    )*};
}
store_suite!(tests);

#[tokio::test]
async fn what_is_written_is_there_at_the_next_start() {
    let file = File::new();
    let store = Store::open(&file.url()).await.unwrap();
    let scene = world::scene(&store, "ada").await;
    store.close().await;
    let store = Store::open(&file.url()).await.unwrap();
    assert_eq!(store.desktop(scene.desktop.id).await.unwrap(), Some(scene.desktop));
}

#[tokio::test]
async fn only_the_owner_can_read_the_files() {
    let file = File::new();
    let store = Store::open(&file.url()).await.unwrap();
    store.add_user(&world::user("ada")).await.unwrap();
    let mut files = 0;
    for entry in fs::read_dir(file.dir.path()).unwrap() {
        let mode = entry.unwrap().metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
        files += 1;
    }
    assert!(files >= 2, "the database and its log");
}

#[tokio::test]
async fn a_database_in_memory_keeps_its_rows() {
    let store = Store::open("sqlite::memory:").await.unwrap();
    let scene = world::scene(&store, "ada").await;
    let other = Store::open("sqlite::memory:").await.unwrap();
    assert_eq!(other.user(scene.user.id).await.unwrap(), None);
    assert_eq!(store.user(scene.user.id).await.unwrap(), Some(scene.user));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_may_open_a_new_database_at_once() {
    let file = File::new();
    let mut opening = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let url = file.url();
        opening.spawn(async move { Store::open(&url).await });
    }
    while let Some(opened) = opening.join_next().await {
        opened.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let file = File::new();
    Store::open(&file.url()).await.unwrap().close().await;
    let mut raw = file.raw().await;
    let insert = "INSERT INTO _sqlx_migrations
        (version, description, success, checksum, execution_time) VALUES (77, 'x', TRUE, x'00', 0)";
    sqlx::query(insert).execute(&mut raw).await.unwrap();
    let refused = Store::open(&file.url()).await.unwrap_err();
    assert!(matches!(refused, StoreError::NewerSchema { version: 77 }), "{refused:?}");
    assert!(refused.to_string().contains("newer"), "{refused}");
}

#[tokio::test]
async fn a_writer_is_told_when_another_holds_the_database_too_long() {
    let file = File::new();
    let store = Store::open(&file.url()).await.unwrap();
    let mut raw = file.raw().await;
    sqlx::query("BEGIN IMMEDIATE").execute(&mut raw).await.unwrap();
    let busy = store.add_user(&world::user("ada")).await.unwrap_err();
    assert!(matches!(busy, StoreError::Busy), "{busy:?}");
    // Readers are not disturbed, and the next writer is served.
    assert_eq!(store.user_by_name("ada").await.unwrap(), None);
    sqlx::query("ROLLBACK").execute(&mut raw).await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), store.add_user(&world::user("ada")))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_full_disk_has_a_name() {
    let file = File::new();
    Store::open(&file.url()).await.unwrap().close().await;
    let mut raw = file.raw().await;
    // The same code SQLite gives when the file system is full.
    sqlx::query("PRAGMA max_page_count = 1").execute(&mut raw).await.unwrap();
    let insert = "INSERT INTO settings (key, value) VALUES ('k', hex(zeroblob(100000)))";
    let full = sqlx::query(insert).execute(&mut raw).await.unwrap_err();
    assert!(matches!(StoreError::from(full), StoreError::Full));
}

#[tokio::test]
async fn an_address_that_cannot_be_opened_says_why() {
    for url in
        ["", "mysql://x", "sqlite:/nonexistent/folder/x.db", "postgres://nobody@127.0.0.1:1/x"]
    {
        let error = Store::open(url).await.unwrap_err();
        assert!(matches!(error, StoreError::Open { .. }), "{url}: {error:?}");
    }
}
