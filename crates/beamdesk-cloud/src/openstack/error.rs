//! What may go wrong between us and a service, and what is known of its effect.

use std::{fmt, time::Duration};

use super::{AccessError, Microversion, Service, answer::Said};
use crate::{CloudError, RequestId};

/// What is known of the effect of a call that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was surely not carried out, or it would have changed nothing.
    NotDone,
    /// It may have been carried out: look before doing anything else. This is no failure yet.
    Unknown,
}

/// What went wrong. The text of [`ApiError`] says who can mend it.
#[derive(Debug)]
pub enum Trouble {
    /// No connection: name, address, port or certificate.
    Unreachable(String),
    /// The connection ended before the answer was whole.
    Cut(String),
    /// No answer in time.
    Slow(Duration),
    /// 429, 503, 408, or 413 with a time to wait.
    Busy,
    /// Any other 5xx.
    Broken,
    /// Any other 4xx: asking again with the same words will fail again.
    Refused,
    /// The answer is not what this API says.
    Garbage(String),
    /// The answer is longer than anything we ask for.
    TooLong,
    /// 3xx, which we don't follow: the token would go who knows where.
    Redirected,
    /// Keystone does not accept them, or a service does not accept a token fresh from Keystone.
    Credentials(String),
    /// The catalog has no such service where we look.
    NoService {
        why: String,
    },
    /// The service and we have no microversion in common.
    Versions {
        has: String,
        needs: Microversion,
        knows: Microversion,
    },
    /// A list has no end.
    Pages(String),
    Access(AccessError),
    /// Our own question cannot be written down.
    Question(String),
}

/// A call that did not go well.
#[derive(Debug)]
pub struct ApiError(Box<Inner>);

#[derive(Debug)]
struct Inner {
    trouble: Trouble,
    outcome: Outcome,
    service: Option<Service>,
    /// `POST /servers`
    call: String,
    status: Option<u16>,
    said: Said,
    retry_after: Option<Duration>,
    service_request: Option<RequestId>,
    global_request: Option<RequestId>,
}

impl ApiError {
    pub fn trouble(&self) -> &Trouble {
        &self.0.trouble
    }

    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    pub fn service(&self) -> Option<Service> {
        self.0.service
    }

    /// Of the answer, if there was a whole one.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// The service's word for what is wrong: Neutron's exception (`OverQuota`), Placement's code
    /// (`placement.concurrent_update`), Nova's fault (`conflictingRequest`).
    pub fn code(&self) -> Option<&str> {
        self.0.said.code.as_deref()
    }

    /// The service's own sentence, on one line and bounded; empty when it said none.
    pub fn message(&self) -> &str {
        &self.0.said.message
    }

    /// It is not there, by the service's own word: a balancer that knows no way says 404 as well,
    /// and nothing is gone because of that.
    pub fn is_missing(&self) -> bool {
        let own = self.0.service_request.is_some() || self.0.said.code.is_some();
        self.0.status == Some(404) && own
    }

    pub fn is_conflict(&self) -> bool {
        self.0.status == Some(409)
    }

    /// Nova says 403 or 413, Neutron 409 `OverQuota`, and Glance and Cinder 413.
    pub fn is_quota(&self) -> bool {
        let words = || self.message().to_ascii_lowercase().contains("quota");
        matches!(self.0.status, Some(403 | 409 | 413))
            && (self.code() == Some("OverQuota") || words())
    }

    /// When the service wants to be asked again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// By which the service's log knows the call: its own id, or else our global one, that the
    /// logs of all services have beside their own.
    pub fn request_id(&self) -> Option<&RequestId> {
        self.0.service_request.as_ref().or(self.0.global_request.as_ref())
    }

    pub fn request(&self) -> Option<&str> {
        self.request_id().map(RequestId::as_str)
    }

    pub fn global_request(&self) -> Option<&RequestId> {
        self.0.global_request.as_ref()
    }
}

/// How errors are made.
impl ApiError {
    pub(super) fn new(trouble: Trouble) -> Self {
        Self(Box::new(Inner {
            trouble,
            outcome: Outcome::NotDone,
            service: None,
            call: String::new(),
            status: None,
            said: Said::default(),
            retry_after: None,
            service_request: None,
            global_request: None,
        }))
    }

