//! What happens on one connection, noted by whoever sees it and judged from time to time.
//!
//! No request sets a timer for it: the connection's own task looks a few times in each limit, and
//! so a limit is met within a quarter of it. It ends nothing itself. Invariant: a call is noted
//! from before its handler runs until its answer was handed to the transport.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::{fmt, io};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::budget::Share;
use crate::limits::{DISCARD_SIZE_MAX, FAREWELL_TIMEOUT, HTTP_HEAD_SIZE_MAX};
use crate::metrics::{Metrics, add};

/// How long each thing may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// The head of a request, once begun.
    pub(super) head: Duration,
    /// Between requests.
    pub(super) idle: Duration,
    /// Without progress of an answer.
    pub(super) write: Duration,
    /// A request and its answer altogether.
    pub(super) call: Duration,
}

impl Patience {
    /// How often to look, so that each limit is met within a quarter of it.
    pub(super) fn pace(&self) -> Duration {
        let shortest = self.head.min(self.idle).min(self.write).min(self.call);
        (shortest / 4).max(Duration::from_millis(5))
    }
}

/// What is wrong with a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stalled {
    /// A head was begun and not finished.
    Head,
    /// Nothing was asked for a long time.
    Idle,
    /// The client does not take its answers.
    Write,
    /// A request and its answer take too long.
    Call,
    /// The client does not close its side after this one did.
    Farewell,
}

/// What was noted.
pub(super) struct Activity {
    /// Heads are bytes of their own only there.
    is_http1: bool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    calls: Vec<Call>,
    /// Calls that have ended.
    ended: u64,
    read: u64,
    /// What had been read when the last call ended.
    read_before: u64,
    written: u64,
    /// The transport takes nothing now.
    is_blocked: bool,
    /// This side has said that it closes.
    is_shut: bool,
    /// What was read since the last call ended: a head, and perhaps the beginning of a body.
    head: Vec<u8>,
}

struct Call {
    number: u64,
    /// Units of replies.
    owed: usize,
    /// Room that its body takes.
    shares: Vec<Share>,
    begun: Option<Instant>,
    /// Its answer has no end.
    stays: bool,
}

/// When what was noted last time began.
#[derive(Debug, Default)]
pub(super) struct Watch {
    head: Option<Instant>,
    idle: Option<(u64, Instant)>,
    blocked: Option<(u64, Instant)>,
    shut: Option<Instant>,
}

impl Activity {
    pub(super) fn new(is_http1: bool) -> Arc<Self> {
        Arc::new(Self { is_http1, state: Mutex::default() })
    }

    /// A call begins.
    pub(super) fn begin(&self, number: u64) {
        let mut state = self.state();
        state.head.clear();
        state.calls.push(Call { number, owed: 0, shares: Vec::new(), begun: None, stays: false });
    }

    /// A call has ended; says what it was owed.
    pub(super) fn end(&self, number: u64) -> usize {
        let mut state = self.state();
        let Some(place) = state.calls.iter().position(|call| call.number == number) else {
            return 0;
        };
        let call = state.calls.swap_remove(place);
        state.ended += 1;
        state.read_before = state.read;
        call.owed
    }

    /// Notes what a call is owed; false when it has ended.
    pub(super) fn owe(&self, number: u64, units: usize) -> bool {
        let mut state = self.state();
        let call = state.calls.iter_mut().find(|call| call.number == number);
        call.map(|call| call.owed += units).is_some()
    }

    /// The answer to a call has no end, and so no time to come to it.
    pub(super) fn stay(&self, number: u64) {
        let mut state = self.state();
        if let Some(call) = state.calls.iter_mut().find(|call| call.number == number) {
            call.stays = true;
        }
    }

    /// Keeps room for the body of a call until [`Self::free`], at most until the call ends.
    pub(super) fn keep(&self, number: u64, share: Share) {
        let mut state = self.state();
        if let Some(call) = state.calls.iter_mut().find(|call| call.number == number) {
            call.shares.push(share);
        }
    }

    /// The body of a call is kept no longer.
    pub(super) fn free(&self, number: u64) {
        let mut state = self.state();
        let call = state.calls.iter_mut().find(|call| call.number == number);
        let shares = call.map(|call| std::mem::take(&mut call.shares));
        drop(state);
        drop(shares);
    }

