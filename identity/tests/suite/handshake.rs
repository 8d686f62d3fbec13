//! The configurations enforce the rules on the wire, over buffers.

use std::sync::Arc;

use identity::{
    Expected, HeldSource, PeerError, Role, RolePatterns, Source, SpiffeId, SvidError,
    client_config_at, peer, refusal, server_config_at,
};
use rustls::client::Resumption;
use rustls::{
    ClientConfig, ClientConnection, Connection, Error, HandshakeKind, ServerConfig,
    ServerConnection,
};

use crate::support::{AGENT, Authority, Fixed, HOME, NOW_S, denying, domain, now, window};

const ALPN: &[&[u8]] = &[b"bezant/1"];

fn server_of(source: &Arc<HeldSource>) -> Arc<ServerConfig> {
    let clock = Arc::new(Fixed(NOW_S));
    Arc::new(server_config_at(source, RolePatterns::default(), ALPN, clock))
}

fn client_of(source: &Arc<HeldSource>, expected: Expected) -> Arc<ClientConfig> {
    Arc::new(client_config_at(source, expected, ALPN, Arc::new(Fixed(NOW_S))))
}

fn home() -> Expected {
    Expected::Frame(domain(HOME))
}

struct Ends {
    client: Connection,
    server: Connection,
}

/// Runs a handshake to its end; the error is of the side that refused first.
fn shake(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> Result<Ends, Error> {
    let name = "ignored.invalid".try_into().unwrap();
    let client = ClientConnection::new(Arc::clone(client), name).unwrap();
    let server = ServerConnection::new(Arc::clone(server)).unwrap();
    let mut ends = Ends { client: client.into(), server: server.into() };
    loop {
        let sent = carry(&mut ends.client, &mut ends.server)?;
        let answered = carry(&mut ends.server, &mut ends.client)?;
        if sent + answered == 0 {
            assert!(!ends.client.is_handshaking() && !ends.server.is_handshaking());
            return Ok(ends);
        }
    }
}

fn carry(from: &mut Connection, to: &mut Connection) -> Result<usize, Error> {
    let mut wire = Vec::new();
    while from.wants_write() {
        from.write_tls(&mut wire).unwrap();
    }
    let mut rest = wire.as_slice();
    while !rest.is_empty() {
        to.read_tls(&mut rest).unwrap();
        to.process_new_packets()?;
    }
    Ok(wire.len())
}

fn refused(client: &Arc<ClientConfig>, server: &Arc<ServerConfig>) -> PeerError {
    let error = shake(client, server).err().expect("the handshake is refused");
    refusal(&error).unwrap_or_else(|| panic!("not one of our refusals: {error}")).clone()
}

#[test]
fn both_sides_prove_themselves() {
    let authority = Authority::new(HOME);
    let server = authority.source("/frame/a");
    let client = authority.source(AGENT);
    let ends = shake(&client_of(&client, home()), &server_of(&server)).unwrap();
    assert_eq!(ends.server.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));
    assert_eq!(ends.server.alpn_protocol(), Some(ALPN[0]));
    let chain = ends.server.peer_certificates().unwrap();
    let known = peer(chain, &server.current(), &RolePatterns::default(), now());
    assert_eq!(known.unwrap().principal().role, Role::Agent);
}

#[test]
fn a_client_without_a_certificate_gets_nothing() {
    let authority = Authority::new(HOME);
    let with = client_of(&authority.source(AGENT), home());
    let mut without = ClientConfig::clone(&with);
    without.client_auth_cert_resolver = Arc::new(NoCertificate);
    let error = shake(&Arc::new(without), &server_of(&authority.source("/frame/a")));
    assert_eq!(error.err(), Some(Error::NoCertificatesPresented));
}

#[derive(Debug)]
struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _hints: &[&[u8]],
        _schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

#[test]
fn a_client_of_an_unknown_trust_domain_is_refused() {
    let (authority, other) = (Authority::new(HOME), Authority::new("frame-b.example"));
    let server = server_of(&authority.source("/frame/a"));
    // The client trusts the server; the server does not trust the client.
    let material = other.material("/frame/b").with_federated(authority.bundle()).unwrap();
    let client = Arc::new(HeldSource::new(material));
    let error = refused(&client_of(&client, home()), &server);
    assert_eq!(error, PeerError::Svid(SvidError::UnknownTrustDomain));
}

#[test]
fn a_server_other_than_the_expected_one_is_refused() {
    let authority = Authority::new(HOME);
    let client = authority.source(AGENT);
    let against = |path: &str, expected| {
        shake(&client_of(&client, expected), &server_of(&authority.source(path)))
            .map(|_| ())
            .map_err(|error| refusal(&error).unwrap().reason())
    };
    let id = |path: &str| Expected::Id(SpiffeId::parse(&format!("spiffe://{HOME}{path}")).unwrap());
    assert_eq!(against("/frame/a", home()), Ok(()));
    assert_eq!(against("/frame/a", id("/frame/a")), Ok(()));
    assert_eq!(against("/frame/b", id("/frame/a")), Err("peer-unexpected"));
    let domain_b = Expected::Frame(domain("frame-b.example"));
    assert_eq!(against("/frame/a", domain_b), Err("peer-unexpected"));
    // An agent's certificate serves as well as any, but an agent is no frame.
    assert_eq!(against(AGENT, home()), Err("peer-unexpected"));
    assert_eq!(against(AGENT, Expected::TrustDomain(domain(HOME))), Ok(()));
}

