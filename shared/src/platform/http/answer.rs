//! An answer on its way: it holds its request's place in flight until its body has ended, and a stream of HTTP/2 that
//! nobody reads ends within its limits.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::{Request, Response};
use tokio::time::{Instant, sleep_until};

use super::limits::Limits;
use super::places::Held;
use super::state::ConnectionState;

/// An answer with this extension is a stream with a time limit of its own. That its reader must take what it is given
/// (`Limits::write`) holds for it all the same.
#[derive(Debug, Clone, Copy)]
pub struct OwnTimeLimit;

/// A request with this extension must be answered 503 at once: too many are in flight.
#[derive(Debug, Clone, Copy)]
pub struct Overloaded;

/// The connection that a request came on, as an extension of the request.
#[derive(Clone)]
pub struct Peer(pub(super) Arc<ConnectionState>);

impl Peer {
    /// Counts a large answer against the memory for answers until its last byte is gone. None when that is used up.
    pub fn hold(&self, answer: Bytes) -> Option<Bytes> {
        self.0.place.hold(answer)
    }
}

/// A large body reaches hyper in pieces of this size, since a body that hyper has taken whole counts as ended. Pieces
/// share the memory of the whole.
const PIECE: usize = 16 * 1024;

tokio::task_local! {
    /// The clock of the HTTP/2 stream whose task this is.
    static CLOCK: Arc<AnswerClock>;
}

/// A request that is not answered to the end.
pub(super) struct Exchange {
    state: Arc<ConnectionState>,
    clock: Option<Arc<AnswerClock>>,
    _in_flight: Option<Held>,
}

impl Exchange {
    pub(super) fn begin<B>(state: &Arc<ConnectionState>, request: &mut Request<B>) -> Self {
        state.activity.request_began();
        let in_flight = state.place.enter();
        if in_flight.is_none() {
            request.extensions_mut().insert(Overloaded);
        }
        request.extensions_mut().insert(Peer(state.clone()));
        Self { state: state.clone(), clock: None, _in_flight: in_flight }
    }

    pub(super) async fn answer<B>(
        mut self,
        response: impl Future<Output = Response<B>>,
    ) -> Result<Response<AnswerBody<B>>, Infallible> {
        let response = response.await;
        self.clock = CLOCK.try_with(Arc::clone).ok();
        let limited = response.extensions().get::<OwnTimeLimit>().is_none();
        match &self.clock {
            Some(clock) => clock.began(limited),
            None if limited => self.state.activity.answer_began(),
            None => {}
        }
        Ok(response.map(|body| AnswerBody { body, rest: None, exchange: self }))
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.state.activity.request_ended();
    }
}

/// The body of an answer, and all that must live until it has ended.
pub struct AnswerBody<B> {
    body: B,
    /// What is left of a piece that was too large.
    rest: Option<Bytes>,
    exchange: Exchange,
}

impl<B: Body<Data = Bytes> + Unpin> Body for AnswerBody<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let this = self.get_mut();
        if let Some(clock) = &this.exchange.clock {
            clock.piece_taken();
        }
        let frame = match this.rest.take() {
            Some(rest) => Frame::data(rest),
            None => match ready!(Pin::new(&mut this.body).poll_frame(context)) {
                Some(Ok(frame)) => frame,
                end => return Poll::Ready(end),
            },
        };
        if let Some(clock) = &this.exchange.clock {
            clock.piece_given();
        }
        Poll::Ready(Some(Ok(match frame.into_data() {
            Ok(mut data) => {
                if data.len() > PIECE {
                    this.rest = Some(data.split_off(PIECE));
                }
                Frame::data(data)
            }
            Err(other) => other,
        })))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_none() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref().map_or(0, |rest| rest.len() as u64);
        let mut hint = SizeHint::new();
        hint.set_lower(self.body.size_hint().lower() + rest);
        if let Some(upper) = self.body.size_hint().upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}

/// How the answer on one stream of HTTP/2 proceeds. hyper does not poll a body for which the peer gave no window, so a
/// timer inside the body would never be asked: the task of the stream watches this instead.
#[derive(Default)]
pub(super) struct AnswerClock(Mutex<Progress>);

#[derive(Default)]
struct Progress {
    began: Option<Instant>,
    limited: bool,
    /// When the piece was given that the peer has not taken yet.
    given: Option<Instant>,
}

impl AnswerClock {
    fn began(&self, limited: bool) {
        let mut progress = self.lock();
        progress.began = Some(Instant::now());
        progress.limited = limited;
    }

    fn piece_given(&self) {
        self.lock().given = Some(Instant::now());
    }

    fn piece_taken(&self) {
        self.lock().given = None;
    }

    /// None: there is no limit now. One arises when the answer begins or its body is polled.
    fn deadline(&self, limits: &Limits) -> Option<Instant> {
        let progress = self.lock();
        let answer = progress.began.filter(|_| progress.limited).map(|began| began + limits.answer);
        let write = progress.given.map(|given| given + limits.write);
        [answer, write].into_iter().flatten().min()
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Spawns the streams of an HTTP/2 connection. A stream that is dropped before its end is reset.
#[derive(Clone)]
pub(super) struct Streams(pub(super) Arc<ConnectionState>);

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Streams {
    fn execute(&self, stream: F) {
        let (clock, limits) = (Arc::new(AnswerClock::default()), self.0.limits);
        tokio::spawn(CLOCK.scope(clock.clone(), within_limits(stream, clock, limits)));
    }
}

/// Most streams end in the first poll after their answer is ready, and then need no timer.
async fn within_limits(stream: impl Future<Output = ()>, clock: Arc<AnswerClock>, limits: Limits) {
    let mut stream = pin!(stream);
    let mut timer = pin!(None);
    std::future::poll_fn(|context| {
        if stream.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        // Only polls of the stream, which happen in this task, make a deadline come earlier.
        while let Some(deadline) = clock.deadline(&limits) {
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            if timer.as_ref().as_pin_ref().is_none_or(|timer: Pin<&tokio::time::Sleep>| timer.deadline() != deadline) {
                timer.set(Some(sleep_until(deadline)));
            }
            ready!(timer.as_mut().as_pin_mut().expect("it was just set").poll(context));
        }
        Poll::Pending
    })
    .await;
}
