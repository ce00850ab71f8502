//! Accounts, for administrators.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use beamdesk_http::Json;
use beamdesk_types::{Role, Timestamp, UserId};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::{
    App,
    api::{
        error::{Answer, Errors},
        extract::{Administrator, Id},
    },
    app::users as app_users,
};

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserList {
    users: Vec<UserView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct UserView {
    id: UserId,
    name: String,
    role: Role,
    disabled: bool,
    created: Timestamp,
    /// Who vouches for this person, and says at each login what role they have; null: nobody, the
    /// account has a password of its own.
    issuer: Option<String>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct NewUser {
    name: String,
    #[schema(value_type = String)]
    password: SecretString,
    role: Role,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct ChangeUser {
    role: Option<Role>,
    disabled: Option<bool>,
    #[schema(value_type = Option<String>)]
    password: Option<SecretString>,
}

impl UserView {
    fn new(user: beamdesk_store::User, issuer: Option<String>) -> Self {
        Self {
            id: user.id,
            name: user.name,
            role: user.role,
            disabled: user.disabled,
            created: user.created,
            issuer,
        }
    }
}

/// All accounts.
#[utoipa::path(get, path = "/users", tag = "administration",
    responses((status = OK, body = UserList), Errors))]
pub(super) async fn users(State(app): State<App>, _: Administrator) -> Answer<Json<UserList>> {
    let users = app_users::all(&app).await?;
    let mut issuers = app_users::issuers(&app).await?;
    let view = |user: beamdesk_store::User| {
        let issuer = issuers.remove(&user.id);
        UserView::new(user, issuer)
    };
    Ok(Json(UserList { users: users.into_iter().map(view).collect() }))
}

/// Adds an account.
#[utoipa::path(post, path = "/users", tag = "administration", request_body = NewUser,
    responses((status = CREATED, body = UserView), Errors))]
pub(super) async fn add_user(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Json(body): Json<NewUser>,
) -> Answer<Response> {
    let user = app_users::add(&app, &actor, &body.name, body.password, body.role).await?;
    Ok((StatusCode::CREATED, Json(UserView::new(user, None))).into_response())
}

/// Changes an account. Its sessions end, and within seconds its streams.
#[utoipa::path(patch, path = "/users/{id}", tag = "administration", params(("id" = UserId, Path)),
    request_body = ChangeUser, responses((status = OK, body = UserView), Errors))]
pub(super) async fn change_user(
    State(app): State<App>,
    Administrator(actor): Administrator,
    Id(id): Id<UserId>,
    Json(body): Json<ChangeUser>,
) -> Answer<Json<UserView>> {
    let ChangeUser { role, disabled, password } = body;
    let change = app_users::AccountChange { role, disabled, password };
    let user = app_users::change(&app, &actor, id, change).await?;
    let issuer = app.store.issuer_of(id).await?;
    Ok(Json(UserView::new(user, issuer)))
}
