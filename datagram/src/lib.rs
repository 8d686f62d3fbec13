//! A UDP socket for QUIC that sends short packets together and reads no more often than it must.
//!
//! quinn's own socket calls the kernel once for each packet of each connection, and once more to
//! hear that nothing more has come. Requests and replies of a few hundred bytes then cost mostly
//! that. Here a short packet waits until every task that is ready has run; those of one length to
//! one address, of however many connections, then go to the kernel in one call (segmentation
//! offload), which carries them over loopback as one.
//!
//! It reads nothing of a packet, knows no connection and sets no timer: a packet goes out when the
//! runtime has run what is ready, or on a runtime that is not run meanwhile with the socket. Of one
//! connection, packets of different lengths may leave in another order, which QUIC takes for a few
//! lost ones at the worst. Invariant: a packet that was accepted is given to the kernel once or
//! lost as the network loses packets; whenever one waits, the sender has been woken; what waits is
//! bounded by the limits of this crate.

#![forbid(unsafe_code)]

mod queue;

use std::fmt;
use std::future::Future;
use std::io::{self, IoSliceMut};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use quinn::udp::{RecvMeta, Transmit, UdpSocketState};
use quinn::{AsyncUdpSocket, UdpPoller};
use tokio::io::Interest;
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::{AbortHandle, yield_now};

use crate::queue::Queue;

/// Longest packet that waits for others, in bytes: what every path of QUIC carries, so that no
/// group is too long for its path. Longer ones mostly come in groups already.
const SHORT_MAX: usize = 1_200;
/// Groups that wait at once: more peers than that, or lengths, are sent at once.
const GROUPS_MAX: usize = 8;
/// Bytes of one group: below the 64 KiB of the kernel's longest one.
const GROUP_SIZE_MAX: usize = 60_000;
/// The next packet sends what has waited longer, however much is ready to run: with long requests
/// a turn takes milliseconds.
const WAIT_MAX: Duration = Duration::from_micros(50);

/// Failures to receive, one after the other, that end the socket.
const FAILURES_MAX: u32 = 16;

/// The socket, for `quinn::Endpoint::new_with_abstract_socket`.
#[derive(Debug)]
pub struct Socket {
    shared: Arc<Shared>,
    sending: AbortHandle,
}

#[derive(Debug)]
struct Shared {
    io: UdpSocket,
    state: UdpSocketState,
    queue: Mutex<Queue>,
    /// Told when the first packet begins to wait.
    due: Notify,
    /// The kernel took no more, last time.
    is_blocked: AtomicBool,
}

impl Socket {
    /// Takes over a bound socket. Call it inside a tokio runtime, which runs the sender.
    ///
    /// # Errors
    ///
    /// When the kernel refuses an option that QUIC needs.
    pub fn new(socket: std::net::UdpSocket) -> io::Result<Arc<Self>> {
        let state = UdpSocketState::new((&socket).into())?;
        let shared = Arc::new(Shared {
            io: UdpSocket::from_std(socket)?,
            state,
            queue: Mutex::default(),
            due: Notify::new(),
            is_blocked: AtomicBool::new(false),
        });
        let sending = tokio::spawn(send_due(Arc::clone(&shared))).abort_handle();
        Ok(Arc::new(Self { shared, sending }))
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.sending.abort();
        // The last words of a connection; what the kernel does not take now is lost.
        let _ = self.shared.flush(&mut self.shared.queue());
    }
}

/// Sends what waits, whenever something does.
async fn send_due(shared: Arc<Shared>) {
    loop {
        shared.due.notified().await;
        // Whatever is ready to run may have more to send.
        yield_now().await;
        while shared.flush(&mut shared.queue()).is_err() {
            if shared.writable().await.is_err() {
                // The runtime ends.
                return;
            }
        }
    }
}

impl Shared {
    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn writable(&self) -> io::Result<()> {
        self.io.writable().await?;
        self.is_blocked.store(false, Ordering::Relaxed);
        Ok(())
    }

    /// Gives packets to the kernel; the only error is that it takes no more now.
    fn send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let sent =
            self.io.try_io(Interest::WRITABLE, || self.state.send((&self.io).into(), transmit));
        if sent.is_err() {
            self.is_blocked.store(true, Ordering::Relaxed);
        }
        sent
    }

    fn flush(&self, queue: &mut Queue) -> io::Result<()> {
        while let Some(transmit) = queue.first() {
            self.send(&transmit)?;
            queue.remove_first();
        }
        Ok(())
    }
}

impl AsyncUdpSocket for Socket {
    fn create_io_poller(self: Arc<Self>) -> Pin<Box<dyn UdpPoller>> {
        Box::pin(Poller { shared: Arc::clone(&self.shared), writable: None })
    }

    fn try_send(&self, transmit: &Transmit<'_>) -> io::Result<()> {
        let shared = &*self.shared;
        let segments_max = shared.state.max_gso_segments();
        let len = transmit.contents.len();
        let is_short = transmit.segment_size.is_none() && (1..=SHORT_MAX).contains(&len);
        let mut queue = shared.queue();
        if !is_short || segments_max == 1 {
            // What its connection sent before does not come after it.
            shared.flush(&mut queue)?;
            drop(queue);
            return shared.send(transmit);
        }
        if !queue.has_room(transmit, segments_max) {
            shared.flush(&mut queue)?;
        }
        let was_empty = queue.is_empty();
        queue.push(transmit, segments_max);
        if was_empty {
            queue.since = Instant::now();
            drop(queue);
            shared.due.notify_one();
        } else if queue.since.elapsed() > WAIT_MAX {
            // What the kernel does not take now, the sender sends when it does.
            let _ = shared.flush(&mut queue);
        }
        Ok(())
    }

    fn poll_recv(
        &self,
        context: &mut Context<'_>,
        buffers: &mut [IoSliceMut<'_>],
        meta: &mut [RecvMeta],
    ) -> Poll<io::Result<usize>> {
        let Shared { io, state, .. } = &*self.shared;
        let mut failures = 0;
        loop {
            ready!(io.poll_recv_ready(context))?;
            let mut count = 0;
            let received = io.try_io(Interest::READABLE, || {
                count = state.recv(io.into(), buffers, meta)?;
                // Fewer than there was room for: nothing more is there, which the runtime is told
                // as a call that found nothing would tell it.
                if count < buffers.len() { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(()) }
            });
            match received {
                _ if count > 0 => return Poll::Ready(Ok(count)),
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => {
                    // One that passes must not end every connection.
                    failures += 1;
                    if failures >= FAILURES_MAX {
                        return Poll::Ready(Err(error));
                    }
                }
                _ => {}
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.shared.io.local_addr()
    }

    fn max_transmit_segments(&self) -> usize {
        self.shared.state.max_gso_segments()
    }

    fn max_receive_segments(&self) -> usize {
        self.shared.state.gro_segments()
    }

    fn may_fragment(&self) -> bool {
        self.shared.state.may_fragment()
    }
}

type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send + Sync>>;

/// Waits for one connection until the kernel takes packets again.
struct Poller {
    shared: Arc<Shared>,
    writable: Option<Writable>,
}

impl UdpPoller for Poller {
    fn poll_writable(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.shared.is_blocked.load(Ordering::Relaxed) {
            return Poll::Ready(Ok(()));
        }
        let shared = Arc::clone(&self.shared);
        let writable =
            self.writable.get_or_insert_with(|| Box::pin(async move { shared.writable().await }));
        let result = ready!(writable.as_mut().poll(context));
        self.writable = None;
        Poll::Ready(result)
    }
}

impl fmt::Debug for Poller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poller").finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "socket_test.rs"]
mod tests;