#[test]
fn role_and_deny_list_are_judged_in_the_handshake() {
    let authority = Authority::new(HOME);
    let server = authority.source("/frame/a");
    let client = client_of(&authority.source(AGENT), home());
    let clock = Arc::new(Fixed(NOW_S));
    let admins = RolePatterns::default().admitting(&[Role::Admin]);
    let admin_door = Arc::new(server_config_at(&server, admins, ALPN, clock));
    assert_eq!(refused(&client, &admin_door).reason(), "role-not-admitted");
    let open_door = server_of(&server);
    assert!(shake(&client, &open_door).is_ok());
    let denied = denying(&format!("spiffe://{HOME}{AGENT}"));
    server.replace(authority.material("/frame/a").with_denied(denied));
    assert_eq!(refused(&client, &open_door).reason(), "peer-denied");
}

#[test]
fn a_rotation_needs_no_new_configuration() {
    let (old, new) = (Authority::new(HOME), Authority::new(HOME));
    let (server_source, client_source) = (old.source("/frame/a"), old.source(AGENT));
    let (server, client) = (server_of(&server_source), client_of(&client_source, home()));
    assert!(shake(&client, &server).is_ok());
    server_source.replace(new.material("/frame/a"));
    let half_way = refused(&client, &server);
    assert_eq!(half_way, PeerError::Svid(SvidError::UnknownAuthority));
    client_source.replace(new.material(AGENT));
    assert!(shake(&client, &server).is_ok());
}

#[test]
fn the_given_clock_judges_validity() {
    let authority = Authority::new(HOME);
    let own = authority.leaf(AGENT, |p| window(p, NOW_S - 100, NOW_S - 1));
    let (svid, key) = (own.pem.as_bytes(), own.key_pem.as_bytes());
    let material = identity::Material::from_pem(svid, key, authority.pem.as_bytes()).unwrap();
    let client = client_of(&Arc::new(HeldSource::new(material)), home());
    let error = refused(&client, &server_of(&authority.source("/frame/a")));
    assert_eq!(error, PeerError::Svid(SvidError::Expired));
}

#[test]
fn no_session_can_be_resumed_and_no_data_comes_early() {
    let authority = Authority::new(HOME);
    let server = server_of(&authority.source("/frame/a"));
    assert_eq!((server.send_tls13_tickets, server.max_early_data_size), (0, 0));
    assert!(!server.ticketer.enabled() && !server.session_storage.can_cache());
    assert!(!server.send_half_rtt_data);
    let strict = client_of(&authority.source(AGENT), home());
    assert!(!strict.enable_early_data);
    // A client that would resume gets nothing to resume with.
    let mut eager = ClientConfig::clone(&strict);
    eager.resumption = Resumption::in_memory_sessions(8);
    eager.enable_early_data = true;
    let eager = Arc::new(eager);
    for _ in 0..2 {
        let ends = shake(&eager, &server).unwrap();
        assert_eq!(ends.client.handshake_kind(), Some(HandshakeKind::Full));
        let Connection::Client(client) = &ends.client else { panic!("the client end") };
        assert_eq!(client.tls13_tickets_received(), 0);
    }
}

#[test]
fn a_tls_1_2_hello_is_refused() {
    let authority = Authority::new(HOME);
    let mut server = ServerConnection::new(server_of(&authority.source("/frame/a"))).unwrap();
    let hello = tls12_hello();
    server.read_tls(&mut hello.as_slice()).unwrap();
    let error = server.process_new_packets().expect_err("TLS 1.2 is refused");
    assert!(matches!(error, Error::PeerIncompatible(_)), "{error}");
}

/// A well-formed ClientHello that offers TLS 1.2 and nothing newer.
fn tls12_hello() -> Vec<u8> {
    let mut body = vec![0x03, 0x03];
    body.extend([7; 32]);
    body.push(0); // no session
    body.extend([0, 2, 0xc0, 0x2b]); // ECDHE-ECDSA with AES-128-GCM
    body.extend([1, 0]); // no compression
    let extensions: [&[u8]; 3] = [
        &[0, 10, 0, 4, 0, 2, 0, 29], // groups: X25519
        &[0, 13, 0, 4, 0, 2, 4, 3],  // signatures: ECDSA P-256 with SHA-256
        &[0, 11, 0, 2, 1, 0],        // points: uncompressed
    ];
    let extensions = extensions.concat();
    body.extend(u16::try_from(extensions.len()).unwrap().to_be_bytes());
    body.extend(extensions);
    let mut message = vec![1, 0];
    message.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    message.extend(body);
    let mut record = vec![22, 3, 1];
    record.extend(u16::try_from(message.len()).unwrap().to_be_bytes());
    record.extend(message);
    record
}
