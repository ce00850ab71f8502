//! A leadership as this process may rely on it: until when it surely holds, by the one clock that
//! nobody can set.
//!
//! The database decides who leads, and refuses what an earlier leader writes. A cloud refuses
//! nothing: so tasks are polled only while the tenure surely holds. A process that was stopped for a
//! minute finds its tasks ended before they do another step.

use std::{
    future::poll_fn,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How long a leadership lasts in the database without being renewed: so long nobody acts after a
/// leader was killed.
pub(crate) const TTL: Duration = Duration::from_secs(6);
/// How often it is renewed.
pub(crate) const RENEW: Duration = Duration::from_millis(1500);
/// For how long after it was asked for it may be relied on: shorter than [`TTL`], so that a call
/// that is just going out is over before another portal begins.
pub(crate) const SURE: Duration = Duration::from_millis(4500);

/// Cheap to clone; clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct Tenure {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    epoch: i64,
    until: Mutex<Instant>,
    over: CancellationToken,
}

impl Tenure {
    /// Of a leadership that was asked for at `asked`, and granted.
    pub(crate) fn new(epoch: i64, asked: Instant) -> Self {
        let until = Mutex::new(asked + SURE);
        Self { inner: Arc::new(Inner { epoch, until, over: CancellationToken::new() }) }
    }

    pub(crate) fn epoch(&self) -> i64 {
        self.inner.epoch
    }

    /// Until when it surely holds.
    pub(crate) fn until(&self) -> Instant {
        *self.inner.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It was renewed, on a question of `asked`. One that was over stays so.
    pub(crate) fn renewed(&self, asked: Instant) {
        *self.inner.until.lock().unwrap_or_else(PoisonError::into_inner) = asked + SURE;
    }

    pub(crate) fn is_sure(&self, now: Instant) -> bool {
        !self.inner.over.is_cancelled() && now < self.until()
    }

    /// For good.
    pub(crate) fn end(&self) {
        self.inner.over.cancel();
    }

    /// Does it as long as the tenure surely holds, which is looked at before each step. `None`: it
    /// ended before, and the rest of it is never done.
    pub(crate) async fn guarded<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let mut over = pin!(self.inner.over.cancelled());
        poll_fn(|context| {
            if !self.is_sure(Instant::now()) {
                self.end();
            }
            if over.as_mut().poll(context).is_ready() {
                return Poll::Ready(None);
            }
            future.as_mut().poll(context).map(Some)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::atomic::{AtomicU32, Ordering},
        time::Duration,
    };

    use tokio::time::{Instant, sleep, sleep_until};

    use super::{SURE, Tenure};

    /// One that is over after so long.
    fn ending_in(left: Duration) -> Tenure {
        Tenure::new(1, Instant::now() + left - SURE)
    }

    #[tokio::test]
    async fn nothing_is_done_once_the_tenure_may_be_over() {
        let tenure = ending_in(Duration::from_millis(100));
        let late = AtomicU32::new(0);
        let work = async {
            loop {
                sleep(Duration::from_millis(1)).await;
                late.fetch_add(u32::from(Instant::now() >= tenure.until()), Ordering::Relaxed);
            }
        };
        assert_eq!(tenure.guarded(work).await, None::<()>);
        assert!(Instant::now() >= tenure.until(), "it is used to its end");
        // The clock may go on between the look at it and the step.
        assert!(late.load(Ordering::Relaxed) <= 1);
    }

    #[tokio::test]
    async fn who_slept_does_not_do_the_step_it_was_about_to_do() {
        let tenure = ending_in(Duration::from_millis(50));
        let done = AtomicU32::new(0);
        let (answer, answered) = tokio::sync::oneshot::channel::<()>();
        let work = async {
            // The cloud's answer to the first of two calls comes while the process is stopped.
            answered.await.unwrap();
            done.fetch_add(1, Ordering::Relaxed);
        };
        let asleep = async {
            sleep_until(tenure.until()).await;
            answer.send(()).unwrap();
        };
        let (outcome, ()) = tokio::join!(tenure.guarded(work), asleep);
        assert_eq!((outcome, done.load(Ordering::Relaxed)), (None, 0));
    }

    #[tokio::test]
    async fn a_renewed_tenure_holds_on_and_an_ended_one_does_not_come_back() {
        let tenure = ending_in(Duration::ZERO);
        assert!(!tenure.is_sure(Instant::now()));
        tenure.renewed(Instant::now());
        assert_eq!(tenure.guarded(async { 7 }).await, Some(7));
        tenure.renewed(Instant::now() - SURE);
        assert_eq!(tenure.guarded(async { 7 }).await, None);
        tenure.renewed(Instant::now());
        assert_eq!(tenure.guarded(async { 7 }).await, None);
    }
}
