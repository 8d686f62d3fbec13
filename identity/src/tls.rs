//! rustls configurations that judge peers by the SVID rules.
//!
//! Refuses everything older than TLS 1.3, clients without a certificate, and
//! every way past a full handshake: tickets, stored sessions, early data. A
//! resumed session would carry an identity that nobody judged again.
//! Invariant: each handshake reads the source anew, so a rotation needs no
//! restart, and signatures are checked by the ring provider alone.

use std::fmt;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::time_provider::{DefaultTimeProvider, TimeProvider};
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, Error, OtherError,
    ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::material::Source;
use crate::peer::{PeerError, peer};
use crate::role::{Role, RolePatterns};
use crate::spiffe_id::{SpiffeId, TrustDomain};
use crate::svid::{Purpose, validate};

/// Whom a client expects at the other end.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Expected {
    /// Exactly this identity.
    Id(SpiffeId),
    /// Any frame of the trust domain: a path `/frame/<name…>`.
    Frame(TrustDomain),
    /// Any identity of the trust domain, its agents included; for development.
    TrustDomain(TrustDomain),
}

impl Expected {
    fn admits(&self, id: &SpiffeId) -> bool {
        match self {
            Self::Id(expected) => id == expected,
            Self::TrustDomain(domain) => id.trust_domain() == domain,
            Self::Frame(domain) => {
                id.trust_domain() == domain
                    && RolePatterns::default().role_of(id, domain) == Ok(Role::Peer)
            }
        }
    }
}

/// Builds the configuration of a listener that admits the roles of `patterns`.
///
/// # Panics
/// Never: the ring provider speaks TLS 1.3.
#[must_use]
pub fn server_config<S: Source + 'static>(
    source: &Arc<S>,
    patterns: RolePatterns,
    alpn: &[&[u8]],
) -> ServerConfig {
    server_config_at(source, patterns, alpn, Arc::new(DefaultTimeProvider))
}

/// As [`server_config`], with the clock that judges validity.
///
/// # Panics
/// Never: the ring provider speaks TLS 1.3.
#[must_use]
pub fn server_config_at<S: Source + 'static>(
    source: &Arc<S>,
    patterns: RolePatterns,
    alpn: &[&[u8]],
    clock: Arc<dyn TimeProvider>,
) -> ServerConfig {
    let provider = provider();
    let source: Arc<dyn Source> = Arc::<S>::clone(source);
    let verifier = Arc::new(ClientVerifier {
        source: Arc::clone(&source),
        patterns,
        algorithms: provider.signature_verification_algorithms,
    });
    let mut config = ServerConfig::builder_with_details(provider, clock)
        .with_protocol_versions(&[&TLS13])
        .expect("the ring provider speaks TLS 1.3")
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(Arc::new(OwnSvid(source)));
    config.alpn_protocols = owned(alpn);
    config.max_early_data_size = 0;
    config.send_half_rtt_data = false;
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}

/// Builds the configuration of a client that talks to `expected`.
///
/// The server name given to a connection is not used to judge the server.
///
/// # Panics
/// Never: the ring provider speaks TLS 1.3.
#[must_use]
pub fn client_config<S: Source + 'static>(
    source: &Arc<S>,
    expected: Expected,
    alpn: &[&[u8]],
) -> ClientConfig {
    client_config_at(source, expected, alpn, Arc::new(DefaultTimeProvider))
}

/// As [`client_config`], with the clock that judges validity.
///
/// # Panics
/// Never: the ring provider speaks TLS 1.3.
#[must_use]
pub fn client_config_at<S: Source + 'static>(
    source: &Arc<S>,
    expected: Expected,
    alpn: &[&[u8]],
    clock: Arc<dyn TimeProvider>,
) -> ClientConfig {
    let provider = provider();
    let source: Arc<dyn Source> = Arc::<S>::clone(source);
    let verifier = Arc::new(ServerVerifier {
        source: Arc::clone(&source),
        expected,
        algorithms: provider.signature_verification_algorithms,
    });
    let mut config = ClientConfig::builder_with_details(provider, clock)
        .with_protocol_versions(&[&TLS13])
        .expect("the ring provider speaks TLS 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_client_cert_resolver(Arc::new(OwnSvid(source)));
    config.alpn_protocols = owned(alpn);
    config.resumption = Resumption::disabled();
    config.enable_early_data = false;
    config.enable_sni = false;
    config
}

/// Finds the refusal inside an error of a handshake that this process made.
#[must_use]
pub fn refusal(error: &Error) -> Option<&PeerError> {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => {
            cause.downcast_ref()
        }
        _ => None,
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

fn owned(alpn: &[&[u8]]) -> Vec<Vec<u8>> {
    alpn.iter().map(|protocol| protocol.to_vec()).collect()
}

fn refuse(error: PeerError) -> Error {
    tracing::warn!(reason = error.reason(), "peer refused: {error}");
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

fn no_tls12() -> Error {
    Error::General("TLS 1.2 is never offered".to_owned())
}

fn whole_chain<'a>(
    end_entity: &CertificateDer<'a>,
    intermediates: &[CertificateDer<'a>],
) -> Vec<CertificateDer<'a>> {
    let mut chain = Vec::with_capacity(1 + intermediates.len());
    chain.push(end_entity.clone());
    chain.extend_from_slice(intermediates);
    chain
}

/// Presents the current SVID of the source, on either side.
struct OwnSvid(Arc<dyn Source>);

impl ResolvesServerCert for OwnSvid {
    fn resolve(&self, _client_hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current().certified_key())
    }
}

impl ResolvesClientCert for OwnSvid {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        Some(self.0.current().certified_key())
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl fmt::Debug for OwnSvid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OwnSvid").field(&self.0.current()).finish()
    }
}

struct ClientVerifier {
    source: Arc<dyn Source>,
    patterns: RolePatterns,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for ClientVerifier {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    /// Gives no hints: the list would go stale with the first rotation.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let chain = whole_chain(end_entity, intermediates);
        peer(&chain, &self.source.current(), &self.patterns, now).map_err(refuse)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for ClientVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientVerifier").field("patterns", &self.patterns).finish_non_exhaustive()
    }
}

struct ServerVerifier {
    source: Arc<dyn Source>,
    expected: Expected,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerVerifier {
    fn judge(&self, chain: &[CertificateDer<'_>], now: UnixTime) -> Result<(), PeerError> {
        let material = self.source.current();
        let svid =
            validate(chain, material.bundles(), now, Purpose::Server).map_err(PeerError::Svid)?;
        let spiffe_id = svid.spiffe_id;
        if !self.expected.admits(&spiffe_id) {
            return Err(PeerError::Unexpected { spiffe_id });
        }
        if material.denied().denies(&spiffe_id, None) {
            return Err(PeerError::Denied { spiffe_id });
        }
        Ok(())
    }
}

impl ServerCertVerifier for ServerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.judge(&whole_chain(end_entity, intermediates), now).map_err(refuse)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl fmt::Debug for ServerVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerVerifier").field("expected", &self.expected).finish_non_exhaustive()
    }
}
