//! What may go wrong with a cloud, told apart by who can mend it.

use std::time::Duration;

use beamdesk_types::NodeName;

use crate::RequestId;

/// Anything a driver's error may stem from.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What went wrong. Each says, in its text, who can mend it, and which of the cloud's requests it
/// was, where there was one.
#[derive(Debug, thiserror::Error)]
pub enum CloudError {
    /// No host fits; asking again later may help.
    #[error("no host has room for this desktop")]
    NoCapacity { request: Option<RequestId> },
    #[error("the host's disk is full")]
    DiskFull,
    /// Asking again with the same words will fail again.
    #[error("the cloud refused: {text}")]
    Refused { text: String, request: Option<RequestId> },
    /// Whether it was done is not known.
    #[error("the cloud is unavailable")]
    Unavailable {
        retry_after: Option<Duration>,
        #[source]
        source: BoxError,
        request: Option<RequestId>,
    },
    /// What of is in `what`: instances, cores, memory.
    #[error("the quota of {what} is used up; an administrator of the cloud can raise it")]
    Quota { what: String, request: Option<RequestId> },
    #[error(
        "the cloud does not accept the portal's credentials; an administrator of Beamdesk can renew them: {text}"
    )]
    Credentials { text: String, request: Option<RequestId> },
    #[error(
        "the cloud has the image {image} no more; an administrator of Beamdesk can offer another"
    )]
    ImageGone { image: String, request: Option<RequestId> },
    /// The flavor of the size is missing or not what the size says.
    #[error(
        "the flavor of this size is not as it should be; an administrator can mend it on the page Cloud: {text}"
    )]
    FlavorChanged { text: String, request: Option<RequestId> },
    #[error("the host {node} takes no new servers; an administrator of the cloud can enable it")]
    NodeDisabled { node: NodeName, request: Option<RequestId> },
}

impl CloudError {
    /// A refusal that no request of the cloud stands behind.
    pub fn refused(text: impl Into<String>) -> Self {
        Self::Refused { text: text.into(), request: None }
    }

    /// Without the cloud's word for when to ask again.
    pub fn unavailable(source: impl Into<BoxError>) -> Self {
        Self::Unavailable { retry_after: None, source: source.into(), request: None }
    }

    /// No host fits, by our own count.
    pub fn no_capacity() -> Self {
        Self::NoCapacity { request: None }
    }

    /// What the cloud calls the request that went wrong: for its administrator, who finds it in
    /// the cloud's logs.
    pub fn request(&self) -> Option<&str> {
        match self {
            Self::DiskFull => None,
            Self::NoCapacity { request }
            | Self::Refused { request, .. }
            | Self::Unavailable { request, .. }
            | Self::Quota { request, .. }
            | Self::Credentials { request, .. }
            | Self::ImageGone { request, .. }
            | Self::FlavorChanged { request, .. }
            | Self::NodeDisabled { request, .. } => request.as_ref().map(RequestId::as_str),
        }
    }

    /// A stable word for its kind, that pages translate.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoCapacity { .. } => "no_capacity",
            Self::DiskFull => "disk_full",
            Self::Refused { .. } => "cloud_refused",
            Self::Unavailable { .. } => "cloud_unavailable",
            Self::Quota { .. } => "cloud_quota",
            Self::Credentials { .. } => "cloud_credentials",
            Self::ImageGone { .. } => "image_gone",
            Self::FlavorChanged { .. } => "flavor_changed",
            Self::NodeDisabled { .. } => "node_disabled",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::CloudError;
    use crate::RequestId;

    #[test]
    fn an_error_tells_its_request() {
        let request = RequestId::parse("req-1");
        let error = CloudError::Quota { what: "instances".to_owned(), request };
        assert_eq!(error.request(), Some("req-1"));
        assert_eq!(CloudError::no_capacity().request(), None);
        assert!(error.to_string().contains("administrator of the cloud"));
    }
}
