//! Nothing goes that anybody needs: the plan by each holder, and frames that take snapshots,
//! settle, forget, crash and start again in any order.

use std::ops::ControlFlow;

use journal::MemoryStorage;
use pipeline::{Claims, Holder, Kept, plan, retain, take};
use protocol::Sequence;
use protocol::cut::Effects;
use protocol::effect::Effect;
use snapshot::{Catalogue, MemoryFiles, Meta};

use crate::rig::{Rig, SECOND};
use crate::shelf::{END, OPTIONS, Record, catalogue, digests, past, records, replay, start};

/// Snapshots of these records, newest first; sequence and time tell the record.
fn metas(indexes: &[u64]) -> Vec<Meta> {
    let meta = |&index: &u64| Meta {
        frame: 1,
        sequence: Sequence(index * 10),
        index,
        epoch: 1,
        timestamp_ns: index * 1_000,
        chain_hash: [0; 32],
        run_digest: [0; 16],
        image_digest: [0; 32],
    };
    indexes.iter().map(meta).collect()
}

#[test]
fn each_holder_keeps_what_it_needs() {
    let all = metas(&[50, 40, 30, 20, 10]);
    let at = |floor, holder| Kept { floor, holder };
    let free = Claims { snapshots: &all, settled: None, keep_after_ns: u64::MAX, followers: &[] };
    let settled = |through| Claims { settled: Some(Sequence(through)), ..free };
    let age = |keep_after_ns| Claims { keep_after_ns, ..free };
    let followers = |followers| Claims { followers, ..free };
    let table = [
        ("the second newest", free, at(40, None)),
        ("settled to the end", settled(999), at(40, None)),
        ("settled to a snapshot", settled(300), at(20, Some(Holder::Settlement))),
        ("settled behind one", settled(399), at(20, Some(Holder::Settlement))),
        ("settled to the oldest", settled(100), at(0, Some(Holder::Settlement))),
        ("settled before all", settled(99), at(0, Some(Holder::Settlement))),
        ("nothing settled yet", settled(0), at(0, Some(Holder::Settlement))),
        ("old enough", age(20_000), at(20, Some(Holder::Age))),
        ("nothing is old enough", age(9_999), at(0, Some(Holder::Age))),
        ("followers that have all", followers(&[77, 50]), at(40, None)),
        ("a slow follower", followers(&[77, 33]), at(33, Some(Holder::Follower))),
        ("a new follower", followers(&[0, 77]), at(0, Some(Holder::Follower))),
        ("one snapshot", Claims { snapshots: &all[..1], ..free }, at(0, Some(Holder::Snapshots))),
        ("none", Claims { snapshots: &[], ..settled(5) }, at(0, Some(Holder::Snapshots))),
        (
            "the lowest of all",
            Claims {
                settled: Some(Sequence(300)),
                keep_after_ns: 10_500,
                followers: &[25],
                ..free
            },
            at(10, Some(Holder::Age)),
        ),
    ];
    for (case, claims, expected) in table {
        assert_eq!(plan(&claims), expected, "{case}");
    }
}

/// A generator that repeats (splitmix64).
struct Draw(u64);

impl Draw {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

/// A frame, its snapshots, and what a naive reader remembers of everything.
struct Life {
    rig: Rig,
    files: MemoryFiles,
    catalogue: Catalogue,
    all: Vec<Record>,
    settled: Sequence,
    retired: u64,
}

impl Life {
    fn new() -> Self {
        let mut rig = Rig::new();
        rig.open_accounts();
        let files = MemoryFiles::new();
        let catalogue = catalogue(&files);
        let mut life =
            Self { rig, files, catalogue, all: Vec::new(), settled: Sequence(0), retired: 0 };
        life.remember();
        life
    }

    /// Writes down every record that is new.
    fn remember(&mut self) {
        let next = self.all.len() as u64 + 1;
        self.all.extend(records(&self.rig.disk, next));
    }

    fn pay(&mut self, draw: &mut Draw) {
        for _ in 0..3 + draw.below(6) {
            self.rig.pay(draw.below(4).into(), 1 + draw.below(6) as usize).unwrap();
            self.rig.now_ns += SECOND / 20;
            self.rig.turn();
            self.rig.replies();
        }
        self.remember();
    }

    /// By a replay beside the frame, as a second process does it.
    fn take(&self) {
        let until = self.all.len() as u64;
        let mut replay =
            past(&self.rig.disk, &self.files).replay_from(END, OPTIONS, until).unwrap();
        while replay.next(|_| ()).unwrap().is_some() {}
        let (boundary, index) = (replay.boundary(), replay.index());
        let engine = replay.into_parts().0.into_engine().unwrap();
        // The power may go meanwhile.
        let _taken_or_not = take(&self.catalogue, engine, boundary, index, OPTIONS);
    }

    fn retain(&mut self, draw: &mut Draw) {
        let snapshots = self.catalogue.verified().unwrap();
        let keep_after_ns = match draw.below(2) {
            0 => u64::MAX,
            _ => self.rig.now_ns - draw.below(4 * SECOND),
        };
        let settled = Some(self.settled);
        let kept = plan(&Claims { snapshots: &snapshots, settled, keep_after_ns, followers: &[] });
        if let Ok(retained) = retain(&self.rig.disk, &self.catalogue, kept) {
            self.retired += retained.journal.segments;
        }
    }

