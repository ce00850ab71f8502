//! Opening a database and bringing it to the present schema.

use std::{
    fs::OpenOptions, io, os::unix::fs::OpenOptionsExt, path::Path, str::FromStr, time::Duration,
};

use sqlx::{
    Connection, PgConnection, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
    postgres::{PgConnectOptions, PgPoolOptions},
    sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous},
};

use tokio::time::{Instant, sleep};

use crate::{Store, StoreError, db::Db};

/// How long a writer waits for another before it is told [`StoreError::Busy`].
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a statement waits for a free connection: twice the above, since it may queue behind one.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long opening goes on trying while others open the same new file.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
const OPEN_RETRY: Duration = Duration::from_millis(20);
/// SQLite has one writer at a time; more connections than this only queue inside it.
const SQLITE_CONNECTIONS_MAX: u32 = 4;
/// PostgreSQL allows 100 in all by default; this leaves room for several portals.
const POSTGRES_CONNECTIONS_MAX: u32 = 16;

/// Forward only, and adding before removing, so that the former program still runs on the new one.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../migrations/0001_first.sql")),
    (2, "recordings", include_str!("../migrations/0002_recordings.sql")),
    (3, "placement", include_str!("../migrations/0003_placement.sql")),
    (4, "leader", include_str!("../migrations/0004_leader.sql")),
    (5, "agents", include_str!("../migrations/0005_agents.sql")),
    (6, "identities", include_str!("../migrations/0006_identities.sql")),
    (7, "cloud", include_str!("../migrations/0007_cloud.sql")),
];

impl Store {
    /// Opens `sqlite:/path/beamdesk.db` (made when missing), `sqlite::memory:` or `postgres://…`,
    /// and brings it to the present schema. Refuses one from a newer program.
    pub async fn open(url: &str) -> Result<Self, StoreError> {
        let db = if url.starts_with("sqlite:") {
            open_sqlite_patiently(url).await?
        } else if url.starts_with("postgres:") || url.starts_with("postgresql:") {
            open_postgres(url).await?
        } else {
            return Err(StoreError::Open {
                reason: "the address must begin with sqlite: or postgres:".to_owned(),
            });
        };
        Ok(Self { db, clock_shift_ms: 0, fence: None })
    }

    /// Waits for running statements and closes all connections.
    pub async fn close(&self) {
        match &self.db {
            Db::Sqlite(pool) => pool.close().await,
            Db::Postgres(pool) => pool.close().await,
        }
    }

    /// A handle that believes the database's clock to be off by this much, for tests of expiry.
    #[must_use]
    pub fn with_clock_shift(&self, shift_ms: i64) -> Self {
        Self { clock_shift_ms: shift_ms, ..self.clone() }
    }
}

/// The first switch to a write-ahead log does not wait for others as everything else does, so
/// programs that open a new database at once have to try again.
async fn open_sqlite_patiently(url: &str) -> Result<Db, StoreError> {
    let deadline = Instant::now() + OPEN_TIMEOUT;
    loop {
        match open_sqlite(url).await {
            Err(StoreError::Busy) if Instant::now() < deadline => sleep(OPEN_RETRY).await,
            outcome => return outcome,
        }
    }
}

async fn open_sqlite(url: &str) -> Result<Db, StoreError> {
    let options = SqliteConnectOptions::from_str(url).map_err(opening)?;
    let is_in_memory = url.contains(":memory:") || url.contains("mode=memory");
    let options = options
        .create_if_missing(true)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .journal_mode(SqliteJournalMode::Wal)
        // FULL, not NORMAL: a ticket burned before a power cut must stay burned (SR-07).
        .synchronous(SqliteSynchronous::Full);
    if !is_in_memory {
        make_private(options.get_filename())
            .map_err(|error| StoreError::Open { reason: error.to_string() })?;
    }
    let pool = SqlitePoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT);
    let pool = if is_in_memory {
        // Each connection would be a database of its own, and gone with the connection.
        pool.min_connections(1).max_connections(1).idle_timeout(None).max_lifetime(None)
    } else {
        pool.max_connections(SQLITE_CONNECTIONS_MAX)
    };
    let pool = pool.connect_with(options).await.map_err(opening)?;
    // One transaction around all, so that two programs that start at once take turns.
    let mut tx = pool.begin_with("BEGIN IMMEDIATE").await?;
    migrator().run_direct(None, &mut *tx, false).await?;
    tx.commit().await?;
    Ok(Db::Sqlite(pool))
}

