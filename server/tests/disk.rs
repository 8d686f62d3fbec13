//! A small disk of one's own: an ext4 in a file behind a loop device, which can be filled, and cut
//! off as a power cut would. Where there is no loop device it is a tmpfs, and says so.
//!
//! Needs root. Invariant: mount, device and file are gone with the guard, also after a panic.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::cluster::is_root;

/// A disk is full when it takes nothing in so many tries in a row.
const QUIET_TRIES: u32 = 6;
/// The pause between them.
const TRY_EVERY: Duration = Duration::from_millis(20);
/// Longest wait for whoever still has a file open on a disk that is to be taken away: a process
/// that ends with its parent ends a little after it.
const UMOUNT_PATIENCE: Duration = Duration::from_secs(20);
/// `EXT4_IOC_SHUTDOWN`, which any language may call; the flag says what still reaches the disk.
const SHUTDOWN: &str = "import fcntl, os, struct, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(fd, 0x8004587d, struct.pack('I', int(sys.argv[2])))";

/// What a power cut leaves of the file system's own journal.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// What it holds in memory is written; file contents are not.
    LogFlushed = 1,
    /// Nothing more is written.
    AtOnce = 2,
}

/// The mounted disk.
pub(crate) struct Disk {
    at: PathBuf,
    /// The file behind the loop device; none for a tmpfs.
    image: Option<PathBuf>,
}

impl Disk {
    /// An ext4 of so many MiB at `at`, its image beside it. The error says what is missing.
    pub(crate) fn ext4(at: &Path, mib: u64) -> Result<Self, String> {
        if !is_root() {
            return Err("mounting a file system needs root".to_owned());
        }
        std::fs::create_dir_all(at).unwrap();
        let image = at.with_extension("ext4");
        File::create(&image).and_then(|file| file.set_len(mib << 20)).unwrap();
        // No blocks for root alone, and nothing written later in the background.
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0"])
            .arg(&image))?;
        let mut disk = Self { at: at.to_owned(), image: Some(image) };
        disk.mount()?;
        disk.private();
        Ok(disk)
    }

    /// The same, or a tmpfs where there are no loop devices.
    pub(crate) fn any(at: &Path, mib: u64) -> Result<Self, String> {
        let why = match Self::ext4(at, mib) {
            Ok(disk) => return Ok(disk),
            Err(why) if is_root() => why,
            Err(why) => return Err(why),
        };
        println!("no ext4 ({why}); a tmpfs takes its place");
        let size = format!("size={mib}m,mode=700");
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(at))?;
        Ok(Self { at: at.to_owned(), image: None })
    }

    /// What it is.
    pub(crate) const fn kind(&self) -> &'static str {
        if self.image.is_some() { "ext4" } else { "tmpfs" }
    }

    fn mount(&mut self) -> Result<(), String> {
        let image = self.image.as_ref().expect("a tmpfs is mounted once");
        run(Command::new("mount").args(["-t", "ext4", "-o", "loop"]).arg(image).arg(&self.at))
    }

    /// The frame refuses a directory that others can enter.
    fn private(&self) {
        run(Command::new("chmod").arg("700").arg(&self.at)).unwrap();
    }

    /// Everything that was written is on the disk.
    pub(crate) fn flush(&self) {
        run(Command::new("sync").arg("-f").arg(&self.at)).unwrap();
    }

    /// Whether this machine can cut the power of a disk, tried on one of its own at `at`. The error
    /// says what is missing.
    pub(crate) fn can_be_cut(at: &Path) -> Result<(), String> {
        let mut disk = Self::ext4(at, 16)?;
        disk.cut(Cut::AtOnce)?;
        disk.restore();
        Ok(())
    }

    /// From now on nothing reaches the disk any more, and every access fails.
    pub(crate) fn cut(&self, cut: Cut) -> Result<(), String> {
        let flag = (cut as u8).to_string();
        run(Command::new("python3").args(["-c", SHUTDOWN]).arg(&self.at).arg(flag))
    }

    /// The power is back: what the disk has is all there is. Whoever has a file open is waited for.
    pub(crate) fn restore(&mut self) {
        let started = Instant::now();
        while let Err(why) = run(Command::new("umount").arg(&self.at)) {
            assert!(started.elapsed() < UMOUNT_PATIENCE, "{why}");
            std::thread::sleep(Duration::from_millis(50));
        }
        self.mount().unwrap();
    }

    /// Takes all space that is left, and what becomes free later, until the filler is gone.
    pub(crate) fn fill(&self) -> Filler {
        let path = self.at.join("filler");
        let file = File::create(&path).unwrap();
        let state = Arc::new(State::default());
        let thread = std::thread::spawn({
            let state = Arc::clone(&state);
            move || state.keep_full(file)
        });
        let filler = Filler { path, state, thread: Some(thread) };
        while filler.state.quiet.load(Ordering::Relaxed) < QUIET_TRIES {
            std::thread::sleep(TRY_EVERY);
        }
        filler
    }

    /// On a full disk: takes the rest of a log's last block.
    pub(crate) fn fill_up(&self, log: &str) {
        let mut log = File::options().append(true).open(self.at.join(log)).unwrap();
        while log.write_all(b"\n").is_ok() {}
    }
}

/// The file that keeps a disk full. A segment that could not be prepared gives back what it had
/// got, as does a snapshot that failed, and retention what was removed: it takes all of it. Gone
/// with its guard.
pub(crate) struct Filler {
    path: PathBuf,
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct State {
    is_over: AtomicBool,
    /// Tries in a row in which nothing was taken.
    quiet: AtomicU32,
}

impl State {
    fn keep_full(&self, mut file: File) {
        let blocks = [vec![0x55; 1 << 20], vec![0x55; 4_096], vec![0x55]];
        while !self.is_over.load(Ordering::Relaxed) {
            let mut has_grown = false;
            for block in &blocks {
                while file.write_all(block).is_ok() {
                    has_grown = true;
                }
            }
            if has_grown {
                self.quiet.store(0, Ordering::Relaxed);
                // What was put by for later writes is free again only now. Room for the disk's own
                // bookkeeping may be missing; there are more tries.
                let _ = file.sync_all();
            } else {
                self.quiet.fetch_add(1, Ordering::Relaxed);
            }
            std::thread::sleep(TRY_EVERY);
        }
    }
}

impl Drop for Filler {
    fn drop(&mut self) {
        self.state.is_over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The loop device goes with the mount: it was made by it.
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
        if let Some(image) = &self.image {
            let _ = std::fs::remove_file(image);
        }
    }
}

/// Runs a program that must succeed.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