    /// The same, seen with more knowledge.
    pub(super) fn with(mut self, trouble: Trouble) -> Self {
        self.0.trouble = trouble;
        self
    }

    pub(super) fn of(mut self, service: Service) -> Self {
        self.0.service.get_or_insert(service);
        self
    }

    pub(super) fn call(mut self, call: String, global_request: RequestId) -> Self {
        self.0.call = call;
        self.0.global_request.get_or_insert(global_request);
        self
    }

    pub(super) fn outcome_is(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    pub(super) fn answered(mut self, status: u16, request: Option<RequestId>, said: Said) -> Self {
        self.0.status = Some(status);
        self.0.service_request = request;
        self.0.said = said;
        self
    }

    pub(super) fn wait(mut self, retry_after: Option<Duration>) -> Self {
        self.0.retry_after = retry_after;
        self
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { trouble, service, call, status, said, .. } = self.0.as_ref();
        let name = service.map_or_else(|| "cloud".to_owned(), |s| format!("{s} service"));
        match trouble {
            Trouble::Unreachable(why) => write!(
                f,
                "the {name} cannot be reached ({why}); an administrator of the cloud can help"
            )?,
            Trouble::Cut(why) => {
                write!(
                    f,
                    "the connection to the {name} broke before its answer was whole ({why})"
                )?;
            }
            Trouble::Slow(limit) => write!(
                f,
                "the {name} did not answer within {} s; an administrator of the cloud can help",
                limit.as_secs()
            )?,
            Trouble::Busy => write!(f, "the {name} is too busy now")?,
            Trouble::Broken => {
                write!(f, "the {name} failed; an administrator of the cloud can help")?;
            }
            Trouble::Refused => write!(f, "the {name} refused")?,
            Trouble::Garbage(why) => write!(
                f,
                "the answer of the {name} is not understood ({why}); an administrator of the cloud \
                 can see what answers in its place"
            )?,
            Trouble::TooLong => write!(f, "the answer of the {name} is too long")?,
            Trouble::Redirected => write!(
                f,
                "the {name} redirects to another address; an administrator of Beamdesk can correct \
                 its address in clouds.yaml, or one of the cloud in the catalog"
            )?,
            Trouble::Credentials(why) => write!(
                f,
                "the {name} does not accept the credentials ({why}); an administrator of Beamdesk \
                 can renew them in clouds.yaml"
            )?,
            Trouble::NoService { why } => write!(
                f,
                "there is no {name} to use: {why}; an administrator of Beamdesk can correct \
                 clouds.yaml, or one of the cloud the catalog"
            )?,
            Trouble::Versions { has, needs, knows } => write!(
                f,
                "the {name} has {has}, but one of {needs} to {knows} is needed; an administrator \
                 of the cloud can upgrade it (Zed or later)"
            )?,
            Trouble::Pages(why) => write!(f, "a list of the {name} has no end ({why})")?,
            Trouble::Access(error) => write!(f, "{error}")?,
            Trouble::Question(why) => write!(f, "the question cannot be written down ({why})")?,
        }
        if let Some(status) = status {
            write!(f, " [{status}")?;
            if let Some(code) = &said.code {
                write!(f, " {code}")?;
            }
            write!(f, "]")?;
        }
        if !said.message.is_empty() {
            write!(f, ": {}", said.message)?;
        }
        if !call.is_empty() {
            write!(f, " ({call})")?;
        }
        Ok(())
    }
}

impl std::error::Error for ApiError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match &self.0.trouble {
            Trouble::Access(error) => error.source(),
            _other => None,
        }
    }
}

