//! Certificates that live seconds are replaced again and again, the frame's and the clients', while
//! load comes through every door: no request fails, nothing is doubled, and the books agree.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use client::{Connector, Expected, FileSource, Session, query};
use identity::{DevCa, Role, TrustDomain, UnixTime};
use loadgen::{Door, Driver, Load, Mix, Model, Planner, Skew, Target, owner};
use protocol::ids::NATIVE;

use crate::books;
use crate::frame::{Frame, patient};

/// How often every certificate is replaced.
const TIMES: u32 = 20;
/// How long each lives.
const LIFETIME: Duration = Duration::from_secs(10);
/// How long the last ones live.
const WHILE_READ: Duration = Duration::from_secs(3_600);
/// How long until the next; the frame looks at its files once a second.
const EVERY: Duration = Duration::from_millis(1_200);
/// Owners of the load over QUIC, which the test books by itself.
const OWNERS: u32 = 50;
const QUIC_SEED: u64 = 70;

/// A light load over HTTPS.
const LIGHT: Load = Load {
    door: Door::HttpsBinary,
    mix: Mix { holds: 20, reads: 0 },
    batch: 8,
    in_flight: 2,
    ..books::SMALL
};
/// Every way in, each with a host of its own.
const LOADS: [(&str, Load); 3] = [
    ("batches", LIGHT),
    ("http2", Load { door: Door::HttpsBinaryH2, seed: 71, ..LIGHT }),
    ("json", Load { door: Door::HttpsJson, batch: 1, seed: 72, ..LIGHT }),
];
const QUIC: &str = "quic";

/// Replaces the certificates of the frame and of every registry that sends.
fn rotate(ca: &DevCa, identities: &Path, lifetime: Duration) {
    let registries = LOADS.iter().map(|(name, _)| *name).chain([QUIC]);
    let registries = registries.map(|name| (Role::Registry, name, identities.join(name)));
    let frame = (Role::Peer, "engine", identities.join("server"));
    for (role, name, dir) in registries.chain([frame]) {
        let svid = ca.issue(role, name, lifetime, UnixTime::now()).unwrap();
        svid.write_to(&dir).unwrap();
    }
}

#[test]
fn no_request_fails_while_every_certificate_is_replaced() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let mut loads = Vec::new();
        for (name, load) in LOADS {
            let target = frame.target_of(name);
            let driver = Driver::prepare(&target, load).await.unwrap();
            loads.push((name, target, driver));
        }
        let mut quic = QuicLoad::prepare(&frame).await;
        let own = TrustDomain::parse("frame.test").unwrap();
        let identities = frame.home.data_dir.join("identity");
        let ca = DevCa::open_or_create(&identities.join("ca"), &own, UnixTime::now()).unwrap();
        rotate(&ca, &identities, LIFETIME);
        // The frame has seen its own by then.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let is_over = AtomicBool::new(false);
        let rotations = async {
            for _ in 0..TIMES {
                rotate(&ca, &identities, LIFETIME);
                tokio::time::sleep(EVERY).await;
            }
            is_over.store(true, Ordering::Relaxed);
        };
        let [batches, http2, json] = &mut loads[..] else {
            unreachable!("three loads were prepared")
        };
        let json = books::drive_at(&json.1, &mut json.2, rotations);
        let http2 = books::drive_at(&http2.1, &mut http2.2, json);
        let batches = books::drive_at(&batches.1, &mut batches.2, http2);
        tokio::join!(batches, quic.run(&is_over));

        // The last certificates must not end while the books are read.
        rotate(&ca, &identities, WHILE_READ);
        for (name, target, mut driver) in loads {
            println!("{name}: {} commands", driver.measured.executed);
            assert!(driver.errors.is_empty(), "{name}: {:?}", driver.errors);
            assert_eq!(driver.unknown(), 0, "{name}: no request was lost");
            assert!(driver.measured.refused.is_empty(), "{:?}", driver.measured.refused);
            assert!(driver.measured.executed > 0, "{name}: there was load");
            books::agree_at(&target, &mut driver).await;
        }
        quic.agrees(&frame).await;
        frame.stop();
        frame.is_sound();
    });
}

/// Load over QUIC through a session, which connects again by itself, and its book.
struct QuicLoad {
    session: Session,
    source: Arc<FileSource>,
    planner: Planner,
    model: Model,
    registry: PathBuf,
}

impl QuicLoad {
    async fn prepare(frame: &Frame) -> Self {
        let load = Load { accounts: OWNERS, seed: QUIC_SEED, ..LIGHT };
        let Target { registry, .. } = frame.target_of(QUIC);
        let driver = Driver::prepare(&frame.target_of(QUIC), load).await.unwrap();
        let source = Arc::new(FileSource::open(&registry).unwrap());
        let expected = Expected::Frame(source.current().trust_domain().clone());
        let connector = Connector::new(frame.quic(), &source, expected, patient()).unwrap();
        Self {
            session: Session::new(connector),
            source,
            planner: Planner::new(QUIC_SEED, 0, OWNERS, Skew::Uniform, Mix::default()),
            model: driver.model(),
            registry,
        }
    }

    async fn run(&mut self, is_over: &AtomicBool) {
        let mut count = 0;
        while !is_over.load(Ordering::Relaxed) {
            // A set that is just being replaced is refused, and read the next time.
            let _ = self.source.reload_if_changed();
            let batch = self.planner.batch(8, UnixTime::now().as_secs() * 1_000);
            let reply = self.session.execute(&batch.commands()).await.unwrap();
            assert_eq!(reply.first_refusal(), None);
            self.planner.book(&batch, reply.outcomes(), &mut self.model);
            count += 8;
        }
        println!("QUIC: {count} commands");
    }

    async fn agrees(&self, frame: &Frame) {
        let client = loadgen::run::connect(frame.quic(), &self.registry, patient()).await.unwrap();
        for (place, expected) in (0..).zip(self.model.accounts()) {
            let account =
                client.ask(query::account(owner(QUIC_SEED, place), NATIVE)).await.unwrap();
            assert_eq!((account.liquid, account.held), (expected.liquid, 0), "owner {place}");
        }
    }
}
