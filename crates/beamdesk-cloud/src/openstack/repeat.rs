//! Tries a call until it is answered, refused, or out of time.

use std::{future::Future, time::Duration};

use tokio::time::{Instant, sleep};
use tracing::debug;

use super::{
    ApiError, Outcome, Service, Trouble,
    answer::{Said, request_id},
    http::{Answer, Missed},
    retry::{self, Failure, Kind, judge},
};
use crate::RequestId;

/// How long, how often.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Over all tries.
    pub(super) until: Instant,
    pub(super) one: Duration,
    pub(super) tries: u32,
}

/// What is asked, for judging and for telling.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) kind: Kind,
    pub(super) service: Service,
    /// `GET /servers/detail`
    pub(super) call: String,
    pub(super) request: RequestId,
    pub(super) limits: Limits,
}

/// Makes one try.
pub(super) trait Try: Send {
    /// Within `limit`. An error of its own ends all tries.
    fn once(
        &mut self,
        limit: Duration,
    ) -> impl Future<Output = Result<Result<Answer, Missed>, ApiError>> + Send;
}

/// `read` takes the answer in, or says why it is not what the service should say: that counts as a
/// failed try.
pub(super) async fn repeat(
    plan: Plan,
    mut one: impl Try,
    read: &mut (dyn FnMut(&Answer) -> Result<(), String> + Send),
) -> Result<Answer, ApiError> {
    let Plan { kind, service, call, request, limits } = plan;
    let mut outcome = Outcome::NotDone;
    let mut tries = 0;
    loop {
        tries += 1;
        let began = Instant::now();
        let limit = limits.one.min(limits.until.saturating_duration_since(began));
        let told = |error: ApiError| error.of(service).call(call.clone(), request.clone());
        let seen = match one.once(limit).await {
            Ok(seen) => seen,
            Err(error) => {
                let outcome = worse(outcome, error.outcome());
                return Err(told(error).outcome_is(outcome));
            }
        };
        let (failure, error) = match seen {
            Ok(answer) if (200..300).contains(&answer.status) => match read(&answer) {
                Ok(()) => return Ok(answer),
                Err(why) => {
                    let error = ApiError::new(Trouble::Garbage(why));
                    let said = Said::default();
                    (Failure::Garbage, error.answered(answer.status, id(&answer), said))
                }
            },
            Ok(answer) => refusal(&answer),
            Err(missed) => unanswered(missed),
        };
        let verdict = judge(kind, failure);
        outcome = worse(outcome, verdict.outcome);
        let error = told(error).outcome_is(outcome).wait(verdict.wait);
        let left = limits.until.saturating_duration_since(Instant::now());
        let chance = getrandom::u64().unwrap_or_default();
        let pause = retry::pause(tries, verdict.wait, left, chance);
        debug!(call, %service, tries, %error, request.id = %request,
            duration_ms = began.elapsed().as_millis(), again = verdict.again, "A try failed");
        match pause {
            Some(pause) if verdict.again && tries < limits.tries => sleep(pause).await,
            Some(_) | None => return Err(error),
        }
    }
}

/// Once something may have been done, no later refusal undoes it.
fn worse(before: Outcome, now: Outcome) -> Outcome {
    if before == Outcome::Unknown { before } else { now }
}

fn unanswered(missed: Missed) -> (Failure, ApiError) {
    let (failure, trouble) = match missed {
        Missed::Unsent(why) => (Failure::Unsent, Trouble::Unreachable(why)),
        Missed::Cut(why) => (Failure::Lost, Trouble::Cut(why)),
        Missed::Slow(limit) => (Failure::Lost, Trouble::Slow(limit)),
        Missed::TooLong => (Failure::TooLong, Trouble::TooLong),
    };
    (failure, ApiError::new(trouble))
}

fn refusal(answer: &Answer) -> (Failure, ApiError) {
    let status = answer.status;
    let header = answer.headers.get("retry-after");
    let retry_after = header.and_then(|value| retry::retry_after(value.to_str().ok()?));
    let trouble = match status {
        413 if retry_after.is_some_and(|wait| !wait.is_zero()) => Trouble::Busy,
        408 | 425 | 429 | 503 => Trouble::Busy,
        500.. => Trouble::Broken,
        400.. => Trouble::Refused,
        _ => Trouble::Redirected,
    };
    let error = ApiError::new(trouble).answered(status, id(answer), Said::read(&answer.body));
    (Failure::Status { status, retry_after }, error)
}

fn id(answer: &Answer) -> Option<RequestId> {
    request_id(&answer.headers)
}
