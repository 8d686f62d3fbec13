//! Who is let in, who is not, and who is sent away later.

use std::sync::Arc;
use std::time::Duration;

use client::{Client, CloseCode, End, Error, HeldSource, Options, TrustDomain};
use identity::{DenyList, DevCa, Role, RolePatterns, UnixTime};
use ring::PoolConfig;

use crate::support::*;

#[derive(Debug)]
pub(crate) struct NoCertificate;

impl rustls::client::ResolvesClientCert for NoCertificate {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        _sigschemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<rustls::sign::CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

/// Whether anything but a close ever arrives on a stream of `connection`.
async fn is_served(connection: &quinn::Connection) -> bool {
    let Ok((mut send, mut recv)) = connection.open_bi().await else {
        return false;
    };
    let _ = send.write_all(&hello_bytes()).await;
    recv.read(&mut [0; 1]).await.is_ok_and(|read| read.is_some())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_without_a_certificate_never_gets_a_byte() {
    let frame = Frame::start();
    let mut tls = identity::client_config(&frame.agent(), expected(), &[client::ALPN]);
    tls.client_auth_cert_resolver = Arc::new(NoCertificate);
    let (_endpoint, connection) = frame.raw_with(tls).await;
    if let Ok(connection) = connection {
        assert!(!is_served(&connection).await);
    }
    until(|| frame.metric("refused_no_certificate") == 1).await;
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_application_protocol_is_refused() {
    let frame = Frame::start();
    let tls = identity::client_config(&frame.agent(), expected(), &[b"h3"]);
    let (_endpoint, connection) = frame.raw_with(tls).await;
    assert!(connection.is_err());
    until(|| frame.metric("refused_alpn") == 1).await;
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forged_identity_is_refused_before_the_hello() {
    let frame = Frame::start();
    // The same names from an authority that the frame does not know.
    let forger = DevCa::in_memory(&domain(), UnixTime::now()).unwrap();
    let ttl = Duration::from_secs(60);
    let forged = forger.issue(Role::Mint, "north", ttl, UnixTime::now()).unwrap();
    let bundle = frame.ca.bundle_pem().as_bytes();
    let forged = identity::Material::from_pem(
        forged.certificate_pem().as_bytes(),
        forged.key_pem().as_bytes(),
        bundle,
    )
    .unwrap();
    let source = Arc::new(HeldSource::new(forged));
    let error =
        Client::connect(frame.addr, &source, expected(), Options::default()).await.unwrap_err();
    assert!(matches!(error, Error::Refused { .. }), "{error}");
    assert!(!error.is_transient(), "{error}");
    until(|| frame.metric("refused_identity") == 1).await;
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_the_door_does_not_admit_is_refused() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.patterns = RolePatterns::default().admitting(&[Role::Agent]);
    });
    let admin = frame.identity(Role::Admin, "root");
    let refused = Client::connect(frame.addr, &admin, expected(), Options::default()).await;
    assert!(matches!(refused, Err(Error::Refused { .. })));
    let agent = frame.connect().await;
    assert!(agent.request(&transfers(1, 1)).await.unwrap().is_all_ok());
    drop(agent);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_sends_nothing_to_another_server() {
    let frame = Frame::start();
    let other = client::Expected::Frame(TrustDomain::parse("frame-b.example").unwrap());
    let refused = Client::connect(frame.addr, &frame.agent(), other, Options::default()).await;
    let error = refused.unwrap_err();
    assert!(matches!(error, Error::Server { .. }), "{error}");
    assert!(!error.is_transient());
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_denied_identity_is_cut_off_while_connected() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.check_interval = Duration::from_millis(10);
    });
    let client = frame.connect().await;
    assert!(client.request(&transfers(1, 1)).await.unwrap().is_all_ok());
    let denied = DenyList::parse(&format!("spiffe://frame-a.example/agent/{AGENT}\n")).unwrap();
    let renewed = frame.ca.issue(Role::Peer, "engine", Duration::from_secs(60), UnixTime::now());
    let material = renewed.unwrap().material().unwrap().with_denied(denied);
    frame.source.replace(material);
    until(|| client.ended().is_some()).await;
    let end = client.ended().unwrap();
    assert_eq!(end.code(), Some(CloseCode::IdentityEnded), "{end}");
    assert_eq!(frame.metric("identities_ended"), 1);
    let again = frame.connect_with(Options::default()).await.unwrap_err();
    assert!(matches!(again, Error::Refused { .. }), "{again}");
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_connection_is_told_to_come_again() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.check_interval = Duration::from_millis(10);
        config.connection_age_max = Duration::from_millis(50);
    });
    let session = client::Session::new(frame.connector(Options::default()));
    let first = session.client().await.unwrap();
    until(|| first.ended().is_some()).await;
    assert!(matches!(first.ended(), Some(End::Told { code: CloseCode::IdentityEnded, .. })));
    assert!(session.execute(&transfers(1, 1)).await.unwrap().first_refusal().is_none());
    drop(session);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_principal_has_a_bounded_number_of_connections() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        let agent = config.limits.of(Role::Agent);
        config.limits.set(Role::Agent, gateway::Allotment { connections: 2, ..agent });
        config.retry = gateway::Retry::Always;
    });
    let first = frame.connect().await;
    let second = frame.connect().await;
    let error = frame.connect_with(Options::default()).await.unwrap_err();
    let Error::Refused { end } = &error else {
        panic!("{error}");
    };
    assert_eq!(end.code(), Some(CloseCode::Limit));
    assert!(error.is_transient());
    assert!(frame.metric("quic_retries") >= 3);
    first.close();
    until(|| frame.metric("connections_open") == 1).await;
    let third = frame.connect().await;
    drop((second, third));
    frame.stop().await;
}
