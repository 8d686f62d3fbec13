//! Each byte of a small journal and of a small snapshot is flipped, one at a time: every start
//! reaches the identical state, or refuses with the file, the offset and the sequence.
//!
//! Of the bytes that are zero a sample is flipped, all of them with `BEZANT_FLIPS=all`. Invariant:
//! there is no third outcome.

use std::sync::OnceLock;

use journal::{MemoryStorage, RecoverError, Storage as _};
use pipeline::{Recovered, StartError};
use snapshot::{Catalogue, MemoryFiles};

use crate::golden::{snapshot, start};
use crate::rig::genesis;
use crate::story;

/// Of so many zero bytes one is flipped; a prime, so that it meets every place of a block.
const ZEROS_PER_FLIP: usize = 101;

/// What makes two starts the same.
type State = (u64, [u8; 16], [u8; 32]);

fn state(recovered: &Recovered) -> State {
    let engine = &recovered.engine;
    (recovered.report.next_sequence, engine.run_digest(), engine.image_digest())
}

/// A journal of a few segments that ends with a blank record, and the state that it gives.
fn small() -> (MemoryStorage, State) {
    static TOLD: OnceLock<(MemoryStorage, State)> = OnceLock::new();
    let (disk, state) = TOLD.get_or_init(|| {
        let disk = story::begin().end;
        let recovered = start(&disk.copy(), &MemoryFiles::new()).unwrap();
        (disk, state(&recovered))
    });
    (disk.copy(), *state)
}

/// Places to flip, and how.
fn flips(bytes: &[u8]) -> impl Iterator<Item = (u64, u8)> {
    let all = std::env::var("BEZANT_FLIPS").is_ok_and(|wanted| wanted == "all");
    let is_wanted = move |&(at, byte): &(usize, u8)| all || byte != 0 || at % ZEROS_PER_FLIP == 0;
    let mask = |at: usize| 1_u8 << (at.wrapping_mul(0x9e37_79b9) >> 7 & 7);
    bytes.iter().copied().enumerate().filter(is_wanted).map(move |(at, _)| (at as u64, mask(at)))
}

/// What became of the starts.
#[derive(Debug, Default)]
struct Count {
    same: u64,
    refused: u64,
}

/// Flips the bytes of a journal that gives the state `expected`.
fn flip_journal(disk: &MemoryStorage, files: &MemoryFiles, expected: State) -> Count {
    let mut count = Count::default();
    for number in disk.list().unwrap() {
        for (offset, mask) in flips(&disk.image(number).unwrap()) {
            let damaged = disk.copy();
            damaged.flip(number, offset, mask);
            match start(&damaged, files) {
                Ok(recovered) => {
                    assert_eq!(state(&recovered), expected, "segment {number}, byte {offset}");
                    count.same += 1;
                }
                Err(error) => {
                    is_told(&error, &disk.name(number), offset);
                    count.refused += 1;
                }
            }
        }
    }
    println!("{count:?}");
    count
}

/// A refusal names the damaged record's place.
fn is_told(error: &StartError, file: &str, flipped: u64) {
    let text = error.to_string();
    let StartError::Journal(RecoverError::Corrupt(damage)) = error else {
        assert!(flipped < 4_096, "byte {flipped} of {file}: {text}");
        // Without the oldest record nobody knows its sequence.
        assert!(text.contains(file) && text.contains("offset 0, where the "), "{text}");
        return;
    };
    assert_eq!(damage.file, file, "{text}");
    assert!(damage.offset <= flipped, "byte {flipped}: {text}");
    for word in [file, &format!("offset {}", damage.offset), &format!("{})", damage.sequence)] {
        assert!(text.contains(word), "{word} is not in: {text}");
    }
}

#[test]
fn each_byte_of_a_journal_is_the_same_state_or_a_refusal() {
    let (disk, expected) = small();
    let count = flip_journal(&disk, &MemoryFiles::new(), expected);
    assert!(count.refused > 5_000 && count.same > 500, "{count:?}");
}

#[test]
fn each_byte_of_a_journal_behind_a_snapshot_is_the_same_state_or_a_refusal() {
    let (disk, expected) = small();
    let files = MemoryFiles::new();
    let catalogue = Catalogue::new(files.clone(), genesis().frame);
    let taken = snapshot(&story::begin().middle, &catalogue);
    let whole = flip_journal(&disk, &files, expected);
    assert!(whole.refused > 1_000 && whole.same > 1_000, "{whole:?}");
    // The same without what the snapshot makes superfluous.
    journal::retire(&disk, taken.meta.index).unwrap();
    assert!(disk.list().unwrap()[0] > 1);
    let shortened = flip_journal(&disk, &files, expected);
    assert!(shortened.refused >= whole.refused && shortened.same < whole.same, "{shortened:?}");
}

#[test]
fn each_byte_of_a_snapshot_is_the_same_state_or_a_refusal() {
    let (disk, expected) = small();
    let files = MemoryFiles::new();
    let name = snapshot(&disk, &Catalogue::new(files.clone(), genesis().frame)).name;
    let shortened = disk.copy();
    let last = *disk.list().unwrap().last().unwrap();
    assert!(last > 1);
    journal::retire(&shortened, u64::MAX).unwrap();
    assert!(shortened.list().unwrap()[0] > 1);
    for (offset, mask) in flips(&files.image(&name).unwrap()) {
        let damaged = files.copy();
        damaged.flip(&name, offset, mask);
        // With the whole journal the state is the same, and the snapshot is named.
        let recovered = start(&disk.copy(), &damaged).unwrap();
        assert_eq!(state(&recovered), expected, "byte {offset}");
        assert!(recovered.snapshot.is_none(), "byte {offset} does not matter");
        let said = recovered.refused[0].error.to_string();
        assert!(said.contains("offset"), "byte {offset}: {said}");
        // Without its beginning nothing can be started from.
        let Err(error) = start(&shortened.copy(), &damaged) else {
            panic!("byte {offset}: started from a damaged snapshot");
        };
        let text = error.to_string();
        assert!(matches!(error, StartError::NoBase { .. }), "byte {offset}: {text}");
        assert!(text.contains(&name) && text.contains("offset"), "byte {offset}: {text}");
    }
    let recovered = start(&shortened.copy(), &files).unwrap();
    assert_eq!(state(&recovered), expected);
}