    /// Whether the head that was just read says both how long its body is and that it comes in
    /// chunks, or cannot be told from others: hyper drops the length, so it is looked for here.
    pub(super) fn is_head_ambiguous(&self) -> bool {
        let state = self.state();
        // Before a request the parser passes over empty lines.
        let is_blank = |byte: &&u8| matches!(**byte, b'\r' | b'\n');
        let blank = state.head.iter().take_while(is_blank).count();
        let head = &state.head[blank..];
        let Some(end) = head.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
            return true;
        };
        let mut lines = head[..end].split(|&byte| byte == b'\n').skip(1);
        let mut names = lines.by_ref().map(|line| line.split(|&byte| byte == b':').next());
        let is_length = |name: Option<&[u8]>| {
            name.is_some_and(|name| name.trim_ascii().eq_ignore_ascii_case(b"content-length"))
        };
        names.any(is_length)
    }

    /// Whether no call is under way.
    pub(super) fn is_idle(&self) -> bool {
        self.state().calls.is_empty()
    }

    /// Looks whether anything takes too long.
    pub(super) fn judge(
        &self,
        watch: &mut Watch,
        patience: &Patience,
        now: Instant,
    ) -> Option<Stalled> {
        let mut state = self.state();
        let has_passed = |since: Instant, limit| now.saturating_duration_since(since) >= limit;
        if state.is_shut && has_passed(*watch.shut.get_or_insert(now), FAREWELL_TIMEOUT) {
            return Some(Stalled::Farewell);
        }
        watch.blocked = match watch.blocked {
            Some((written, since)) if state.is_blocked && written == state.written => {
                if has_passed(since, patience.write) {
                    return Some(Stalled::Write);
                }
                Some((written, since))
            }
            _ if state.is_blocked => Some((state.written, now)),
            _ => None,
        };
        for call in &mut state.calls {
            if !call.stays && has_passed(*call.begun.get_or_insert(now), patience.call) {
                return Some(Stalled::Call);
            }
        }
        if !state.calls.is_empty() {
            (watch.head, watch.idle) = (None, None);
            return None;
        }
        if self.is_http1 && state.read > state.read_before {
            if has_passed(*watch.head.get_or_insert(now), patience.head) {
                return Some(Stalled::Head);
            }
        } else {
            watch.head = None;
        }
        let ended = state.ended;
        let (_, since) = *watch.idle.insert(match watch.idle {
            Some(idle) if idle.0 == ended => idle,
            _ => (ended, now),
        });
        has_passed(since, patience.idle).then_some(Stalled::Idle)
    }

    fn read(&self, bytes: &[u8]) {
        let mut state = self.state();
        state.read += bytes.len() as u64;
        if self.is_http1 && state.calls.is_empty() {
            let room = HTTP_HEAD_SIZE_MAX.saturating_sub(state.head.len());
            state.head.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }

    fn wrote(&self, count: usize) {
        let mut state = self.state();
        state.written += count as u64;
        state.is_blocked = false;
    }

    fn block(&self) {
        self.state().is_blocked = true;
    }

    fn shut(&self) {
        self.state().is_shut = true;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Activity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Activity").finish_non_exhaustive()
    }
}

/// A transport that notes what passes through it.
pub(super) struct Watched<T> {
    transport: T,
    activity: Arc<Activity>,
    metrics: Arc<Metrics>,
    is_shut: bool,
    /// Bytes that may still be thrown away before the end.
    discards: usize,
}

impl<T> Watched<T> {
    pub(super) fn new(transport: T, activity: Arc<Activity>, metrics: Arc<Metrics>) -> Self {
        Self { transport, activity, metrics, is_shut: false, discards: DISCARD_SIZE_MAX }
    }

    fn note_written(&self, polled: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &polled {
            Poll::Ready(Ok(count)) => {
                add(&self.metrics.bytes_out, *count);
                self.activity.wrote(*count);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.block(),
        }
        polled
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Watched<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.transport).poll_read(cx, buf))?;
        let bytes = buf.filled().get(before..).unwrap_or_default();
        add(&self.metrics.bytes_in, bytes.len());
        self.activity.read(bytes);
        Poll::Ready(Ok(()))
    }
}

impl<T: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.transport).poll_write(cx, buf);
        self.note_written(polled)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = Pin::new(&mut self.transport).poll_write_vectored(cx, bufs);
        self.note_written(polled)
    }

    fn is_write_vectored(&self) -> bool {
        self.transport.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.transport).poll_flush(cx);
        match polled {
            Poll::Ready(Ok(())) => self.activity.wrote(0),
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.activity.block(),
        }
        polled
    }

    /// Says goodbye, and then waits a little for the client to do the same: a socket that is
    /// closed with bytes unread takes back what the client has not read either.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if !this.is_shut {
            this.activity.shut();
            ready!(Pin::new(&mut this.transport).poll_shutdown(cx))?;
            this.is_shut = true;
        }
        let mut scratch = [0; 4_096];
        while this.discards > 0 {
            let mut bytes = ReadBuf::new(&mut scratch);
            // Gone is as good as closed.
            let read = ready!(Pin::new(&mut this.transport).poll_read(cx, &mut bytes));
            if read.is_err() || bytes.filled().is_empty() {
                break;
            }
            this.discards = this.discards.saturating_sub(bytes.filled().len());
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[path = "activity_test.rs"]
mod tests;
