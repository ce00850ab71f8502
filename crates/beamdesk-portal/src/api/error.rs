//! Which HTTP answer each error becomes. Statuses are decided nowhere else.

use std::{collections::BTreeMap, error::Error, fmt::Write as _, time::Duration};

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use beamdesk_auth::{PasswordFault, ProofError, ProviderFault};
use beamdesk_cloud::CloudError;
use beamdesk_http::HttpError;
use beamdesk_store::StoreError;
use serde::Serialize;
use tracing::{error, warn};
use utoipa::{
    IntoResponses, ToSchema,
    openapi::{Content, Ref, RefOr, ResponseBuilder},
};

use crate::PortalError;

/// Result of a handler.
pub(crate) type Answer<T> = Result<T, ApiError>;

/// A [`PortalError`] on its way out.
#[derive(Debug)]
pub(crate) struct ApiError(PortalError);

/// The JSON of every error answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    pub(crate) error: ErrorDetail,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ErrorDetail {
    /// Stable word, like `desktop_not_ready`.
    pub(crate) code: String,
    /// For people who read answers; may change.
    pub(crate) message: String,
    /// What to look for in the log.
    pub(crate) request_id: String,
}

impl<E: Into<PortalError>> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let answer = http(&self.0);
        if answer.status.is_server_error() {
            let cause = chain(&self.0);
            if answer.status == StatusCode::INTERNAL_SERVER_ERROR {
                error!(error = cause, "Request failed");
            } else {
                warn!(error = cause, "Request could not be served now");
            }
        }
        answer.into_response()
    }
}

/// For the document: every route may answer with an error.
pub(crate) struct Errors;

impl IntoResponses for Errors {
    fn responses() -> BTreeMap<String, RefOr<utoipa::openapi::Response>> {
        let body = Content::new(Some(RefOr::Ref(Ref::from_schema_name("ErrorBody"))));
        let response = ResponseBuilder::new()
            .description("What went wrong")
            .content("application/json", body)
            .build();
        BTreeMap::from([("default".to_owned(), RefOr::T(response))])
    }
}

fn http(error: &PortalError) -> HttpError {
    let text = error.to_string();
    match error {
        PortalError::NotLoggedIn => HttpError::unauthenticated(),
        PortalError::WrongLogin => HttpError::new(StatusCode::UNAUTHORIZED, "wrong_login", text),
        PortalError::WrongPassword => HttpError::forbidden("wrong_password", text),
        PortalError::AccountDisabled => HttpError::forbidden("account_disabled", text),
        PortalError::NotLocal => HttpError::forbidden("not_local", text),
        PortalError::Proof(proof) => proof_http(proof),
        PortalError::TooMany { retry_after } => HttpError::too_many(*retry_after),
        PortalError::NotFound => HttpError::not_found(),
        PortalError::Forbidden => HttpError::forbidden("forbidden", text),
        PortalError::Invalid { field, .. } => HttpError::bad_request(invalid_code(field), text),
        PortalError::Password(PasswordFault::TooShort) => {
            HttpError::bad_request("password_too_short", text)
        }
        PortalError::Password(PasswordFault::TooLong) => {
            HttpError::bad_request("password_too_long", text)
        }
        PortalError::Gpu(_) => HttpError::bad_request("invalid_gpu", text),
        PortalError::CannotBeHeld { .. } => HttpError::conflict("cannot_be_held", text),
        PortalError::Busy => HttpError::conflict("busy", text),
        PortalError::CannotExtend => HttpError::conflict("cannot_extend", text),
        PortalError::NotReady => HttpError::conflict("desktop_not_ready", text),
        PortalError::NotNow => HttpError::conflict("not_now", text),
        PortalError::CloudSays { code, .. } => HttpError::conflict(code, text),
        PortalError::NotHere => HttpError::conflict("not_here", text),
        PortalError::QuotaReached { .. } => HttpError::conflict("quota_reached", text),
        PortalError::Taken => HttpError::conflict("taken", text),
        PortalError::InUse => HttpError::conflict("in_use", text),
        PortalError::LastAdministrator => HttpError::conflict("last_administrator", text),
        PortalError::NoMonitorAddress => HttpError::conflict("no_monitor_address", text),
        PortalError::SetupRefused => HttpError::forbidden("setup_refused", text),
        PortalError::Contended => HttpError::conflict("contended", text),
        PortalError::Store(StoreError::Full) | PortalError::Cloud(CloudError::DiskFull) => {
            HttpError::new(StatusCode::INSUFFICIENT_STORAGE, "disk_full", "the disk is full")
        }
        PortalError::Store(StoreError::Busy) => HttpError::unavailable().retry_after(BUSY_WAIT),
        PortalError::Cloud(cloud) => cloud_http(cloud),
        PortalError::Store(_)
        | PortalError::Auth(_)
        | PortalError::Pki(_)
        | PortalError::Unplanned => HttpError::internal(),
    }
}