/// Makes the file, so that nobody but its owner can read the hashes in it. SQLite gives the files
/// beside it the same mode.
fn make_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

async fn open_postgres(url: &str) -> Result<Db, StoreError> {
    // A portal that is stopped in the middle of a transaction must not keep its locks: the one that
    // leads next needs them.
    let options = PgConnectOptions::from_str(url)
        .map_err(opening)?
        .application_name("beamdesk")
        .options([("lock_timeout", "5s"), ("idle_in_transaction_session_timeout", "5s")]);
    // The pool would try again until its time is over, and then not say why.
    let probe = PgConnection::connect_with(&options).await.map_err(opening)?;
    probe.close().await.map_err(opening)?;
    let pool = PgPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS_MAX)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .connect_with(options)
        .await
        .map_err(opening)?;
    // Takes an advisory lock by itself.
    migrator().run(&pool).await?;
    Ok(Db::Postgres(pool))
}

fn migrator() -> Migrator {
    let migration = |&(version, name, sql): &(i64, &'static str, &'static str)| {
        Migration::new(version, name.into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    Migrator::with_migrations(MIGRATIONS.iter().map(migration).collect())
}

fn opening(error: sqlx::Error) -> StoreError {
    match StoreError::from(error) {
        StoreError::Database(source) => StoreError::Open { reason: source.to_string() },
        known => known,
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use beamdesk_types::GpuRequest;
    use sqlx::{Connection, SqliteConnection, migrate::Migrator, sqlite::SqliteConnectOptions};

    use super::{MIGRATIONS, migrator};
    use crate::Store;

    /// What a program of the time before placement left behind.
    const ROWS: &str = "
        INSERT INTO users VALUES ('0190aaaa-0000-7000-8000-000000000001', 'ada', 'user', FALSE, 'h',
            'en', 'system', 5);
        INSERT INTO sizes VALUES ('gpu', 'GPU', 4, 8192, 50, 2, 49140, TRUE);
        INSERT INTO images VALUES ('debian', 'Debian', '', TRUE);
        INSERT INTO desktops VALUES ('0190aaaa-0000-7000-8000-000000000002',
            '0190aaaa-0000-7000-8000-000000000001', 'mine', 'debian', 'gpu', 'running', 'ready', 1, 0,
            1, 9, 'node-1', '127.0.0.1:1', NULL, NULL, FALSE, 7);";

    #[tokio::test]
    async fn what_was_there_before_placement_is_there_after_it() {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", dir.path().join("beamdesk.db").display());
        let options = SqliteConnectOptions::from_str(&url).unwrap().create_if_missing(true);
        let mut raw = SqliteConnection::connect_with(&options).await.unwrap();
        let all = migrator();
        let former = all.iter().filter(|migration| migration.version <= 2).cloned().collect();
        Migrator::with_migrations(former).run_direct(None, &mut raw, false).await.unwrap();
        sqlx::raw_sql(ROWS).execute(&mut raw).await.unwrap();
        raw.close().await.unwrap();
        assert!(MIGRATIONS.len() > 2);

        let store = Store::open(&url).await.unwrap();
        let desktop = store.open_desktops().await.unwrap().pop().unwrap();
        assert_eq!((desktop.name.as_str(), desktop.gpu), ("mine", GpuRequest::default()));
        assert_eq!(desktop.queued, desktop.created, "it has waited since it was asked for");
        assert_eq!((desktop.station, desktop.ends), (None, None));
        let size = store.sizes().await.unwrap().pop().unwrap();
        assert_eq!((size.gpu, size.term_hours), (GpuRequest::whole(2, 49_140), 0));
        assert_eq!(store.images().await.unwrap()[0].gpu, GpuRequest::default());
        assert_eq!(store.claims().await.unwrap(), []);
        assert_eq!(store.node_records().await.unwrap(), []);
    }
}
