//! The HTTPS door: socket, TLS, who is let in, and what is served behind it.
//!
//! Only this file and its folder know HTTP. It looks at no header to learn who asks, accepts no
//! early data and no resumed session, and upgrades to nothing but feeds. Invariant: nothing of a
//! peer is read before its certificate was judged.

mod activity;
pub(crate) mod api;
mod arriving;
mod batches;
pub(crate) mod call;
mod connection;
mod console;
mod handshakes;
mod service;
mod traced;
mod upgrade;

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::post;
use identity::Source;
use rustls::Error as TlsError;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::admission::{Applicant, Opened, Refused};
use crate::audit::{self, Auditor};
use crate::budget::Budget;
use crate::config::Config;
use crate::desk::Desk;
use crate::identify::Identified;
use crate::limiter::Limiter;
use crate::limits;
use crate::metrics::{Metrics, add};
use crate::quic::window_of;
use activity::Activity;
use call::Caller;
pub use console::BASE_STYLE;
use handshakes::Handshake;
pub(crate) use handshakes::Handshakes;
use service::Served;
pub(crate) use traced::Templates;

/// The application protocols.
const HTTP_2: &[u8] = b"h2";
const HTTP_1_1: &[u8] = b"http/1.1";

/// Everything that accepting a connection needs.
pub(crate) struct Door {
    pub(crate) config: Config,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) workers: u16,
    pub(crate) first_worker: u16,
    pub(crate) closing: watch::Receiver<bool>,
    pub(crate) identified: Arc<Identified>,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) tls: TlsAcceptor,
    pub(crate) router: Router,
    pub(crate) templates: Templates,
    pub(crate) handshakes: Arc<Handshakes>,
    pub(crate) next_connection: AtomicU64,
    pub(crate) requests: AtomicU64,
}

/// Everything that the door serves. Handlers find the [`Caller`] in an extension.
pub(crate) fn router() -> Router {
    Router::new()
        .route("/v1/batches", post(batches::post))
        .merge(api::router())
        .merge(console::router())
        .fallback(api::no_route)
        .method_not_allowed_fallback(api::no_method)
}

/// The paths of everything that the door serves.
pub(crate) fn templates() -> Templates {
    Templates::new(api::paths().chain(console::PATHS))
}

/// How the door speaks TLS.
pub(crate) fn tls<S: Source + 'static>(config: &Config, source: &Arc<S>) -> TlsAcceptor {
    let clock = Arc::clone(&config.clock);
    let alpn = [HTTP_2, HTTP_1_1];
    let tls = identity::server_config_at(source, config.patterns.clone(), &alpn, clock);
    TlsAcceptor::from(Arc::new(tls))
}

/// Opens the socket.
pub(crate) fn open(addr: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a frame before this one may still be on their way out.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&addr.into())?;
    socket.listen(limits::BACKLOG)?;
    let listener = TcpListener::from_std(socket.into())?;
    let addr = listener.local_addr()?;
    Ok((listener, addr))
}

/// Accepts connections until the door closes, and then waits for the open ones.
pub(crate) async fn accept(door: Arc<Door>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    let mut closing = door.closing.clone();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((socket, remote)) => {
                    if door.sift() {
                        let handshake = door.handshakes.begin(remote);
                        connections.spawn(Arc::clone(&door).admit(socket, remote, handshake));
                    }
                }
                Err(cause) => {
                    tracing::warn!("the HTTPS door cannot accept: {cause}");
                    sleep(limits::ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = closed(&mut closing) => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

impl Door {
    /// Whether there is room for one more, before anything is spent on it.
    fn sift(&self) -> bool {
        let is_full = self.limiter.is_full();
        if is_full {
            add(&self.desk.metrics.refused_limit, 1);
        }
        !is_full
    }

    /// Takes a connection from its first byte to its end.
    async fn admit(
        self: Arc<Self>,
        socket: TcpStream,
        remote: SocketAddr,
        mut handshake: Handshake,
    ) {
        // Answers are small and written whole: nothing is gained by waiting for more.
        let _ = socket.set_nodelay(true);
        let mut closing = self.closing.clone();
        let applicant = self.applicant(remote);
        let shaken = tokio::select! {
            shaken = timeout(self.config.handshake_timeout, self.tls.accept(socket)) => shaken,
            () = handshake.crowded_out() => {
                applicant.turn_away("too many handshakes");
                return;
            }
            () = closed(&mut closing) => return,
        };
        drop(handshake);
        match shaken {
            Ok(Ok(stream)) => {
                // An error is a refusal, which is told already.
                let _ = self.welcome(stream, applicant).await;
            }
            Ok(Err(cause)) => {
                let (counter, reason) = verdict(&self.desk.metrics, &cause);
                applicant.refuse(counter, reason, &cause);
            }
            Err(_) => {
                applicant.too_slow();
            }
        }
    }

    fn applicant(&self, remote: SocketAddr) -> Applicant<'_> {
        let (config, desk) = (&self.config, &self.desk);
        Applicant { door: audit::Door::Https, remote, config, desk }
    }

    async fn welcome(
        self: &Arc<Self>,
        stream: TlsStream<TcpStream>,
        applicant: Applicant<'_>,
    ) -> Result<(), Refused> {
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let peer = applicant.peer(chain, &*self.source)?;
        let is_http1 = stream.get_ref().1.alpn_protocol() != Some(HTTP_2);
        let seat = applicant.seat(&self.limiter, &peer)?;
        let wanted = if is_http1 {
            u32::try_from(limits::HTTP1_BUFFER_SIZE).unwrap_or(u32::MAX)
        } else {
            window_of(peer.principal().role)
        };
        let window = applicant.window(&self.budget, wanted)?;
        let number = self.next_connection.fetch_add(1, Ordering::Relaxed);
        let turn = u16::try_from(number % u64::from(self.workers)).unwrap_or(0);
        let place = (number, self.first_worker + turn);
        let activity = Activity::new(is_http1);
        let auditor = Auditor::new(Arc::clone(&self.config.audit), Arc::clone(&self.identified));
        let with = (auditor, seat.history());
        let caller = Caller::new(&self.desk, &self.identified, peer, place, &activity, with);
        // Without a way into the ring the frame is ending.
        let Some(caller) = caller else {
            return Ok(());
        };
        let _opened = Opened::count(&self.desk.metrics, applicant.door);
        let served = Arc::new(Served {
            door: Arc::clone(self),
            caller,
            seat,
            activity,
            is_http1,
            is_leaving: AtomicBool::new(false),
            upgraded: Mutex::default(),
        });
        connection::serve(served, stream, applicant.remote, window.bytes()).await;
        Ok(())
    }
}

/// How a failed handshake is counted, and what it is called.
fn verdict<'a>(metrics: &'a Metrics, cause: &io::Error) -> (&'a AtomicU64, &'static str) {
    let tls = cause.get_ref().and_then(|cause| cause.downcast_ref::<TlsError>());
    match tls {
        Some(TlsError::NoCertificatesPresented) => {
            (&metrics.refused_no_certificate, "no_certificate")
        }
        Some(TlsError::NoApplicationProtocol) => (&metrics.refused_alpn, "alpn"),
        Some(TlsError::InvalidCertificate(_)) => (&metrics.refused_identity, "identity"),
        Some(_) => (&metrics.refused_other, "tls"),
        None => (&metrics.refused_other, "transport"),
    }
}

/// Waits until the door closes.
async fn closed(closing: &mut watch::Receiver<bool>) {
    // A door whose gateway is gone closes too.
    let _ = closing.wait_for(|is_closing| *is_closing).await;
}