/// What is wrong with the provider or its token is for the log: it may help who tries.
fn proof_http(error: &ProofError) -> HttpError {
    match error {
        ProofError::Off => HttpError::conflict("no_provider", "no such provider is configured"),
        ProofError::Expired => HttpError::conflict("login_expired", error.to_string()),
        ProofError::Denied(_) => {
            HttpError::forbidden("login_denied", "the provider did not log this person in")
        }
        // A code that was used, or came too late: trying again helps.
        ProofError::Provider(ProviderFault::NoToken(_)) => {
            HttpError::conflict("login_expired", "the provider gave no token")
        }
        ProofError::Provider(_) => HttpError::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "provider_unavailable",
            "the identity provider does not answer as it should",
        )
        .retry_after(BUSY_WAIT),
        ProofError::Token(_) | ProofError::NotTaken(_) => HttpError::new(
            StatusCode::UNAUTHORIZED,
            "proof_refused",
            "what proves who you are was refused",
        ),
        ProofError::NoAccess => HttpError::forbidden("no_access", error.to_string()),
        ProofError::Disabled | ProofError::TooMany { .. } | ProofError::Auth(_) => {
            HttpError::internal()
        }
    }
}

/// The stable word of an error, where there is no room for more.
pub(crate) fn code_of(error: &PortalError) -> &'static str {
    http(error).code
}

/// A locked database is free again within a second or has a larger trouble.
const BUSY_WAIT: Duration = Duration::from_secs(1);

fn cloud_http(error: &CloudError) -> HttpError {
    let unavailable = |code, text| HttpError::new(StatusCode::SERVICE_UNAVAILABLE, code, text);
    match error {
        CloudError::Unavailable { retry_after, .. } => {
            unavailable(error.code(), "the cloud does not answer now")
                .retry_after(retry_after.unwrap_or(BUSY_WAIT))
        }
        CloudError::NoCapacity { .. }
        | CloudError::DiskFull
        | CloudError::Refused { .. }
        | CloudError::Quota { .. }
        | CloudError::Credentials { .. }
        | CloudError::ImageGone { .. }
        | CloudError::FlavorChanged { .. }
        | CloudError::NodeDisabled { .. } => {
            // What it said names hosts and accounts: that is for the page Cloud and the log.
            unavailable(error.code(), "the cloud does not do it now")
        }
    }
}

fn invalid_code(field: &str) -> &'static str {
    match field {
        "name" => "invalid_name",
        "image" => "invalid_image",
        "size" => "invalid_size",
        "id" => "invalid_id",
        "station" => "invalid_station",
        "hours" => "invalid_hours",
        "time" => "invalid_time",
        "policy" => "invalid_policy",
        _ => "invalid",
    }
}

/// An error with all its causes, in one line.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        if write!(text, ": {cause}").is_err() {
            break;
        }
        next = cause.source();
    }
    text
}