    fn crash(mut self, draw: &mut Draw) -> Self {
        let (disk, now_ns, requests) =
            (self.rig.disk.clone(), self.rig.now_ns + SECOND, self.rig.requests);
        drop(self.rig);
        disk.crash(draw.below(u64::MAX));
        self.files.crash(draw.below(u64::MAX));
        let (recovered, _) = start(&disk, &self.files, None).unwrap();
        self.rig = Rig::resume(disk, recovered, now_ns, requests);
        self.rig.turn();
        // A new process believes what it has verified itself.
        self.catalogue = catalogue(&self.files);
        for entry in self.catalogue.list().unwrap() {
            self.catalogue.verify(&entry.name).unwrap();
        }
        self.remember();
        self
    }

    /// What is kept is enough, whichever snapshot is damaged, if one is.
    fn check(&self) {
        let names = self.files.names();
        self.check_without(&names.iter().map(Some).chain([None]).collect::<Vec<_>>());
    }

    /// What is kept gives the state and every posting that is not settled, with each of these
    /// damaged in turn.
    fn check_without(&self, damaged: &[Option<&String>]) {
        let whole = replay(&self.all);
        let engine = whole.engine().unwrap();
        let (expected, through) = (digests(engine), engine.executed());
        let (disk, until) = (self.rig.disk.copy(), self.all.len() as u64);
        let due = postings(&self.all, self.settled);
        for &bad in damaged {
            let files = self.files.copy();
            if let Some(name) = bad {
                files.flip(name, 300, 1);
            }
            let (recovered, _) = start(&disk.copy(), &files, None).unwrap();
            assert_eq!(digests(&recovered.engine), expected, "without {bad:?}");
            let mut told = Vec::new();
            let all = past(&disk, &files).effects(self.settled, through, until, &mut |block| {
                told.extend_from_slice(block);
                ControlFlow::<()>::Continue(())
            });
            assert!(all.unwrap().is_continue(), "without {bad:?}");
            assert_eq!(told, due, "without {bad:?}");
        }
    }
}

/// Of every command after `after`, by a replay of everything.
fn postings(all: &[Record], after: Sequence) -> Vec<Effect> {
    let mut whole = replay(all);
    let engine = whole.engine_mut().unwrap();
    engine.open_cut(false);
    let Effects::All(mut effects) = engine.cut_step(usize::MAX).unwrap().effects else {
        panic!("everything is remembered");
    };
    effects.retain(|effect| effect.sequence > after.0);
    effects
}

#[test]
fn whatever_is_taken_settled_retired_and_crashed_the_state_is_found_again() {
    let mut retired = 0;
    for seed in 0..12 {
        let mut draw = Draw(seed);
        let mut life = Life::new();
        for _ in 0..40 {
            match draw.below(9) {
                0..=2 => life.pay(&mut draw),
                3 | 4 => life.take(),
                5 => {
                    let whole = replay(&life.all);
                    life.settled = whole.engine().unwrap().executed();
                }
                6 | 7 => life.retain(&mut draw),
                _ => {
                    // The power goes in the middle of whatever the snapshots are at.
                    life.files.stop_after(Some(draw.below(8)));
                    if draw.below(2) == 0 {
                        life.take();
                    } else {
                        life.retain(&mut draw);
                    }
                    life = life.crash(&mut draw);
                    let names = life.files.names();
                    // One past the names is none.
                    let at = draw.below(names.len() as u64 + 1) as usize;
                    life.check_without(&[names.get(at)]);
                }
            }
        }
        life.check();
        retired += life.retired;
    }
    assert!(retired > 12, "{retired} segments were retired");
}

#[test]
fn nothing_of_the_journal_goes_without_two_snapshots_that_verify() {
    let mut draw = Draw(1);
    let mut life = Life::new();
    for _ in 0..12 {
        life.pay(&mut draw);
    }
    life.take();
    for _ in 0..12 {
        life.pay(&mut draw);
    }
    life.take();
    life.settled = END;
    let segments = |disk: &MemoryStorage| journal::segments(disk).unwrap().len();
    let before = segments(&life.rig.disk);
    let names = life.files.names();
    // A plan made before the damage was found.
    let floor = life.catalogue.verified().unwrap()[1].index;
    let kept = Kept { floor, holder: None };
    life.files.flip(&names[0], 300, 1);
    let fresh = catalogue(&life.files);
    let retained = retain(&life.rig.disk, &fresh, kept).unwrap();
    assert_eq!((retained.journal.segments, retained.snapshots.suspect.len()), (0, 1));
    assert_eq!((segments(&life.rig.disk), life.files.names()), (before, names.clone()));
    life.files.flip(&names[0], 300, 1);
    let fresh = catalogue(&life.files);
    assert!(retain(&life.rig.disk, &fresh, kept).unwrap().journal.segments > 0);
    life.settled = fresh.verified().unwrap()[0].sequence;
    life.check();
}
