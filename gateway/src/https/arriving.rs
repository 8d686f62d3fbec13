//! The body of a request as a handler reads it: in time, and within the limits.
//!
//! It reads nothing ahead: what a handler does not read stays with the transport, whose window
//! stops the client. Invariant: every byte that was yielded is charged to its identity, and those
//! beyond a small body are counted in the receive budget until they are in an envelope or refused.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

use super::service::Served;
use crate::limits::{HTTP_BODY_FREE, HTTP_BODY_STEP};

/// Why a body did not arrive.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BodyFault {
    /// It took too long.
    #[error("the body did not arrive in time")]
    TimedOut,
    /// All clients together send more than the frame has room for.
    #[error("the frame has no room for the body now; send the request again")]
    NoRoom,
    /// The client or the connection broke off.
    #[error("the body broke off: {0}")]
    Broken(#[from] hyper::Error),
}

impl BodyFault {
    /// The fault inside an error of a body that a handler has read.
    pub(crate) fn of(error: &axum::Error) -> Option<&Self> {
        std::error::Error::source(error)?.downcast_ref()
    }
}

/// A body that is read in time.
pub(super) struct Arriving {
    body: Incoming,
    served: Arc<Served>,
    number: u64,
    arrived: usize,
    /// Bytes that were charged when the request was let in.
    charged: usize,
    counted: usize,
    timeout: Duration,
    /// Whether all of it was read.
    is_read: Arc<AtomicBool>,
    /// Begins when the body is first waited for.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl Arriving {
    pub(super) fn new(
        body: Incoming,
        served: Arc<Served>,
        number: u64,
        charged: usize,
        is_read: Arc<AtomicBool>,
    ) -> Self {
        let timeout = served.door.config.frame_timeout;
        Self {
            body,
            served,
            number,
            arrived: 0,
            charged,
            counted: HTTP_BODY_FREE,
            timeout,
            is_read,
            deadline: None,
        }
    }

    fn account(&mut self, bytes: usize) -> Result<(), BodyFault> {
        self.arrived += bytes;
        if self.arrived > self.charged {
            self.served.seat.charge(self.arrived - self.charged);
            self.charged = self.arrived;
        }
        if self.arrived > self.counted {
            let step = HTTP_BODY_STEP.max(self.arrived - self.counted);
            let budget = &self.served.door.budget;
            let principal = self.served.caller.peer().principal();
            let share = budget.take(principal, step).ok_or(BodyFault::NoRoom)?;
            self.counted += step;
            self.served.activity.keep(self.number, share);
        }
        Ok(())
    }
}

impl Body for Arriving {
    type Data = Bytes;
    type Error = BodyFault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFault>>> {
        let this = &mut *self;
        match Pin::new(&mut this.body).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.is_read.store(this.body.is_end_stream(), Ordering::Relaxed);
                Poll::Ready(Some(this.account(bytes).map(|()| frame)))
            }
            Poll::Ready(Some(Err(cause))) => Poll::Ready(Some(Err(cause.into()))),
            Poll::Ready(None) => {
                this.is_read.store(true, Ordering::Relaxed);
                Poll::Ready(None)
            }
            Poll::Pending => {
                let deadline = this.deadline.get_or_insert_with(|| Box::pin(sleep(this.timeout)));
                deadline.as_mut().poll(cx).map(|()| Some(Err(BodyFault::TimedOut)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
