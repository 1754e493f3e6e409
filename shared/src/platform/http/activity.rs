//! What happens on a connection, and when one of its limits passes because nothing does.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Instant, sleep_until};

use super::limits::Limits;

/// Why we end a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EndReason {
    Head,
    Idle,
    Lifetime,
    Answer,
    Write,
}

impl EndReason {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
            Self::Answer => "answer",
            Self::Write => "write",
        }
    }

    /// May the peer finish what it does? Not one that is broken or hostile.
    pub(super) fn is_graceful(self) -> bool {
        matches!(self, Self::Idle | Self::Lifetime)
    }
}

/// Shared by a connection's socket, its requests and the task that watches its limits.
pub(super) struct Activity(Mutex<State>);

struct State {
    born: Instant,
    /// Requests that are not answered to the end.
    open: u32,
    /// When the connection began to be without a request.
    quiet_since: Instant,
    /// When the head of the next request began.
    head_since: Option<Instant>,
    /// HTTP/1.1: when the head of the current answer was ready. Streams of HTTP/2 have a clock each.
    answer_since: Option<Instant>,
    /// HTTP/2: bytes that arrive need not belong to a request.
    multiplexed: bool,
    /// We have said that we close.
    closing: bool,
}

impl Activity {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Self(Mutex::new(State {
            born: now,
            open: 0,
            quiet_since: now,
            // The first request must come as soon as a head that has begun.
            head_since: Some(now),
            answer_since: None,
            multiplexed: false,
            closing: false,
        }))
    }

    pub(super) fn multiplexed(&self) {
        self.lock().multiplexed = true;
    }

    pub(super) fn received(&self) {
        let mut state = self.lock();
        if state.open == 0 && state.head_since.is_none() && !state.multiplexed {
            state.head_since = Some(Instant::now());
        }
    }

    pub(super) fn request_began(&self) {
        let mut state = self.lock();
        state.open += 1;
        state.head_since = None;
    }

    /// The head of the only answer that the connection has is ready, and its body has a time limit.
    pub(super) fn answer_began(&self) {
        self.lock().answer_since = Some(Instant::now());
    }

    pub(super) fn request_ended(&self) {
        let mut state = self.lock();
        state.open -= 1;
        state.answer_since = None;
        state.quiet_since = Instant::now();
    }

    /// From now on only the time to close counts, and that of answers.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closing = true;
        state.quiet_since = Instant::now();
    }

    /// Returns when a limit has passed.
    ///
    /// It does not follow each event. It sleeps until the next deadline, but never longer than the shortest limit, so
    /// that it cannot miss a deadline that arose meanwhile, and requests need no timer of their own.
    pub(super) async fn overdue(&self, limits: &Limits) -> EndReason {
        loop {
            let (reason, deadline, longest) = self.lock().next_deadline(limits);
            let now = Instant::now();
            if deadline <= now {
                return reason;
            }
            sleep_until(deadline.min(now + longest)).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The next limit that passes if nothing happens, and how long one may sleep without looking again.
    fn next_deadline(&self, limits: &Limits) -> (EndReason, Instant, std::time::Duration) {
        let longest = limits.head.min(limits.idle).min(limits.answer);
        let quiet = self.open == 0;
        let answer = self.answer_since.map(|since| (EndReason::Answer, since + limits.answer));
        if self.closing {
            let close = quiet.then(|| (EndReason::Idle, self.quiet_since + limits.close));
            let (reason, deadline) =
                close.or(answer).unwrap_or_else(|| (EndReason::Lifetime, Instant::now() + limits.answer));
            return (reason, deadline, longest.min(limits.close));
        }
        let lifetime = (EndReason::Lifetime, self.born + limits.lifetime);
        let (reason, deadline) = match self.head_since {
            Some(since) if quiet => (EndReason::Head, since + limits.head),
            None if quiet => (EndReason::Idle, self.quiet_since + limits.idle),
            _ => answer.unwrap_or(lifetime),
        };
        // A request may outlive the connection's lifetime; the connection then closes after it.
        if lifetime.1 < deadline { (lifetime.0, lifetime.1, longest) } else { (reason, deadline, longest) }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    /// Which limit passes, and after how many seconds.
    async fn ends(activity: &Activity) -> (EndReason, u64) {
        let start = Instant::now();
        let reason = activity.overdue(&Limits::default()).await;
        (reason, start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn each_kind_of_silence_has_its_limit() {
        let silent = Activity::new();
        assert_eq!(ends(&silent).await, (EndReason::Head, 30));

        let idle = Activity::new();
        idle.request_began();
        idle.request_ended();
        assert_eq!(ends(&idle).await, (EndReason::Idle, 60));
        idle.received(); // The next head begins, and does not end.
        assert_eq!(ends(&idle).await, (EndReason::Head, 30));
        idle.request_began();
        idle.answer_began();
        assert_eq!(ends(&idle).await, (EndReason::Answer, 60));

        let pings = Activity::new();
        pings.multiplexed();
        pings.request_began();
        pings.request_ended();
        pings.received();
        assert_eq!(ends(&pings).await, (EndReason::Idle, 60));

        let stream_of_events = Activity::new();
        stream_of_events.request_began(); // Its answer has a time limit of its own.
        assert_eq!(ends(&stream_of_events).await, (EndReason::Lifetime, 3600));
        stream_of_events.close();
        stream_of_events.request_ended();
        assert_eq!(ends(&stream_of_events).await, (EndReason::Idle, 5));
    }

    #[tokio::test(start_paused = true)]
    async fn requests_move_the_deadline() {
        let busy = Activity::new();
        let requests = async {
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(25)).await;
                busy.received();
                busy.request_began();
                busy.request_ended();
            }
        };
        let ((reason, seconds), ()) = tokio::join!(ends(&busy), requests);
        assert_eq!((reason, seconds), (EndReason::Idle, 250 + 60));
    }
}
