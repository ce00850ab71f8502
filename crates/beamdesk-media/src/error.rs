//! What can go wrong between the agent and the display.

use x11rb::errors::{ConnectError, ConnectionError, ReplyError, ReplyOrIdError};

use crate::geometry::PictureSize;

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What can go wrong between the agent and the display.
#[derive(Debug, thiserror::Error)]
pub enum CaptureError {
    /// The display could not be reached at all.
    #[error("cannot connect to display {display}")]
    Unreachable { display: String, source: BoxError },
    /// The connection broke: the X server is gone. Nothing works from here on.
    #[error("the X server is gone")]
    Gone(#[source] BoxError),
    /// The display lacks something that capture or input needs.
    #[error("the X server cannot do this: {0}")]
    Unsupported(String),
    /// The X server refused a request; the connection still works.
    #[error("the X server refused {what}")]
    Refused { what: &'static str, source: BoxError },
    /// The size is out of the display's bounds; the picture stays as it was.
    #[error("the picture can be at most {}x{}", max.width(), max.height())]
    Size { max: PictureSize },
    /// No such keyboard layout.
    #[error("unknown keyboard layout {0:?}")]
    Layout(String),
    #[error("the operating system refused {what}")]
    System { what: &'static str, source: std::io::Error },
}

impl CaptureError {
    pub(crate) fn system(what: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| Self::System { what, source: errno.into() }
    }

    pub(crate) fn refused(what: &'static str) -> impl FnOnce(ReplyError) -> Self {
        move |error| match error {
            ReplyError::ConnectionError(error) => Self::from(error),
            ReplyError::X11Error(error) => {
                Self::Refused { what, source: format!("{error:?}").into() }
            }
        }
    }

    pub(crate) fn unreachable(display: &str) -> impl FnOnce(ConnectError) -> Self {
        let display = display.to_owned();
        move |error| Self::Unreachable { display, source: Box::new(error) }
    }
}

impl From<ConnectionError> for CaptureError {
    fn from(error: ConnectionError) -> Self {
        match error {
            ConnectionError::UnsupportedExtension => {
                Self::Unsupported("an extension is missing".to_owned())
            }
            error => Self::Gone(Box::new(error)),
        }
    }
}

impl From<ReplyOrIdError> for CaptureError {
    fn from(error: ReplyOrIdError) -> Self {
        match error {
            ReplyOrIdError::ConnectionError(error) => Self::from(error),
            error => Self::Gone(Box::new(error)),
        }
    }
}
