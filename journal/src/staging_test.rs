//! Runs go out whole, once and in order, whatever the medium says.

use super::*;
use crate::storage::{SegmentSync, SegmentWrite};

type Writes = Arc<Mutex<Vec<(u64, Vec<usize>, Vec<u8>)>>>;

/// Remembers each write; takes so many bytes of one, or none.
struct Medium {
    writes: Writes,
    takes: Arc<Mutex<Option<usize>>>,
}

impl Sink for Medium {
    fn write(&self, offset: u64, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let bytes: Vec<u8> = slices.iter().flat_map(|slice| slice.to_vec()).collect();
        assert!(slices.iter().all(|slice| slice.as_ptr().addr().is_multiple_of(BLOCK as usize)));
        let len = bytes.len();
        lock(&self.writes).push((offset, slices.iter().map(|slice| slice.len()).collect(), bytes));
        Ok(lock(&self.takes).unwrap_or(len))
    }
}

struct Segment {
    writer: StagedWriter,
    sync: StagedSync,
    writes: Writes,
    takes: Arc<Mutex<Option<usize>>>,
}

impl Segment {
    fn new(number: u64, staging: &Arc<Staging>) -> Self {
        let (writes, takes) = (Writes::default(), Arc::default());
        let sink = Box::new(Medium { writes: Arc::clone(&writes), takes: Arc::clone(&takes) });
        let name = format!("segment {number}");
        let target = Arc::new(Target { number, name, len: 64 << 20, sink });
        let writer = StagedWriter::new(Arc::clone(staging), Arc::clone(&target));
        Self { writer, sync: StagedSync { staging: Arc::clone(staging), target }, writes, takes }
    }

    /// A record of `len` bytes that ends `gap` bytes earlier.
    fn append(&mut self, offset: u64, len: u64, gap: u64, byte: u8) {
        self.writer.begin(offset, len).unwrap();
        self.writer.write(offset, &vec![byte; (len - gap) as usize]).unwrap();
        self.writer.finish();
    }

    fn written(&self) -> Vec<(u64, Vec<usize>)> {
        lock(&self.writes).iter().map(|(at, lens, _)| (*at, lens.clone())).collect()
    }
}

#[test]
fn neighbours_go_out_together_and_padding_is_zero() {
    let staging = Arc::default();
    let mut segment = Segment::new(1, &staging);
    // Fills a buffer, so that the next records find old bytes in theirs.
    segment.append(0, 16_384, 0, 0xff);
    segment.sync.sync(0, 16_384).unwrap();
    segment.append(16_384, 8_192, 4_000, 1);
    segment.append(24_576, 4_096, 100, 2);
    segment.append(28_672, 1 << 20, 1, 3);
    segment.append((1 << 20) + 28_672, 4_096, 0, 4);
    segment.sync.sync(16_384, 1 << 20).unwrap();
    let joined = (1 << 20) + 4_096;
    assert_eq!(segment.written()[1..], [(16_384, vec![12_288, joined])]);
    let bytes = lock(&segment.writes)[1].2.clone();
    let expected = |at: usize| match at {
        0..4_192 => 1,
        8_192..12_188 => 2,
        12_288..=1_060_862 => 3,
        1_060_864.. => 4,
        _ => 0,
    };
    assert!(bytes.iter().enumerate().all(|(at, &byte)| byte == expected(at)));
    segment.sync.sync(0, 2 << 20).unwrap();
    assert_eq!(segment.written().len(), 2, "nothing is written twice");
}

#[test]
fn a_later_segment_waits_for_an_earlier_one() {
    let staging = Arc::default();
    let (mut old, mut new) = (Segment::new(1, &staging), Segment::new(2, &staging));
    old.append(8_192, 4_096, 0, 1);
    new.append(0, 4_096, 0, 2);
    new.append(4_096, 4_096, 0, 3);
    new.sync.sync(0, 4_096).unwrap();
    assert_eq!(old.written(), [(8_192, vec![4_096])]);
    assert_eq!(new.written(), [(0, vec![8_192])]);
}

#[test]
fn an_earlier_segment_does_not_wait_for_a_later_one() {
    let staging = Arc::default();
    let (mut old, mut new) = (Segment::new(1, &staging), Segment::new(2, &staging));
    old.append(0, 4_096, 0, 1);
    new.append(0, 4_096, 0, 2);
    old.sync.sync(0, 4_096).unwrap();
    assert_eq!((old.written().len(), new.written().len()), (1, 0));
}

#[test]
fn without_a_buffer_the_appender_writes() {
    let staging: Arc<Staging> = Arc::default();
    let mut segment = Segment::new(1, &staging);
    let long = 2 * JOIN_LEN_MAX;
    for at in 0..3 * BUFFERS_MAX as u64 {
        segment.append(at * long, long, 0, at as u8);
    }
    assert_eq!(segment.written().len(), 2);
    assert_eq!(lock(&staging.state).made, BUFFERS_MAX);
    segment.sync.sync(0, 3 * BUFFERS_MAX as u64 * long).unwrap();
    let all: Vec<u8> = lock(&segment.writes).iter().flat_map(|write| write.2.clone()).collect();
    let expected = all.iter().enumerate().all(|(at, &byte)| u64::from(byte) == at as u64 / long);
    assert!(expected && all.len() as u64 == 3 * BUFFERS_MAX as u64 * long);
}

#[test]
fn a_short_write_is_final() {
    let staging = Arc::default();
    let mut segment = Segment::new(1, &staging);
    segment.append(0, 8_192, 0, 1);
    *lock(&segment.takes) = Some(4_096);
    let error = segment.sync.sync(0, 8_192).unwrap_err().to_string();
    assert!(error.contains("only 4096 of 8192 bytes") && error.contains("segment 1"), "{error}");
    *lock(&segment.takes) = None;
    segment.sync.sync(0, 8_192).unwrap_err();
    segment.append(8_192, 4_096, 0, 1);
    segment.sync.sync(8_192, 4_096).unwrap_err();
    assert_eq!(segment.written().len(), 1, "neither tried again nor gone on behind");
}
