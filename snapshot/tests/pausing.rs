//! Files that pause for others. Invariant: every piece that is written or read is followed by a
//! pause of whoever works with it, and by nobody else's.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, ThreadId};

use snapshot::{CHUNK_BYTES, Catalogue, DirFiles};

use crate::disk::{FRAME, body, take};

/// Chunks, more than enough for a thread that would read ahead.
const CHUNKS: usize = 20;

#[test]
fn each_piece_is_followed_by_a_pause_of_who_asked_for_it() {
    let pauses = Arc::new(AtomicUsize::new(0));
    let threads = Arc::new(Mutex::new(Vec::<ThreadId>::new()));
    let (counted, seen) = (Arc::clone(&pauses), Arc::clone(&threads));
    let dir = tempfile::tempdir().unwrap();
    let files = DirFiles::new(dir.path()).pausing(Arc::new(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        seen.lock().unwrap().push(thread::current().id());
    }));
    let catalogue = Catalogue::new(files, FRAME);
    let bytes = body(CHUNKS * CHUNK_BYTES);
    let name = take(&catalogue, 10, &bytes).unwrap();
    let taken = pauses.swap(0, Ordering::Relaxed);
    assert!(taken > 2 * CHUNKS, "{taken}: each chunk was written, and read back");

    let mut reader = catalogue.open(&name).unwrap();
    reader.read_ahead();
    let mut found = vec![0; bytes.len()];
    reader.fill(&mut found).unwrap();
    assert!(found == bytes);
    assert!(pauses.load(Ordering::Relaxed) >= CHUNKS);
    let here = thread::current().id();
    assert!(threads.lock().unwrap().iter().all(|&thread| thread == here), "nobody reads ahead");
}
