//! The file of the audit log: one JSON object a line, each with the hash of everything before it.
//!
//! A line ends with `,"hash":"<64 hex digits>"}`; the hash is BLAKE3 over the hash of the line
//! before and the text before that ending. It keeps nobody from cutting lines off the end: whoever
//! may need to prove more keeps the last hash elsewhere. Invariant: a file that does not verify is
//! never written to again, and a file has its first line before it has its name.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use crate::audit::hex;

/// The file that is written.
pub(super) const FILE: &str = "audit.log";
/// The next one, while its first line is written.
const NEXT: &str = "audit.log.next";
/// A file larger than this is left as it is, and a new one begun.
pub(super) const FILE_SIZE_MAX: u64 = 64 << 20;
/// The longest line; what is written is far shorter.
const LINE_LEN_MAX: usize = 64 << 10;
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
    assert!(text.len() + ENDING_LEN < LINE_LEN_MAX, "a line that is written can be read back");
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
    /// Name of the file that it goes on from, if it does.
    pub(super) after: Option<String>,
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
    let mut verified = Verified { lines: 0, len: 0, previous: last, after: None, last, flaw: None };
    loop {
        line.clear();
        let mut limited = io::Read::take(&mut reader, LINE_LEN_MAX as u64);
        let read = limited.read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(verified);
        }
        if verified.lines == 0 {
            if let Some((previous, after)) = previous_of(&line) {
                (verified.previous, verified.after) = (previous, Some(after));
            }
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

/// The hash that a first line says it goes on from, and the file.
fn previous_of(line: &[u8]) -> Option<(Hash, String)> {
    let object: serde_json::Value = serde_json::from_slice(line).ok()?;
    let text = object.get("previous")?.as_str()?;
    let file = object.get("file")?.as_str()?.to_owned();
    Some((*blake3::Hash::from_hex(text).ok()?.as_bytes(), file))
}

/// A log to write to.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) file: File,
    /// What the file holds.
    pub(super) held: Verified,
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
/// new one with the line that `first` makes of what was left.
pub(super) fn open(dir: &Path, first: impl Fn(&Left) -> String) -> io::Result<Opened> {
    let path = dir.join(FILE);
    let is_there = path.exists();
    if !is_there || std::fs::metadata(&path)?.len() == 0 {
        // A crash came between the two names of a succession, or this is the first start.
        if let Some((_, path)) = left_files(dir)?.pop() {
            let verified = verify(&path)?;
            let left = Left { path, verified };
            let (file, held) = prepare(dir, &first(&left), left.verified.last)?;
            install(dir)?;
            return Ok(Opened { file, held, left: Some(left) });
        }
    }
    let file = open_private(&path, OpenOptions::new().create(true))?;
    if !is_there {
        File::open(dir)?.sync_all()?;
    }
    let held = verify(&path)?;
    let has_flaw = held.flaw.is_some();
    if !has_flaw && held.len <= FILE_SIZE_MAX {
        return Ok(Opened { file, held, left: None });
    }
    match succeed(dir, held.clone(), first) {
        // A long file can be written to until there is room for the next.
        Err(_) if !has_flaw => Ok(Opened { file, held, left: None }),
        succeeded => succeeded,
    }
}

/// Leaves the file that is written, which holds `verified`, and begins the next.
pub(super) fn succeed(
    dir: &Path,
    verified: Verified,
    first: impl Fn(&Left) -> String,
) -> io::Result<Opened> {
    let number = left_files(dir)?.last().map_or(1, |&(number, _)| number + 1);
    let (path, last) = (dir.join(format!("{FILE}.{number}")), verified.last);
    let left = Left { path, verified };
    let (file, held) = prepare(dir, &first(&left), last)?;
    std::fs::rename(dir.join(FILE), &left.path)?;
    if let Err(error) = install(dir) {
        // Should this fail too, the next start puts it right.
        let _ = std::fs::rename(&left.path, dir.join(FILE));
        return Err(error);
    }
    Ok(Opened { file, held, left: Some(left) })
}

/// Gives the next file its name.
fn install(dir: &Path) -> io::Result<()> {
    std::fs::rename(dir.join(NEXT), dir.join(FILE))?;
    // The names are right now; whether they last is not worth stopping for.
    let _ = File::open(dir).and_then(|dir| dir.sync_all());
    Ok(())
}

/// Writes and syncs the first line of the next file.
fn prepare(dir: &Path, first: &str, previous: Hash) -> io::Result<(File, Verified)> {
    let path = dir.join(NEXT);
    if let Err(error) = std::fs::remove_file(&path)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = open_private(&path, OpenOptions::new().create_new(true))?;
    let (mut last, mut bytes) = (previous, Vec::new());
    seal(&mut last, first, &mut bytes);
    file.write_all(&bytes)?;
    file.sync_all()?;
    let held = verify(&path)?;
    assert!(held.lines == 1 && held.last == last, "what was written can be read back");
    Ok((file, held))
}

fn open_private(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    let file = options.append(true).mode(0o600).open(path)?;
    let mode = file.metadata()?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let text = format!("others can reach it, mode {mode:04o}; set it to 0600");
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, text));
    }
    Ok(file)
}

/// The files of the log, oldest first; the one that is written is the last.
pub(super) fn files(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let left = left_files(dir)?.into_iter().map(|(_, path)| path);
    Ok(left.chain([dir.join(FILE)]).collect())
}

/// The files that are not written to any more, oldest first, whatever is missing between them.
fn left_files(dir: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(FILE)?.strip_prefix('.'));
        let Some(number) = number.and_then(|text| text.parse::<u64>().ok()) else {
            continue;
        };
        files.push((number, dir.join(name)));
    }
    files.sort_unstable();
    Ok(files)
}
