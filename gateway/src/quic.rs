//! The QUIC door: socket, transport limits, handshakes, and who is let in.
//!
//! Only this file and its folder know QUIC. It accepts no early data, no resumed session, no
//! datagram, no unidirectional stream and no migration. Invariant: nothing of a peer is read
//! before its certificate was judged.

mod connection;
mod feed;
mod stream;

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use identity::{Role, Source};
use protocol::frame::CloseCode;
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{
    AckFrequencyConfig, Connection, ConnectionError, ConnectionIdGenerator, Endpoint,
    EndpointConfig, IdleTimeout, Incoming, MtuDiscoveryConfig, ServerConfig, TokioRuntime,
    TransportConfig,
};
use quinn_proto::RandomConnectionIdGenerator;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::admission::{Applicant, Opened};
use crate::audit;
use crate::budget::Budget;
use crate::config::{Config, Retry};
use crate::desk::Desk;
use crate::identify::Identified;
use crate::limiter::Limiter;
use crate::limits::{self, Outgoing, outgoing};
use crate::metrics::{Metrics, add};
use crate::outbox::Allowance;
use connection::{Served, Stay};
use stream::{code, farewell_text};

/// The application protocol.
pub const ALPN: &[u8] = b"bezant/1";
/// TLS alerts as QUIC error codes (RFC 9001 §4.8).
const ALERTS: std::ops::Range<u64> = 0x100..0x200;
/// The alert for a missing certificate.
const CERTIFICATE_REQUIRED: u64 = 0x100 + 116;
/// The alert for another application protocol.
const NO_APPLICATION_PROTOCOL: u64 = 0x100 + 120;

/// Everything that accepting a connection needs.
pub(crate) struct Door {
    pub(crate) config: Config,
    pub(crate) source: Arc<dyn Source>,
    pub(crate) desk: Arc<Desk>,
    pub(crate) workers: u16,
    pub(crate) first_worker: u16,
    pub(crate) closing: watch::Receiver<bool>,
    pub(crate) identified: Arc<Identified>,
    pub(crate) handshakes: AtomicUsize,
    pub(crate) next_connection: AtomicU64,
    pub(crate) limiter: Arc<Limiter>,
    pub(crate) budget: Arc<Budget>,
}

/// Opens the socket and the endpoint.
pub(crate) fn open<S: Source + 'static>(config: &Config, source: &Arc<S>) -> io::Result<Endpoint> {
    let clock = Arc::clone(&config.clock);
    let tls = identity::server_config_at(source, config.patterns.clone(), &[ALPN], clock);
    let crypto = QuicServerConfig::try_from(tls)
        .expect("the ring provider has the cipher suite of QUIC's first packets");
    let mut server = ServerConfig::with_crypto(Arc::new(crypto));
    server
        .transport_config(Arc::new(transport(config.idle_timeout)))
        .migration(false)
        .max_incoming(limits::INCOMING_MAX)
        .incoming_buffer_size(limits::INCOMING_BUFFER_SIZE)
        .incoming_buffer_size_total(limits::INCOMING_BUFFERS_SIZE);
    let mut endpoint = EndpointConfig::default();
    endpoint.supported_versions(vec![1]).cid_generator(connection_ids);
    endpoint
        .max_udp_payload_size(limits::UDP_PAYLOAD_SIZE_MAX)
        .expect("the longest packet is one that QUIC allows");
    let socket = open_socket(config.listen)?;
    let runtime = Arc::new(TokioRuntime);
    Endpoint::new_with_abstract_socket(
        endpoint,
        Some(server),
        datagram::Socket::new(socket)?,
        runtime,
    )
}

