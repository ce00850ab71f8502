//! Accounts, as administrators and their owners change them.

use std::collections::HashMap;

use beamdesk_auth::is_user_name;
use beamdesk_store::{User, UserChange};
use beamdesk_types::{Actor, Role, UserId};
use secrecy::SecretString;

use crate::{App, PortalError, app::audit, error::BAD_USER_NAME};

/// Rows of one page of the database.
const PAGE_ROWS: u32 = 500;

/// What an administrator may change of an account.
#[derive(Debug, Default)]
pub(crate) struct AccountChange {
    pub(crate) role: Option<Role>,
    pub(crate) disabled: Option<bool>,
    pub(crate) password: Option<SecretString>,
}

pub(crate) async fn all(app: &App) -> Result<Vec<User>, PortalError> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map(|user: &User| user.id);
        let page = app.store.users(after, PAGE_ROWS).await?;
        let is_last = page.len() < usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

/// Who vouches for which account.
pub(crate) async fn issuers(app: &App) -> Result<HashMap<UserId, String>, PortalError> {
    let mut all = HashMap::new();
    let mut after = None;
    loop {
        let page = app.store.issuers(after, PAGE_ROWS).await?;
        let is_last = page.len() < usize::try_from(PAGE_ROWS).unwrap_or(usize::MAX);
        after = page.keys().max().copied();
        all.extend(page);
        if is_last {
            return Ok(all);
        }
    }
}

pub(crate) async fn add(
    app: &App,
    actor: &Actor,
    name: &str,
    password: SecretString,
    role: Role,
) -> Result<User, PortalError> {
    if !is_user_name(name) {
        return Err(BAD_USER_NAME);
    }
    let user = User {
        id: UserId::fresh(),
        name: name.to_owned(),
        role,
        disabled: false,
        password_hash: app.auth.hash_password(password).await?,
        // Until they choose: an administrator does not know what their browser asks for.
        language: String::new(),
        theme: "system".to_owned(),
        created: app.clock.now(),
    };
    app.store.add_user(&user).await?;
    let detail = format!("{name} as {}", role.as_str());
    audit::note(app, actor, "user_added", audit::user(user.id), detail).await?;
    Ok(user)
}

/// Ends the user's sessions, and with them all streams, when role, password or `disabled` changes.
pub(crate) async fn change(
    app: &App,
    actor: &Actor,
    id: UserId,
    change: AccountChange,
) -> Result<User, PortalError> {
    let mut detail = Vec::new();
    if let Some(role) = change.role {
        detail.push(format!("role {}", role.as_str()));
    }
    if let Some(disabled) = change.disabled {
        detail.push(if disabled { "disabled".to_owned() } else { "enabled".to_owned() });
    }
    let mut row =
        UserChange { role: change.role, disabled: change.disabled, ..UserChange::default() };
    if let Some(password) = change.password {
        row.password_hash = Some(app.auth.hash_password(password).await?);
        detail.push("password".to_owned());
    }
    let changed = app.store.update_user(id, row, app.clock.now()).await?;
    let user = changed.ok_or(PortalError::NotFound)?;
    app.events().changed();
    audit::note(app, actor, "user_changed", audit::user(id), detail.join(", ")).await?;
    Ok(user)
}

/// What a person prefers; ends no session.
pub(crate) async fn prefer(
    app: &App,
    actor: &Actor,
    language: Option<String>,
    theme: Option<String>,
) -> Result<User, PortalError> {
    let change = UserChange { language, theme, ..UserChange::default() };
    let changed = app.store.update_user(actor.user, change, app.clock.now()).await?;
    changed.ok_or(PortalError::NotLoggedIn)
}
