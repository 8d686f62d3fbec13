//! What a service manager is told: that the doors are open, that the engine makes progress, and
//! that the end has begun; and nothing while a stage stands still.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use client::Command;
use protocol::ids::NATIVE;

use crate::books;
use crate::frame::{Frame, PATIENCE, until};
use crate::time_travel::ALICE;

/// A manager that started the frame.
struct Manager(UnixDatagram);

impl Manager {
    /// From the next start on the frame tells it how it is.
    fn of(frame: &mut Frame) -> Self {
        let path = frame.beside("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        let script = frame.beside("managed");
        let binary = frame.home.binary.display();
        let line = format!("NOTIFY_SOCKET={} exec {binary} \"$@\"", path.display());
        fs::write(&script, format!("#!/bin/sh\n{line}\n")).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        frame.home.binary = script;
        Self(socket)
    }

    fn hears(&self) -> String {
        let mut bytes = [0; 256];
        let len = self.0.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    }

    fn hears_only(&self, word: &str) -> String {
        loop {
            let heard = self.hears();
            if heard.starts_with(word) {
                return heard;
            }
            assert_eq!(heard, "WATCHDOG=1");
        }
    }

    /// Forgets what was said so far.
    fn forgets(&self) {
        self.0.set_nonblocking(true).unwrap();
        while self.0.recv(&mut [0; 256]).is_ok() {}
        self.0.set_nonblocking(false).unwrap();
    }

    fn hears_nothing_for(&self, time: Duration) -> bool {
        self.0.set_read_timeout(Some(time)).unwrap();
        self.0.recv(&mut [0; 256]).is_err()
    }
}

#[test]
fn a_manager_hears_of_the_start_the_life_and_the_end() {
    let mut frame = Frame::new();
    let manager = Manager::of(&mut frame);
    frame.start();
    manager.hears_only("READY=1");
    let since = Instant::now();
    for _ in 0..3 {
        assert_eq!(manager.hears(), "WATCHDOG=1");
    }
    assert!(since.elapsed() < PATIENCE);
    frame.stop();
    manager.hears_only("STOPPING=1");
}

#[test]
fn a_manager_hears_nothing_while_the_disk_hangs() {
    books::run(async {
        let mut frame = Frame::with(&[], &["journal.backend=direct"]);
        // What a start writes is let through; longer than a stage may stand, and the tracer ends
        // with the wait.
        frame.injure("pwritev", "delay_enter=16000000:when=12+");
        let manager = Manager::of(&mut frame);
        frame.start();
        manager.hears_only("READY=1");
        assert_eq!(manager.hears(), "WATCHDOG=1");
        let north = frame.client("registry", "north").await;
        let hanging = tokio::spawn(async move {
            for owner in 0..1_000 {
                let open = Command::open(north.ids().next_id(), ALICE + owner, NATIVE);
                if north.request(&[open]).await.is_err() {
                    return;
                }
            }
        });
        let stands = || frame.page("/readyz").1.contains("has stood still");
        until("a stage stands still", stands);
        manager.forgets();
        assert!(manager.hears_nothing_for(Duration::from_secs(3)));
        frame.take().kill();
        hanging.abort();
    });
}
