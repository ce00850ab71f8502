//! The HTTP edge that portal and gateway share: listener, headers, origins, cookies, web bundle.
//!
//! ```text
//! accept -> caps -> TLS -> header -> request_id -> security headers -> body bound -> router
//! ```

pub mod body;
pub mod bundle;
pub mod cookies;
pub mod error;
pub mod headers;
pub mod json;
pub mod origin;
pub mod redirect;
pub mod request_id;
pub mod server;

pub use body::{BODY_BYTES_MAX, limit_bodies};
pub use cookies::{Cookie, SameSite};
pub use error::HttpError;
pub use headers::{ContentSecurityPolicy, security_headers};
pub use json::Json;
pub use origin::{Origins, OriginsError, require_same_origin};
pub use request_id::{RequestId, request_ids};
pub use server::{Limits, Peer, serve};