/// What holds wherever a call is made; who knows more of what was asked says it better.
impl From<ApiError> for CloudError {
    fn from(error: ApiError) -> Self {
        let request = error.request_id().cloned();
        if error.is_quota() {
            return Self::Quota { what: quota_of(error.message()), request };
        }
        match error.trouble() {
            Trouble::Credentials(_) | Trouble::Access(_) => {
                Self::Credentials { text: error.to_string(), request }
            }
            // A conflict is with how things are now: later, the same words may do.
            Trouble::Refused | Trouble::Question(_)
                if error.outcome() == Outcome::NotDone && !error.is_conflict() =>
            {
                Self::Refused { text: error.to_string(), request }
            }
            Trouble::Unreachable(_)
            | Trouble::Cut(_)
            | Trouble::Slow(_)
            | Trouble::Busy
            | Trouble::Broken
            | Trouble::Refused
            | Trouble::Garbage(_)
            | Trouble::TooLong
            | Trouble::Redirected
            | Trouble::NoService { .. }
            | Trouble::Versions { .. }
            | Trouble::Pages(_)
            | Trouble::Question(_) => Self::Unavailable {
                retry_after: error.retry_after(),
                source: Box::new(error),
                request,
            },
        }
    }
}

/// Which of our resources the words speak of: *Quota exceeded for cores, instances, ram: …*.
pub(super) fn quota_of(message: &str) -> String {
    let known = [
        "instances",
        "cores",
        "ram",
        "ports",
        "security_group_rule",
        "security_group",
        "volumes",
        "gigabytes",
        "key_pairs",
        "server_groups",
        "floatingip",
        "port",
    ];
    let words: Vec<&str> =
        message.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').collect();
    let found: Vec<&str> = known.into_iter().filter(|name| words.contains(name)).collect();
    if found.is_empty() { "the project".to_owned() } else { found.join(", ") }
}

#[cfg(test)]
mod tests {
    use super::{ApiError, Outcome, Trouble, quota_of};
    use crate::{
        CloudError, RequestId,
        openstack::{Service, answer::Said},
    };

    fn refused(status: u16, code: Option<&str>, message: &str) -> ApiError {
        let said = Said { code: code.map(str::to_owned), message: message.to_owned() };
        ApiError::new(Trouble::Refused)
            .of(Service::Compute)
            .answered(status, RequestId::parse("req-7"), said)
            .call("POST /servers".to_owned(), RequestId::parse("req-8").unwrap())
    }

    #[test]
    fn an_error_says_what_where_and_by_which_request() {
        let error = refused(409, Some("conflictingRequest"), "Port is in use");
        assert_eq!(
            error.to_string(),
            "the compute service refused [409 conflictingRequest]: Port is in use (POST /servers)"
        );
        assert_eq!(error.request(), Some("req-7"));
        let unanswered = ApiError::new(Trouble::Cut("reset".to_owned()))
            .call("GET /servers".to_owned(), RequestId::parse("req-8").unwrap());
        assert_eq!(unanswered.request(), Some("req-8"));
    }

    #[test]
    fn a_quota_is_told_from_a_policy_by_its_words() {
        let nova =
            refused(403, Some("forbidden"), "Quota exceeded for cores, instances: Requested 1");
        assert!(nova.is_quota());
        assert!(refused(409, Some("OverQuota"), "No more").is_quota());
        assert!(!refused(403, Some("forbidden"), "Policy doesn't allow it").is_quota());
        assert!(!refused(400, None, "quota").is_quota());
        let CloudError::Quota { what, request } = nova.into() else { panic!("no quota") };
        assert_eq!((what.as_str(), request.unwrap().as_str()), ("instances, cores", "req-7"));
        assert_eq!(quota_of("Quota exceeded"), "the project");
    }

    #[test]
    fn what_may_have_been_done_is_never_told_as_a_refusal() {
        let error = refused(409, None, "exists").outcome_is(Outcome::Unknown);
        assert!(matches!(error.into(), CloudError::Unavailable { .. }));
        assert!(matches!(refused(400, None, "bad").into(), CloudError::Refused { .. }));
        assert!(matches!(refused(409, None, "busy").into(), CloudError::Unavailable { .. }));
    }

    #[test]
    fn credentials_say_who_can_renew_them() {
        let error = ApiError::new(Trouble::Credentials("expired".to_owned())).of(Service::Identity);
        assert!(error.to_string().contains("administrator of Beamdesk"));
        assert!(matches!(error.into(), CloudError::Credentials { .. }));
    }
}
