//! A full disk refuses payments and nothing else, says so, and is over by itself when space comes
//! back. Invariant: no signal, no lost unit.
//!
//! Needs root, for a file system of its own.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::query;
use loadgen::run::Progress;
use loadgen::{Driver, Load, owner};
use protocol::ids::NATIVE;

use crate::books;
use crate::cluster::is_root;
use crate::frame::{Frame, PATIENCE, until};

/// Fills a segment of 8 MiB quickly.
const BULKY: Load =
    Load { accounts: 500, batch: 1_000, connections: 1, in_flight: 4, ..books::SMALL };

/// A small file system, gone with its guard.
struct Disk(PathBuf);

impl Disk {
    fn mount(at: &Path) -> Self {
        std::fs::create_dir_all(at).unwrap();
        let mount = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs"])
            .arg(at)
            .status();
        assert!(mount.unwrap().success(), "mounting a tmpfs on {}", at.display());
        Self(at.to_owned())
    }

    /// Takes all space that is left, to the last byte of the log's last page; returns the file
    /// that holds it.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        while file.write_all(&[0x55; 4_096]).is_ok() {}
        let log = self.0.join("serve.log");
        let mut log = File::options().append(true).open(log).unwrap();
        while log.write_all(b"\n").is_ok() {}
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// A running frame on a small disk, its log with it, its database elsewhere.
fn on_small_disk() -> Option<(Frame, Disk)> {
    if !is_root() {
        println!("NOT RUN: mounting a file system needs root; run this test as root, as CI does");
        return None;
    }
    let mut frame = Frame::unmade(&[]);
    let sqlite = frame.beside("settlement.sqlite");
    frame.set(&format!("settlement.sqlite={}", sqlite.display()));
    let disk = Disk::mount(&frame.home.data_dir);
    frame.home.init(&[]).unwrap();
    frame.start();
    Some((frame, disk))
}

async fn refused(progress: &Progress) {
    let before = progress.refused.load(Ordering::Relaxed);
    let started = tokio::time::Instant::now();
    while progress.refused.load(Ordering::Relaxed) == before {
        assert!(started.elapsed() < PATIENCE, "the disk is never full");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[test]
fn a_full_disk_refuses_payments_only_and_passes() {
    let Some((mut frame, disk)) = on_small_disk() else {
        return;
    };
    books::run(async {
        let mut driver = Driver::prepare(&frame.target(), BULKY).await.unwrap();
        let progress = Arc::clone(&driver.progress);
        let reader = frame.client("auditor", "reader").await;
        let filler = disk.fill();
        books::drive_until(&frame, &mut driver, async {
            refused(&progress).await;
            until("it says that it is not ready", || frame.page("/readyz").0 == 503);
            let (_, body) = frame.page("/readyz");
            assert!(body.contains("journal_full"), "{body}");
            assert_eq!(frame.page("/livez").0, 200);
            let account = query::account(owner(BULKY.seed, 0), NATIVE);
            assert!(reader.ask(account).await.unwrap().liquid > 0);
            frame.wait_settled();
            std::fs::remove_file(&filler).unwrap();
            until("it is ready again", || frame.page("/readyz").0 == 200);
            books::executed(&progress, 5_000).await;
        })
        .await;
        let refusals: Vec<_> = driver.measured.refused.keys().copied().collect();
        assert_eq!(refusals, ["journal_full"]);
        books::agree(&frame, &mut driver).await;
        frame.wait_settled();
        frame.stop();
        frame.is_sound();
    });
}

#[test]
fn a_frame_killed_on_a_full_disk_starts_on_it_again() {
    let Some((mut frame, disk)) = on_small_disk() else {
        return;
    };
    books::run(async {
        let mut driver = Driver::prepare(&frame.target(), BULKY).await.unwrap();
        let progress = Arc::clone(&driver.progress);
        frame.identity("auditor", "reader");
        let filler = disk.fill();
        let target = frame.target();
        let kill = async {
            refused(&progress).await;
            frame.take().kill();
            progress.disconnect();
        };
        let (driven, ()) = tokio::join!(driver.drive(&target), kill);
        driven.unwrap();
        frame.start();
        let reader = frame.client("auditor", "reader").await;
        let account = query::account(owner(BULKY.seed, 0), NATIVE);
        assert!(reader.ask(account).await.unwrap().liquid > 0);
        std::fs::remove_file(&filler).unwrap();
        until("it is ready again", || frame.page("/readyz").0 == 200);
        let progress = Arc::clone(&driver.progress);
        books::drive_until(&frame, &mut driver, books::executed(&progress, 5_000)).await;
        books::agree(&frame, &mut driver).await;
        frame.wait_settled();
        frame.stop();
        frame.is_sound();
    });
}