fn transport(idle_timeout: Duration) -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(idle_timeout).ok();
    let mut sizes = MtuDiscoveryConfig::default();
    sizes.upper_bound(limits::UDP_PAYLOAD_SIZE_MAX);
    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements.ack_eliciting_threshold(limits::PACKETS_UNACKNOWLEDGED.into());
    let mut congestion = CubicConfig::default();
    congestion.initial_window(limits::WINDOW_INITIAL);
    transport
        .max_concurrent_bidi_streams(limits::STREAMS_MAX.into())
        .max_concurrent_uni_streams(0_u32.into())
        .stream_receive_window(limits::STREAM_WINDOW.into())
        .receive_window(limits::WINDOW_UNKNOWN.into())
        .send_window(limits::WINDOW_UNKNOWN.into())
        .max_idle_timeout(idle)
        .crypto_buffer_size(limits::CRYPTO_BUFFER_SIZE)
        .mtu_discovery_config(Some(sizes))
        .ack_frequency_config(Some(acknowledgements))
        .congestion_controller_factory(Arc::new(congestion))
        .datagram_receive_buffer_size(None);
    transport
}

/// What a connection may leave unread, by what its role has to send.
pub(crate) const fn window_of(role: Role) -> u32 {
    match role {
        Role::Registry | Role::Mint => limits::WINDOW_BULK,
        _ => limits::WINDOW_OTHER,
    }
}

/// Where connection IDs come from: 8 random bytes. Of quinn's own only 3 are, and a first packet
/// whose ID, which a Retry has given it, is that of an open connection goes to that one and is
/// lost: with a thousand connections one handshake in some thousands ran into its time-out.
fn connection_ids() -> Box<dyn ConnectionIdGenerator> {
    Box::<RandomConnectionIdGenerator>::default()
}

fn open_socket(addr: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    // The kernel grants what its own limit allows; less costs speed, not correctness.
    let _ = socket.set_recv_buffer_size(limits::SOCKET_BUFFER_SIZE);
    let _ = socket.set_send_buffer_size(limits::SOCKET_BUFFER_SIZE);
    socket.bind(&addr.into())?;
    Ok(socket.into())
}

