//! Snapshots of bodies that mean nothing, on a disk in memory.
//! Invariant: what `take` returns was read back and is the body that was given.

use protocol::Sequence;
use snapshot::{Catalogue, MemoryFiles, Meta, Reader, SnapshotError};

pub(crate) const FRAME: u128 = 7;

pub(crate) fn meta(sequence: u64) -> Meta {
    Meta {
        frame: FRAME,
        sequence: Sequence(sequence),
        index: sequence / 2 + 1,
        epoch: 1,
        timestamp_ns: 1_000 * sequence,
        chain_hash: [3; 32],
        run_digest: [4; 16],
        image_digest: [5; 32],
    }
}

/// A body of `len` bytes that differ.
pub(crate) fn body(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 / 7) as u8).collect()
}

/// Takes the snapshot of `sequence` with this body.
pub(crate) fn take(
    catalogue: &Catalogue,
    sequence: u64,
    body: &[u8],
) -> Result<String, SnapshotError> {
    let hand_over = |sink: &mut dyn FnMut(&[u8])| body.chunks(1_000).for_each(sink);
    catalogue.create(&meta(sequence), hand_over, |reader| {
        let mut read = vec![0; body.len()];
        reader.fill(&mut read)?;
        if read == body { Ok(()) } else { Err("other bytes".into()) }
    })
}

/// The whole body of a snapshot.
pub(crate) fn read(catalogue: &Catalogue, name: &str) -> Result<Vec<u8>, SnapshotError> {
    let mut reader: Reader = catalogue.open(name)?;
    let mut bytes = vec![0; reader.left() as usize];
    reader.fill(&mut bytes)?;
    reader.finish()?;
    Ok(bytes)
}

/// Changes a file where it lies.
pub(crate) fn edit(disk: &MemoryFiles, name: &str, edit: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = disk.image(name).expect("the file is there");
    edit(&mut bytes);
    disk.put(name, bytes);
}

/// A catalogue of the files on a disk.
pub(crate) fn catalogue(disk: &MemoryFiles) -> Catalogue {
    Catalogue::new(disk.clone(), FRAME)
}
