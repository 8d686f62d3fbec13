//! A small disk of one's own: an ext4 in a file behind a loop device, which can be filled, and cut
//! off as a power cut would. Where there is no loop device it is a tmpfs, and says so.
//!
//! Needs root. Invariant: mount, device and file are gone with the guard, also after a panic.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::cluster::is_root;

/// A disk is full when it takes nothing in so many tries in a row.
const QUIET_TRIES: u32 = 6;
/// The pause between them.
const TRY_EVERY: Duration = Duration::from_millis(50);
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

    /// From now on nothing reaches the disk any more, and every access fails.
    pub(crate) fn cut(&self, cut: Cut) -> Result<(), String> {
        let flag = (cut as u8).to_string();
        run(Command::new("python3").args(["-c", SHUTDOWN]).arg(&self.at).arg(flag))
    }

    /// The power is back: what the disk has is all there is. Nobody may have a file open.
    pub(crate) fn restore(&mut self) {
        run(Command::new("umount").arg(&self.at)).unwrap();
        self.mount().unwrap();
    }

    /// Takes all space that is left; returns the file that holds it.
    pub(crate) fn fill(&self) -> PathBuf {
        let path = self.at.join("filler");
        let mut file = File::create(&path).unwrap();
        // A segment that could not be prepared gives back what it had got, and the file system
        // what it had put by: it is full when nothing comes for a while.
        let mut quiet = 0;
        while quiet < QUIET_TRIES {
            quiet += 1;
            for len in [1 << 20, 4_096, 1] {
                while file.write_all(&vec![0x55; len]).is_ok() {
                    quiet = 0;
                }
            }
            file.sync_all().unwrap();
            std::thread::sleep(TRY_EVERY);
        }
        path
    }

    /// On a full disk: takes the rest of a log's last block.
    pub(crate) fn fill_up(&self, log: &str) {
        let mut log = File::options().append(true).open(self.at.join(log)).unwrap();
        while log.write_all(b"\n").is_ok() {}
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
