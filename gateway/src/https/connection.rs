//! One connection of the HTTPS door: how it is served, how long it may stay, and how it ends.
//!
//! It names a peer only by its certificate. Some time before its end it says so: on HTTP/1.1 by
//! the header of its answers, on HTTP/2 by a GOAWAY; a client that follows loses no request.
//! Invariant: a connection whose identity has ended is cut within one check interval; one that is
//! merely told to end answers what it has read.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use identity::{PeerError, SvidError, UnixTime};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_rustls::server::TlsStream;

use super::activity::{Patience, Stalled, Watch, Watched};
use super::call::Caller;
use super::service::{Served, answer};
use crate::audit::{self, Event};
use crate::config::Config;
use crate::limits;
use crate::metrics::add;

/// When a connection announces its end, stops, and is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Schedule {
    announced: Instant,
    left: Instant,
    cut: Instant,
}

impl Schedule {
    /// Of a connection that begins at `now` and may live for `life`.
    fn new(now: Instant, life: Duration) -> Self {
        let notice = (life / 10).clamp(limits::NOTICE_MIN, limits::NOTICE_MAX).min(life / 2);
        let cut = now + life;
        // Who has not asked for most of the notice is told by the end itself.
        Self { announced: cut - notice, left: cut - notice / 4, cut }
    }
}

/// Ends the way into the ring with the connection, however that ends.
struct Closing(Caller);

impl Drop for Closing {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// Serves the connection until it ends, whoever ends it. `window` is what it may leave unread.
pub(super) async fn serve(
    served: Arc<Served>,
    stream: TlsStream<TcpStream>,
    remote: SocketAddr,
    window: usize,
) {
    let _closing = Closing(served.caller.clone());
    let metrics = Arc::clone(&served.door.desk.metrics);
    let io = TokioIo::new(Watched::new(stream, Arc::clone(&served.activity), metrics));
    let of_service = Arc::clone(&served);
    let service = service_fn(move |request| answer(Arc::clone(&of_service), request));
    let mut stay = Stay::new(served, remote);
    if stay.served.is_http1 {
        let connection = http1(window).serve_connection(io, service).with_upgrades();
        let has_ended = stay.drive(pin!(connection), |it| it.graceful_shutdown()).await;
        // Taken in any case: it holds the connection's request, and that the connection.
        if let Some(mut upgraded) = stay.served.upgraded().filter(|_| has_ended) {
            if stay.told.is_some() {
                upgraded.leaving.notify_one();
            }
            let leaving = Arc::clone(&upgraded.leaving);
            stay.drive(upgraded.task.as_mut(), |_| leaving.notify_one()).await;
        }
    } else {
        let connection = http2(window).serve_connection(io, service);
        stay.drive(pin!(connection), |it| it.graceful_shutdown()).await;
    }
}

fn http1(window: usize) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .half_close(false)
        .max_headers(limits::HTTP_HEADERS_MAX)
        .max_header_size(limits::HTTP_HEAD_SIZE_MAX)
        .max_buf_size(window.max(limits::HTTP_HEAD_SIZE_MAX))
        // Its time is kept by what the connection notes, without a timer for each request.
        .header_read_timeout(None);
    builder
}

fn http2(window: usize) -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let window = u32::try_from(window).unwrap_or(u32::MAX);
    let head_size = u32::try_from(limits::HTTP_HEAD_SIZE_MAX).unwrap_or(u32::MAX);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::HTTP2_STREAMS_MAX)
        .max_pending_accept_reset_streams(limits::HTTP2_RESETS_PENDING_MAX)
        .max_local_error_reset_streams(limits::HTTP2_RESETS_MAX)
        .max_header_list_size(head_size)
        .initial_connection_window_size(window)
        .initial_stream_window_size(window.min(limits::HTTP2_STREAM_WINDOW))
        .max_frame_size(limits::HTTP2_FRAME_SIZE_MAX)
        .max_send_buf_size(limits::HTTP2_SEND_BUFFER_SIZE)
        .keep_alive_interval(limits::KEEP_ALIVE)
        .keep_alive_timeout(limits::KEEP_ALIVE);
    builder
}

/// How long a connection may stay, and who judges.
struct Stay {
    served: Arc<Served>,
    remote: SocketAddr,
    schedule: Schedule,
    patience: Patience,
    watch: Watch,
    /// When it was told to end, after which it has little time to be idle.
    told: Option<Instant>,
}

/// What a look at the connection says.
enum Verdict {
    Stay,
    /// Answer what was read, and end.
    Leave,
    Cut,
    /// There is nothing left to look at.
    Ended,
}

