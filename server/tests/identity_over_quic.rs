//! Who has no right to be here gets no application byte, and certificates are replaced and revoked
//! while the frame runs. The rules themselves are proven in the identity crate.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use client::{CloseCode, query};
use identity::{DevCa, FileSource, HeldSource, Role, SpiffeId, TrustDomain, UnixTime};
use loadgen::Driver;
use protocol::ids::NATIVE;

use crate::books;
use crate::frame::{Frame, PATIENCE};
use crate::quic;

const HOUR: Duration = Duration::from_secs(3_600);
const AGENT: &str = "01900000-0000-7000-8000-0000000000aa";

fn ca(frame: &Frame) -> DevCa {
    let dir = frame.home.data_dir.join("identity/ca");
    DevCa::open_or_create(&dir, &own(), UnixTime::now()).unwrap()
}

fn own() -> TrustDomain {
    TrustDomain::parse("frame.test").unwrap()
}

/// An identity of another trust domain that knows the frame's bundle.
fn stranger(frame: &Frame) -> PathBuf {
    let domain = TrustDomain::parse("elsewhere.test").unwrap();
    let other = DevCa::in_memory(&domain, UnixTime::now()).unwrap();
    let dir = frame.beside("stranger");
    let svid = other.issue(Role::Registry, "north", HOUR, UnixTime::now());
    svid.unwrap().write_to(&dir).unwrap();
    let federated = dir.join("federated");
    std::fs::create_dir(&federated).unwrap();
    std::fs::write(federated.join("frame.test.pem"), ca(frame).bundle_pem()).unwrap();
    dir
}

/// The same name under an authority that only calls itself the frame's.
fn forged(frame: &Frame) -> Arc<HeldSource> {
    let forger = DevCa::in_memory(&own(), UnixTime::now()).unwrap();
    let svid = forger.issue(Role::Mint, "treasury", HOUR, UnixTime::now()).unwrap();
    let bundle = ca(frame).bundle_pem().to_owned();
    let (chain, key) = (svid.certificate_pem(), svid.key_pem());
    let material =
        identity::Material::from_pem(chain.as_bytes(), key.as_bytes(), bundle.as_bytes());
    Arc::new(HeldSource::new(material.unwrap()))
}

/// An SVID of the frame's own authority with any path, issued at any time for an hour.
fn issued(frame: &Frame, path: &str, at: UnixTime) -> Arc<HeldSource> {
    let id = SpiffeId::parse(&format!("spiffe://frame.test{path}")).unwrap();
    let svid = ca(frame).issue_id(&id, &[], HOUR, at).unwrap();
    Arc::new(HeldSource::new(svid.material().unwrap()))
}

#[test]
fn whoever_has_no_right_to_be_here_gets_no_application_byte() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let good = frame.identity("registry", "north");
        let now = UnixTime::now();
        let earlier = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() - 10_000));
        let later = UnixTime::since_unix_epoch(Duration::from_secs(now.as_secs() + 10_000));
        let of = |source: &Arc<HeldSource>| quic::tls_of(source, &own());
        let foreign = Arc::new(FileSource::open(stranger(&frame)).unwrap());
        let north = "/registry/north";
        let refused = [
            ("no certificate", quic::anonymous(quic::tls(&good))),
            ("another trust domain", quic::tls_of(&foreign, &own())),
            ("another authority", of(&forged(&frame))),
            ("expired", of(&issued(&frame, north, earlier))),
            ("not yet valid", of(&issued(&frame, north, later))),
            ("no role", of(&issued(&frame, "/guest/north", now))),
            ("another case", of(&issued(&frame, "/Registry/north", now))),
            ("a longer path", of(&issued(&frame, "/registry/north/x", now))),
            ("an agent without a UUID", of(&issued(&frame, "/agent/1", now))),
        ];
        for (who, tls) in refused {
            match quic::connect(frame.quic(), tls).await {
                Err(error) => println!("{who}: {error}"),
                Ok(raw) => println!("{who}: {}", raw.hears_nothing().await),
            }
            assert_eq!(frame.figure("bezant_executed_sequence"), 0.0, "{who}");
        }
        let control = of(&issued(&frame, north, now));
        let raw = quic::connect(frame.quic(), control).await.unwrap();
        let _ = raw.greeted().await;
        frame.stop();
    });
}

/// The certificate that the frame shows a new connection.
async fn shown(frame: &Frame, identity: &Path) -> Vec<u8> {
    let raw = quic::connect(frame.quic(), quic::tls(identity)).await.unwrap();
    let chain = raw.connection.peer_identity().unwrap();
    let chain = chain.downcast::<Vec<identity::CertificateDer<'static>>>().unwrap();
    chain[0].to_vec()
}

#[test]
fn a_new_certificate_is_used_without_a_failed_request() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let light = loadgen::Load { batch: 4, in_flight: 1, ..books::SMALL };
        let mut driver = Driver::prepare(&frame.target(), light).await.unwrap();
        let progress = Arc::clone(&driver.progress);
        let identity = frame.identity("auditor", "reader");
        let before = shown(&frame, &identity).await;
        books::drive_until(&frame, &mut driver, async {
            books::executed(&progress, 50).await;
            let svid = ca(&frame).issue(Role::Peer, "engine", HOUR, UnixTime::now());
            let dir = frame.home.data_dir.join("identity/server");
            svid.unwrap().write_to(&dir).unwrap();
            let started = tokio::time::Instant::now();
            while shown(&frame, &identity).await == before {
                assert!(started.elapsed() < PATIENCE, "the old certificate is still shown");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            books::executed(&progress, 50).await;
        })
        .await;
        assert_eq!(driver.unknown(), 0, "no connection was lost");
        assert!(driver.measured.refused.is_empty());
        books::agree(&frame, &mut driver).await;
        frame.stop();
    });
}

#[test]
fn a_denied_identity_is_cut_off_and_stays_out() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let agent = frame.client("agent", AGENT).await;
        let north = frame.client("registry", "north").await;
        assert!(agent.ended().is_none());
        let deny = frame.home.data_dir.join("identity/server/deny.txt");
        std::fs::write(&deny, format!("spiffe://frame.test/agent/{AGENT}\n")).unwrap();
        let started = tokio::time::Instant::now();
        let end = loop {
            if let Some(end) = agent.ended() {
                break end;
            }
            assert!(started.elapsed() < PATIENCE, "it is still connected");
            tokio::time::sleep(Duration::from_millis(50)).await;
        };
        assert_eq!(end.code(), Some(CloseCode::IdentityEnded), "{end}");
        let dir = frame.home.identity(AGENT);
        match quic::connect(frame.quic(), quic::tls(&dir)).await {
            Err(error) => println!("{error}"),
            Ok(raw) => println!("{}", raw.hears_nothing().await),
        }
        assert_eq!(north.ask(query::supply(NATIVE)).await.unwrap().delta, 0);
        frame.stop();
    });
}
