//! The bind cookie: a random value without authority that ties tickets and handles to one browser.

use axum::{
    http::{HeaderMap, header},
    response::{IntoResponse, Response},
};
use beamdesk_auth::new_bind;
use beamdesk_http::{Cookie, HttpError, SameSite, cookies};
use beamdesk_types::Secret;

use crate::{App, PortalError};

const BIND_COOKIE: &str = "__Secure-bind";
/// Ours have 43 characters; what is longer is not ours.
const BIND_CHARS_MAX: usize = 64;

/// The browser's value, or a fresh one that the answer must bring it.
pub(super) struct Bind {
    value: Secret,
    is_fresh: bool,
}

impl Bind {
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, PortalError> {
        let sent = cookies::value(headers, BIND_COOKIE)
            .filter(|value| !value.is_empty() && value.len() <= BIND_CHARS_MAX);
        Ok(match sent {
            Some(value) => Self { value: Secret::new(value.to_owned()), is_fresh: false },
            None => Self { value: new_bind()?, is_fresh: true },
        })
    }

    pub(super) fn value(&self) -> &str {
        self.value.expose()
    }

    /// Adds the cookie to the answer, unless the browser has it.
    pub(super) fn set(&self, app: &App, response: &mut Response) {
        if self.is_fresh {
            let cookie = Cookie {
                // It must come along when the portal's page posts to the gateway of the same site.
                same_site: SameSite::Lax,
                domain: app.config.bind_domain.as_deref(),
                ..Cookie::new(BIND_COOKIE, self.value())
            };
            set_cookie(response, &cookie);
        }
    }
}

pub(super) fn set_cookie(response: &mut Response, cookie: &Cookie<'_>) {
    match cookie.header() {
        Some(value) => {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
        None => *response = HttpError::internal().into_response(),
    }
}
