//! What the cloud says of desktops beside their phase. Written by the reconciler, shown by pages.

use beamdesk_types::DesktopId;
use sqlx::FromRow;

use crate::{Store, StoreError, db::on, row};

/// One desktop's.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CloudNote {
    /// A state of its server that we have not, as a stable word.
    pub state: Option<String>,
    /// What keeps the cloud from doing what we ask, as a stable word.
    pub trouble: Option<String>,
    /// For operators.
    pub detail: String,
}

impl CloudNote {
    /// Nothing to say.
    pub fn is_empty(&self) -> bool {
        self.state.is_none() && self.trouble.is_none()
    }
}

impl Store {
    pub async fn cloud_note(&self, desktop: DesktopId) -> Result<Option<CloudNote>, StoreError> {
        let row: Option<NoteRow> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM cloud_notes WHERE desktop_id = $1")
                .bind(desktop.to_string())
                .fetch_optional(pool)
                .await
        })?;
        Ok(row.map(NoteRow::note))
    }

    /// Of all desktops of which there is something to say.
    pub async fn cloud_notes(&self) -> Result<Vec<(DesktopId, CloudNote)>, StoreError> {
        let rows: Vec<NoteRow> = on!(self, pool => {
            sqlx::query_as("SELECT * FROM cloud_notes").fetch_all(pool).await
        })?;
        let read = |row: NoteRow| Ok((row::parse(&row.desktop_id, "desktop id")?, row.note()));
        rows.into_iter().map(read).collect()
    }

    /// An empty one is forgotten.
    pub async fn put_cloud_note(
        &self,
        desktop: DesktopId,
        note: &CloudNote,
    ) -> Result<(), StoreError> {
        if note.is_empty() {
            on!(self, pool => sqlx::query("DELETE FROM cloud_notes WHERE desktop_id = $1")
                .bind(desktop.to_string())
                .execute(pool)
                .await
                .map(drop))?;
            return Ok(());
        }
        on!(self, pool => sqlx::query(
            "INSERT INTO cloud_notes (desktop_id, state, trouble, detail) VALUES ($1, $2, $3, $4)
             ON CONFLICT (desktop_id) DO UPDATE SET
               state = excluded.state, trouble = excluded.trouble, detail = excluded.detail",
        )
        .bind(desktop.to_string())
        .bind(note.state.as_deref())
        .bind(note.trouble.as_deref())
        .bind(&note.detail)
        .execute(pool)
        .await
        .map(drop))?;
        Ok(())
    }
}

#[derive(FromRow)]
struct NoteRow {
    desktop_id: String,
    state: Option<String>,
    trouble: Option<String>,
    detail: String,
}

impl NoteRow {
    fn note(self) -> CloudNote {
        CloudNote { state: self.state, trouble: self.trouble, detail: self.detail }
    }
}
