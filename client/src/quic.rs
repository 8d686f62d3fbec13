//! The QUIC endpoint of a client: sockets, TLS by the identity rules, transport limits.
//!
//! The only file of the crate that sets up QUIC. It never resumes a session and never sends early
//! data. Invariant: a connection that this makes is to a server whose identity was judged.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use identity::{Expected, Source};
use quinn::congestion::CubicConfig;
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{
    AckFrequencyConfig, ClientConfig, Endpoint, EndpointConfig, IdleTimeout, MtuDiscoveryConfig,
    TokioRuntime, TransportConfig,
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::time::timeout;

use crate::error::Error;
use crate::limits::{
    CONNECTION_WINDOW, GOODBYE_MAX, IDLE_TIMEOUT, KEEP_ALIVE, PACKETS_UNACKNOWLEDGED, SEND_WINDOW,
    SOCKET_BUFFER_SIZE, STREAM_WINDOW, UDP_PAYLOAD_SIZE_MAX, WINDOW_INITIAL,
};
use crate::options::Options;

/// The application protocol.
pub const ALPN: &[u8] = b"bezant/1";
/// Name given to TLS; it is not sent and judges nothing, the SPIFFE ID does.
const SERVER_NAME: &str = "bezant";

/// Where and as whom to connect; makes any number of connections over one socket.
#[derive(Clone, Debug)]
pub struct Connector {
    endpoint: Endpoint,
    addr: SocketAddr,
    crypto: ClientConfig,
    options: Options,
}

impl Connector {
    /// Opens a socket towards `addr`. `source` holds the own SVID and the bundles, and is asked
    /// anew for every connection; `expected` says who the frame must be.
    ///
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    ///
    /// [`Error::Socket`].
    pub fn new<S: Source + 'static>(
        addr: SocketAddr,
        source: &Arc<S>,
        expected: Expected,
        options: Options,
    ) -> Result<Self, Error> {
        let tls = identity::client_config(source, expected, &[ALPN]);
        let quic = QuicClientConfig::try_from(tls)
            .expect("the ring provider has the cipher suite of QUIC's first packets");
        let mut crypto = ClientConfig::new(Arc::new(quic));
        crypto.transport_config(Arc::new(transport()));
        let open = || {
            let socket = open_socket(addr)?;
            let runtime = Arc::new(TokioRuntime);
            let mut endpoint = EndpointConfig::default();
            endpoint
                .max_udp_payload_size(UDP_PAYLOAD_SIZE_MAX)
                .expect("the longest packet is one that QUIC allows");
            Endpoint::new_with_abstract_socket(
                endpoint,
                None,
                datagram::Socket::new(socket)?,
                runtime,
            )
        };
        Ok(Self {
            endpoint: open().map_err(|cause| Error::Socket(Arc::new(cause)))?,
            addr,
            crypto,
            options,
        })
    }

    /// The settings.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    pub(crate) fn start(&self) -> Result<quinn::Connecting, Error> {
        let crypto = self.crypto.clone();
        Ok(self.endpoint.connect_with(crypto, self.addr, SERVER_NAME)?)
    }

    /// Waits until every connection of this socket that was closed has said goodbye, half a second
    /// at most. A process that ends earlier leaves them open in the frame, among those that it may
    /// have, until their silence is noticed.
    pub async fn wait_idle(&self) {
        // Whoever does not hear it notices the silence.
        let _ = timeout(GOODBYE_MAX, self.endpoint.wait_idle()).await;
    }
}

fn transport() -> TransportConfig {
    let mut transport = TransportConfig::default();
    let idle = IdleTimeout::try_from(IDLE_TIMEOUT).expect("the idle timeout fits its field");
    let mut sizes = MtuDiscoveryConfig::default();
    sizes.upper_bound(UDP_PAYLOAD_SIZE_MAX);
    let mut acknowledgements = AckFrequencyConfig::default();
    acknowledgements.ack_eliciting_threshold(PACKETS_UNACKNOWLEDGED.into());
    let mut congestion = CubicConfig::default();
    congestion.initial_window(WINDOW_INITIAL);
    transport
        .max_concurrent_bidi_streams(0_u32.into())
        .max_concurrent_uni_streams(0_u32.into())
        .stream_receive_window(STREAM_WINDOW.into())
        .receive_window(CONNECTION_WINDOW.into())
        .send_window(SEND_WINDOW)
        .max_idle_timeout(Some(idle))
        .keep_alive_interval(Some(KEEP_ALIVE))
        .mtu_discovery_config(Some(sizes))
        .ack_frequency_config(Some(acknowledgements))
        .congestion_controller_factory(Arc::new(congestion))
        .datagram_receive_buffer_size(None);
    transport
}

fn open_socket(addr: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match addr {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = Socket::new(Domain::for_address(addr), Type::DGRAM, Some(Protocol::UDP))?;
    // The kernel grants what its own limit allows; less costs speed, not correctness.
    let _ = socket.set_recv_buffer_size(SOCKET_BUFFER_SIZE);
    let _ = socket.set_send_buffer_size(SOCKET_BUFFER_SIZE);
    socket.bind(&any.into())?;
    Ok(socket.into())
}
