//! One request id for one operation, from the portal's log to the cloud's.

use std::{fmt, future::Future};

/// What a cloud calls one request, in its answers and its logs: `req-` and a UUID.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestId(String);

/// `req-` and a UUID have 40; others may do it otherwise.
const CHARS_MAX: usize = 64;

tokio::task_local! {
    static OPERATION: RequestId;
}

impl RequestId {
    /// A new one, of the form that the services take over as *global request id*: `req-` and a
    /// UUID (oslo.middleware, `request_id.py`).
    pub fn fresh() -> Self {
        Self(format!("req-{}", uuid::Uuid::now_v7()))
    }

    /// `None` for what no request is called by: it goes into logs and onto pages.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'-';
        let fits = !text.is_empty() && text.len() <= CHARS_MAX && text.bytes().all(plain);
        fits.then(|| Self(text.to_owned()))
    }

    /// That of the operation we are in, if its beginning said so with [`RequestId::scope`].
    pub fn current() -> Option<Self> {
        OPERATION.try_with(Clone::clone).ok()
    }

    /// That of the operation we are in, or a new one.
    pub fn of_operation() -> Self {
        Self::current().unwrap_or_else(Self::fresh)
    }

    /// Every call to the cloud in `operation` carries this id.
    pub async fn scope<F: Future>(self, operation: F) -> F::Output {
        OPERATION.scope(self, operation).await
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::RequestId;

    #[test]
    fn a_fresh_one_is_what_services_accept() {
        let id = RequestId::fresh();
        assert_eq!(id.as_str().len(), 40);
        assert!(id.as_str().starts_with("req-"));
        assert_eq!(RequestId::parse(id.as_str()), Some(id.clone()));
        assert_ne!(RequestId::fresh(), id);
    }

    #[test]
    fn a_request_is_called_by_plain_words_only() {
        for bad in ["", "req 1", "req-1\nforged: line", "<b>", &"a".repeat(65)] {
            assert_eq!(RequestId::parse(bad), None, "{bad:?}");
        }
    }

    #[tokio::test]
    async fn an_operation_has_one_id_and_the_next_another() {
        assert_eq!(RequestId::current(), None);
        let id = RequestId::fresh();
        let seen = id
            .clone()
            .scope(async {
                tokio::task::yield_now().await;
                (RequestId::of_operation(), RequestId::current())
            })
            .await;
        assert_eq!(seen, (id.clone(), Some(id.clone())));
        assert_ne!(RequestId::of_operation(), id);
    }
}
