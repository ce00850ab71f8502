//! Who is asking, from where, for what: a handler's signature is its authorization.

use std::{net::IpAddr, str::FromStr};

use axum::{
    extract::{FromRequestParts, Path},
    http::{HeaderMap, request::Parts},
};
use beamdesk_http::{Peer, cookies};
use beamdesk_types::{Actor, Role};

use crate::{App, PortalError, api::error::ApiError};

/// The session's token. `__Host-`: only this host set it, only this host gets it.
pub(crate) const SESSION_COOKIE: &str = "__Host-sid";

/// Anybody who is logged in.
#[derive(Debug)]
pub(crate) struct User(pub(crate) Actor);

/// An operator or administrator.
#[derive(Debug)]
pub(crate) struct Operator(pub(crate) Actor);

/// An administrator.
#[derive(Debug)]
pub(crate) struct Administrator(pub(crate) Actor);

/// The one id in a path. What is no id names nothing: 404.
#[derive(Debug)]
pub(crate) struct Id<T>(pub(crate) T);

/// The address a request came from, as the listener saw it.
#[derive(Debug)]
pub(crate) struct From(pub(crate) IpAddr);

impl FromRequestParts<App> for User {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let token = session_token(&parts.headers).ok_or(PortalError::NotLoggedIn)?;
        let actor = app.auth.actor(token).await?.ok_or(PortalError::NotLoggedIn)?;
        Ok(Self(actor))
    }
}

impl FromRequestParts<App> for Operator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let User(actor) = User::from_request_parts(parts, app).await?;
        at_least(Role::Operator, actor).map(Self)
    }
}

impl FromRequestParts<App> for Administrator {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let User(actor) = User::from_request_parts(parts, app).await?;
        at_least(Role::Administrator, actor).map(Self)
    }
}

fn at_least(role: Role, actor: Actor) -> Result<Actor, ApiError> {
    if actor.role >= role { Ok(actor) } else { Err(PortalError::Forbidden.into()) }
}

impl<T: FromStr + Send> FromRequestParts<App> for Id<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, ApiError> {
        let text = Path::<String>::from_request_parts(parts, app).await;
        let Path(text) = text.map_err(|_| PortalError::NotFound)?;
        text.parse().map(Self).map_err(|_| PortalError::NotFound.into())
    }
}

impl FromRequestParts<App> for From {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, ApiError> {
        // Without a listener, as in tests of the router alone, nobody can be told apart.
        let unknown = IpAddr::from([0, 0, 0, 0]);
        let peer = parts.extensions.get::<Peer>();
        Ok(Self(peer.map_or(unknown, |peer| peer.address.ip().to_canonical())))
    }
}

pub(crate) fn session_token(headers: &HeaderMap) -> Option<&str> {
    cookies::value(headers, SESSION_COOKIE)
}