impl Stay {
    fn new(served: Arc<Served>, remote: SocketAddr) -> Self {
        let config = &served.door.config;
        let now = config.clock.current_time().unwrap_or(UnixTime::since_unix_epoch(Duration::ZERO));
        let not_after = served.caller.peer().not_after().as_secs();
        let left = Duration::from_secs(not_after.saturating_sub(now.as_secs()));
        let schedule = Schedule::new(Instant::now(), left.min(config.connection_age_max));
        let patience = patience(config);
        Self { served, remote, schedule, patience, watch: Watch::default(), told: None }
    }

    /// Drives what is spoken on the connection, and has it `leave` in time; says whether it has
    /// ended by itself.
    async fn drive<C: Future + ?Sized>(
        &mut self,
        mut connection: Pin<&mut C>,
        leave: impl Fn(Pin<&mut C>),
    ) -> bool {
        let config = &self.served.door.config;
        let mut looks = interval(self.patience.pace().min(config.check_interval));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut closing = self.served.door.closing.clone();
        loop {
            let is_told = self.told.is_some();
            let verdict = {
                let mut closed = pin!(closing.wait_for(|is_closing| *is_closing));
                poll_fn(|cx| {
                    if connection.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Verdict::Ended);
                    }
                    if !is_told && closed.as_mut().poll(cx).is_ready() {
                        return Poll::Ready(Verdict::Leave);
                    }
                    looks.poll_tick(cx).map(|now| self.look(now))
                })
                .await
            };
            match verdict {
                Verdict::Stay => {}
                Verdict::Leave if self.told.is_none() => {
                    self.told = Some(Instant::now());
                    self.served.is_leaving.store(true, Ordering::Relaxed);
                    leave(connection.as_mut());
                }
                Verdict::Leave => {}
                Verdict::Ended => return true,
                Verdict::Cut => return false,
            }
        }
    }

    /// Looks at the identity, the clock and what was noted.
    fn look(&mut self, now: Instant) -> Verdict {
        if let Err(cause) = self.judge() {
            self.report(&cause);
            return Verdict::Cut;
        }
        if now >= self.schedule.cut {
            return Verdict::Cut;
        }
        let metrics = &self.served.door.desk.metrics;
        match self.served.activity.judge(&mut self.watch, &self.patience, now) {
            Some(Stalled::Head) => {
                add(&metrics.read_timeouts, 1);
                return Verdict::Cut;
            }
            Some(Stalled::Write | Stalled::Call) => {
                add(&metrics.write_timeouts, 1);
                return Verdict::Cut;
            }
            Some(Stalled::Farewell) => return Verdict::Cut,
            Some(Stalled::Idle) if self.told.is_none() => return Verdict::Leave,
            Some(Stalled::Idle) | None => {}
        }
        if self.told.is_some_and(|told| now >= told + limits::FAREWELL_TIMEOUT)
            && self.served.activity.is_idle()
        {
            return Verdict::Cut;
        }
        let is_http1 = self.served.is_http1;
        let leaves = if is_http1 { self.schedule.left } else { self.schedule.announced };
        if now >= leaves {
            return Verdict::Leave;
        }
        if now >= self.schedule.announced {
            self.served.is_leaving.store(true, Ordering::Relaxed);
        }
        Verdict::Stay
    }

    /// Whether the peer may stay; without a clock nobody may.
    fn judge(&self) -> Result<(), PeerError> {
        let door = &self.served.door;
        let now = door.config.clock.current_time();
        let now = now.ok_or(PeerError::Svid(SvidError::Expired))?;
        identity::still_valid(self.served.caller.peer(), &door.source.current(), now)
    }

    fn report(&self, cause: &PeerError) {
        add(&self.served.door.desk.metrics.identities_ended, 1);
        self.served.door.config.audit.note(Event::IdentityEnded {
            door: audit::Door::Https,
            remote: self.remote,
            spiffe_id: self.served.caller.peer().spiffe_id().to_string(),
            reason: cause.reason(),
            cause: cause.to_string(),
        });
    }
}

fn patience(config: &Config) -> Patience {
    Patience {
        head: config.header_timeout,
        idle: config.idle_timeout,
        write: config.write_timeout,
        call: config.call_timeout,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_is_announced_in_time() {
        let now = Instant::now();
        let hour = Schedule::new(now, Duration::from_secs(3_600));
        assert_eq!(hour.announced, now + Duration::from_secs(3_570));
        let minute = Schedule::new(now, Duration::from_secs(60));
        assert_eq!(minute.announced, now + Duration::from_secs(54));
        let short = Schedule::new(now, Duration::from_secs(2));
        assert_eq!(short.announced, now + Duration::from_secs(1));
        for schedule in [hour, minute, short, Schedule::new(now, Duration::ZERO)] {
            assert!(schedule.announced <= schedule.left && schedule.left <= schedule.cut);
        }
    }
}
