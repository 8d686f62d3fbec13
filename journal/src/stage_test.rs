//! Any cut of a payload into parts gives the same bytes and the same hash.

use super::*;

struct Sink(Vec<u8>);

impl SegmentWrite for Sink {
    fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<(), StorageError> {
        assert_eq!(offset, self.0.len() as u64, "pieces come in order, without gaps");
        self.0.extend_from_slice(bytes);
        Ok(())
    }
}

#[test]
fn parts_of_any_size_are_one_payload() {
    let bytes: Vec<u8> =
        (0..400_000_u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 11) as u8).collect();
    let window = WINDOW;
    let cuts: &[&[usize]] = &[
        &[],
        &[0],
        &[16],
        &[0, 16, 0],
        &[window],
        &[window - 16, 16],
        &[window, 16],
        &[window - 16, 32],
        &[64, 3 * window, 64, 128],
        &[64, window, window, window],
        &[window, window, window - 64, 64],
        &[100_000, 16, 100_000, 70_000, 48],
    ];
    let mut stage = Stage::new();
    let many = [48; 5_000];
    for lens in cuts.iter().copied().chain([&many[..]]) {
        let mut parts = Vec::new();
        let mut at = 0;
        for len in lens {
            parts.push(&bytes[at..at + len]);
            at += len;
        }
        let mut sink = Sink(Vec::new());
        let hash = stage.copy_and_hash(&mut sink, 0, &parts, at as u64).unwrap();
        assert!(sink.0 == bytes[..at], "parts {lens:?}");
        assert_eq!(hash, *blake3::hash(&bytes[..at]).as_bytes(), "parts {lens:?}");
    }
}
