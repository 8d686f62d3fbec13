//! The file of the audit log: one JSON object a line, each with the hash of everything before it.
//!
//! A line ends with `,"hash":"<64 hex digits>"}`; the hash is BLAKE3 over the hash of the line
//! before and the text before that ending. It keeps nobody from cutting lines off the end: whoever
//! may need to prove more keeps the last hash elsewhere. Invariant: a file that does not verify is
//! never written to again.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::audit::hex;

/// The file that is written.
pub(super) const FILE: &str = "audit.log";
/// A file larger than this is left as it is at the next start, and a new one begun.
const FILE_SIZE_MAX: u64 = 64 << 20;
/// The longest line that is read back; what is written is far shorter.
const LINE_LEN_MAX: u64 = 64 << 10;
/// Files that were left, at most.
const FILES_MAX: u32 = 100_000;
/// Length of `,"hash":"` + 64 + `"}`.
const ENDING_LEN: usize = 9 + 64 + 2;

/// Hash of a line.
pub(super) type Hash = [u8; 32];

/// The hash before the first line of all.
pub(super) fn genesis() -> Hash {
    *blake3::hash(b"bezant audit log v1").as_bytes()
}

fn hash_of(last: &Hash, text: &[u8]) -> Hash {
    *blake3::Hasher::new().update(last).update(text).finalize().as_bytes()
}

/// Appends the line of a JSON object to `out`, and moves `last` on.
pub(super) fn seal(last: &mut Hash, object: &str, out: &mut Vec<u8>) {
    let text = object.strip_suffix('}').expect("an object ends with a brace");
    *last = hash_of(last, text.as_bytes());
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b",\"hash\":\"");
    out.extend_from_slice(hex(last).as_bytes());
    out.extend_from_slice(b"\"}\n");
}

/// What a file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Verified {
    /// Lines that verify, from the first on.
    pub(super) lines: u64,
    /// Their bytes.
    pub(super) len: u64,
    /// The hash that the first line goes on from.
    pub(super) previous: Hash,
    /// Hash of the last of them.
    pub(super) last: Hash,
    /// What is wrong with the line after them, if there is one.
    pub(super) flaw: Option<&'static str>,
}

/// Reads a file from its beginning to its end or its first flaw.
pub(super) fn verify(path: &Path) -> io::Result<Verified> {
    let mut reader = BufReader::new(File::open(path)?);
    let mut line = Vec::new();
    let last = genesis();
    let mut verified = Verified { lines: 0, len: 0, previous: last, last, flaw: None };
    loop {
        line.clear();
        let read = io::Read::take(&mut reader, LINE_LEN_MAX).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(verified);
        }
        if verified.lines == 0 {
            verified.previous = previous_of(&line).unwrap_or_else(genesis);
            verified.last = verified.previous;
        }
        match judge(&verified.last, &line) {
            Ok(hash) => verified.last = hash,
            Err(flaw) => return Ok(Verified { flaw: Some(flaw), ..verified }),
        }
        verified.lines += 1;
        verified.len += line.len() as u64;
    }
}

fn judge(last: &Hash, line: &[u8]) -> Result<Hash, &'static str> {
    let object = line.strip_suffix(b"\n").ok_or("the line is not whole")?;
    let at = object.len().checked_sub(ENDING_LEN).ok_or("the line has no hash")?;
    let (text, ending) = object.split_at(at);
    let hash = hash_of(last, text);
    let wanted = format!(",\"hash\":\"{}\"}}", hex(&hash));
    if ending == wanted.as_bytes() {
        Ok(hash)
    } else {
        Err("the line or one before it was changed")
    }
}

/// The hash that a first line says it goes on from.
fn previous_of(line: &[u8]) -> Option<Hash> {
    let object: serde_json::Value = serde_json::from_slice(line).ok()?;
    let text = object.get("previous")?.as_str()?;
    Some(*blake3::Hash::from_hex(text).ok()?.as_bytes())
}

/// A log to write to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    /// Length of what verifies, where the next line goes.
    pub(super) len: u64,
    /// Hash of the last line.
    pub(super) last: Hash,
    /// The file that was left, if one was.
    pub(super) left: Option<Left>,
}

/// A file that is not written to any more.
#[derive(Debug)]
pub(super) struct Left {
    /// Its name from now on.
    pub(super) path: PathBuf,
    /// What it holds.
    pub(super) verified: Verified,
}

/// Opens the log in `dir`, verifying what is there; leaves a damaged or large file and begins a
/// new one.
pub(super) fn open(dir: &Path) -> io::Result<Opened> {
    let path = dir.join(FILE);
    let file = open_private(&path)?;
    let verified = verify(&path)?;
    if verified.flaw.is_none() && verified.len <= FILE_SIZE_MAX {
        return Ok(Opened { file, len: verified.len, last: verified.last, left: None });
    }
    let aside = free_name(dir)?;
    std::fs::rename(&path, &aside)?;
    let file = open_private(&path)?;
    File::open(dir)?.sync_all()?;
    let last = verified.last;
    Ok(Opened { file, len: 0, last, left: Some(Left { path: aside, verified }) })
}

fn open_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let text = format!("others can reach it, mode {mode:04o}; set it to 0600");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(file)
}

/// The files of the log, oldest first; the one that is written is the last.
pub(super) fn files(dir: &Path) -> Vec<PathBuf> {
    let left = (1..=FILES_MAX).map(|number| aside(dir, number)).take_while(|path| path.exists());
    left.chain([dir.join(FILE)]).collect()
}

fn free_name(dir: &Path) -> io::Result<PathBuf> {
    let free = (1..=FILES_MAX).map(|number| aside(dir, number)).find(|path| !path.exists());
    free.ok_or_else(|| io::Error::other("there are too many audit logs here; move some away"))
}

fn aside(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{FILE}.{number}"))
}
