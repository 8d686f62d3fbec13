//! One simulated file: a durable and a current image, and the fate of each sector in a crash.
//!
//! Refuses to lose a synced sector. Invariant: a clean sector is the same in both images.

use std::ops::Range;

/// A disk writes this much at once or not.
pub const SECTOR: usize = 512;

#[derive(Clone)]
pub(crate) struct Image {
    pub(crate) durable: Vec<u8>,
    pub(crate) current: Vec<u8>,
    state: Vec<Sector>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sector {
    Clean,
    Dirty,
    /// A sync of it failed: reads still see it, no later sync writes it, a crash loses it.
    Doomed,
}

impl Image {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let sectors = bytes.len().div_ceil(SECTOR);
        Self { durable: bytes.clone(), current: bytes, state: vec![Sector::Clean; sectors] }
    }

    pub(crate) fn write(&mut self, offset: usize, bytes: &[u8]) {
        self.current[offset..offset + bytes.len()].copy_from_slice(bytes);
        if let Some(last) = bytes.len().checked_sub(1) {
            self.state[offset / SECTOR..=(offset + last) / SECTOR].fill(Sector::Dirty);
        }
    }

    pub(crate) fn sync(&mut self, range: Range<usize>, fails: bool) {
        for sector in range.start / SECTOR..range.end.div_ceil(SECTOR).min(self.state.len()) {
            if self.state[sector] != Sector::Dirty {
                continue;
            }
            if fails {
                self.state[sector] = Sector::Doomed;
            } else {
                let bytes = sector * SECTOR..((sector + 1) * SECTOR).min(self.current.len());
                self.durable[bytes.clone()].copy_from_slice(&self.current[bytes]);
                self.state[sector] = Sector::Clean;
            }
        }
    }

    /// The page cache is synced and dropped: what a failed sync had left in it is gone.
    pub(crate) fn drop_cache(&mut self) {
        self.sync(0..self.current.len(), false);
        self.current.clone_from(&self.durable);
        self.state.fill(Sector::Clean);
    }

    /// A write meant for elsewhere lands here: the medium has it at once, and so has whoever reads
    /// what the page cache does not hold.
    pub(crate) fn misdirect(&mut self, offset: usize, bytes: &[u8]) {
        for (at, &byte) in (offset..).zip(bytes) {
            self.durable[at] = byte;
            if self.state[at / SECTOR] == Sector::Clean {
                self.current[at] = byte;
            }
        }
    }

    pub(crate) fn crash(&mut self, draw: &mut Draw, mood: u64) {
        for sector in 0..self.state.len() {
            let from = sector * SECTOR;
            let to = (from + SECTOR).min(self.current.len());
            if self.state[sector] == Sector::Dirty {
                let fate = match mood {
                    0 => 0,
                    1 => 9,
                    _ => draw.below(10),
                };
                match fate {
                    0..=3 => self.durable[from..to].copy_from_slice(&self.current[from..to]),
                    4 => {
                        let torn = from + draw.below((to - from) as u64) as usize;
                        self.durable[from..torn].copy_from_slice(&self.current[from..torn]);
                    }
                    5 => {
                        for byte in &mut self.durable[from..to] {
                            *byte = draw.next() as u8;
                        }
                    }
                    _ => {}
                }
            }
            self.state[sector] = Sector::Clean;
        }
        self.current.clone_from(&self.durable);
    }
}

/// A small seeded generator (splitmix64), so that a crash is repeated by its seed.
pub(crate) struct Draw(pub(crate) u64);

impl Draw {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}
