//! The token by which a monitoring system reads metrics.

use beamdesk_types::Secret;

use crate::{
    Auth, AuthError,
    secret::{TEXT_BYTES_MAX, digest, fresh},
};

/// Name of the setting that holds the digest.
const METRICS_TOKEN_KEY: &str = "metrics_token";

impl Auth {
    /// A fresh token that reads metrics; an earlier one is good no more.
    pub async fn new_metrics_token(&self) -> Result<Secret, AuthError> {
        let token = fresh()?;
        let kept = hex::encode(digest(token.expose()));
        self.store().put_setting(METRICS_TOKEN_KEY, &kept).await?;
        Ok(token)
    }

    /// Lets no token read metrics any more. False: there was none.
    pub async fn remove_metrics_token(&self) -> Result<bool, AuthError> {
        Ok(self.store().remove_setting(METRICS_TOKEN_KEY).await?)
    }

    /// Whether metrics may be read with this token.
    pub async fn is_metrics_token(&self, token: &str) -> Result<bool, AuthError> {
        if token.len() > TEXT_BYTES_MAX {
            return Ok(false);
        }
        let kept = self.store().setting(METRICS_TOKEN_KEY).await?;
        // Both are digests, so the time of the comparison tells nothing of the token.
        Ok(kept.is_some_and(|kept| kept == hex::encode(digest(token))))
    }
}