/// Accepts connections until the door closes, and then waits for the open ones.
pub(crate) async fn accept(door: Arc<Door>, endpoint: Endpoint) {
    let mut connections = JoinSet::new();
    let mut closing = door.closing.clone();
    loop {
        tokio::select! {
            incoming = endpoint.accept() => match incoming {
                Some(incoming) => {
                    if let Some(incoming) = door.sift(incoming) {
                        connections.spawn(Arc::clone(&door).admit(incoming));
                    }
                }
                None => break,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            _ = closing.wait_for(|is_closing| *is_closing) => break,
        }
    }
    loop {
        tokio::select! {
            // Told at once, a client need not wait for its timeout.
            Some(incoming) = endpoint.accept() => incoming.refuse(),
            ended = connections.join_next() => {
                if ended.is_none() {
                    return;
                }
            }
        }
    }
}

impl Door {
    /// Judges an address before anything is spent on it.
    fn sift(&self, incoming: Incoming) -> Option<Incoming> {
        let metrics = &self.desk.metrics;
        let handshakes = self.handshakes.load(Ordering::Relaxed);
        let must_prove = match self.config.retry {
            Retry::Always => true,
            Retry::UnderLoad => handshakes >= limits::RETRY_ABOVE_HANDSHAKES,
        };
        if must_prove && !incoming.remote_address_validated() && incoming.may_retry() {
            add(&metrics.quic_retries, 1);
            // It may retry, so this cannot fail.
            let _ = incoming.retry();
            return None;
        }
        if self.limiter.is_full() || handshakes >= limits::HANDSHAKES_MAX {
            add(&metrics.refused_limit, 1);
            incoming.refuse();
            return None;
        }
        self.handshakes.fetch_add(1, Ordering::Relaxed);
        Some(incoming)
    }

    /// Takes a connection from its first packet to its end.
    async fn admit(self: Arc<Self>, incoming: Incoming) {
        let remote = incoming.remote_address();
        let handshake = Counted(&self.handshakes);
        let shaken = match incoming.accept() {
            Ok(connecting) => timeout(self.config.handshake_timeout, connecting).await,
            Err(cause) => Ok(Err(cause)),
        };
        drop(handshake);
        let applicant = self.applicant(remote);
        match shaken {
            Ok(Ok(connection)) => self.welcome(connection, applicant).await,
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
        Applicant { door: audit::Door::Quic, remote, config, desk }
    }

    async fn welcome(&self, connection: Connection, applicant: Applicant<'_>) {
        let Ok(peer) = applicant.peer(&connection::chain(&connection), &*self.source) else {
            return refuse(&connection, CloseCode::Unauthorised);
        };
        let wanted = window_of(peer.principal().role);
        let admitted = applicant
            .seat(&self.limiter, &peer)
            .and_then(|seat| applicant.window(&self.budget, wanted).map(|window| (seat, window)));
        let Ok((seat, window)) = admitted else {
            return refuse(&connection, CloseCode::Limit);
        };
        let _opened = Opened::count(&self.desk.metrics, applicant.door);
        // The budget fits 32 bits whenever a window of it does.
        connection.set_receive_window(u32::try_from(window.bytes()).unwrap_or(u32::MAX).into());
        let Outgoing { reply_budget_size, send_window } = outgoing(peer.principal().role);
        connection.set_send_window(send_window);
        let number = self.next_connection.fetch_add(1, Ordering::Relaxed);
        let turn = u16::try_from(number % u64::from(self.workers)).unwrap_or(0);
        let Config { in_flight_max, frame_timeout, stream_idle_timeout, write_timeout, .. } =
            self.config;
        let served = Arc::new(Served {
            desk: Arc::clone(&self.desk),
            identified: Arc::clone(&self.identified),
            peer,
            connection,
            number,
            worker: self.first_worker + turn,
            allowance: Arc::new(Allowance::new(in_flight_max, reply_budget_size, seat.places())),
            audit: Arc::clone(&self.config.audit),
            seat,
            in_flight_max,
            phase: watch::Sender::new(None),
            frame_timeout,
            stream_idle_timeout,
            write_timeout,
        });
        let stay = Stay {
            source: Arc::clone(&self.source),
            clock: Arc::clone(&self.config.clock),
            check_interval: self.config.check_interval,
            age_max: self.config.connection_age_max,
            drain_timeout: self.config.drain_timeout,
            closing: self.closing.clone(),
        };
        connection::serve(served, stay).await;
    }
}

/// How a failed handshake is counted, and what it is called.
fn verdict<'a>(metrics: &'a Metrics, cause: &ConnectionError) -> (&'a AtomicU64, &'static str) {
    let alert = match cause {
        ConnectionError::TransportError(error) => u64::from(error.code),
        _ => 0,
    };
    match alert {
        CERTIFICATE_REQUIRED => (&metrics.refused_no_certificate, "no_certificate"),
        NO_APPLICATION_PROTOCOL => (&metrics.refused_alpn, "alpn"),
        // 42 to 49 are the verdicts on certificates.
        0x12a..=0x131 => (&metrics.refused_identity, "identity"),
        _ if ALERTS.contains(&alert) => (&metrics.refused_other, "tls"),
        _ => (&metrics.refused_other, "transport"),
    }
}

fn refuse(connection: &Connection, reason: CloseCode) {
    connection.close(code(reason), farewell_text(reason).as_bytes());
}

/// One handshake under way.
struct Counted<'a>(&'a AtomicUsize);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Of 3 random bytes a dozen of these would be there twice.
    #[test]
    fn a_connection_id_names_one_connection() {
        let mut ids = connection_ids();
        let made: HashSet<_> = (0..20_000).map(|_| ids.generate_cid().to_vec()).collect();
        assert_eq!((made.len(), ids.cid_len()), (20_000, 8));
    }
}
