//! Workloads that the benchmarks share. The benchmarks are in `benches/`; each says in its head
//! what it measures and why.
#![forbid(unsafe_code)]

use protocol::{Command, CommandId, OwnerId};

/// Commands of a full request.
pub const BATCH: usize = 8_190;

/// Says that the allocator keeps what is freed, as the binary tells it to.
const KEEP_FREED: (&str, &str) = ("MIMALLOC_PURGE_DELAY", "-1");

/// Lets the allocator keep what is freed, unless the environment says otherwise, by starting the
/// program again: the allocator reads it when a process begins.
///
/// # Panics
///
/// If the program cannot be started again.
pub fn keep_freed() {
    if std::env::var_os(KEEP_FREED.0).is_some() {
        return;
    }
    let program = std::env::current_exe().expect("the program knows its file");
    let mut again = std::process::Command::new(program);
    again.args(std::env::args_os().skip(1)).env(KEEP_FREED.0, KEEP_FREED.1);
    let status = again.status().expect("a program that runs can be started");
    std::process::exit(status.code().unwrap_or(1));
}

/// The owner at a place: an ordinary UUID-like number.
#[must_use]
pub fn owner(place: u32) -> OwnerId {
    let high = u128::from(place).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    ((high & u128::from(u64::MAX)) << 64) | (0x8 << 60) | u128::from(place)
}

/// SplitMix64, seeded.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((((bits ^ (bits >> 31)) >> 32) * u64::from(bound)) >> 32).unwrap_or(0)
    }
}

/// `count` payments between `accounts` accounts with ids of `now_ms` that were never used before.
pub fn transfers(
    random: &mut Random,
    next_id: &mut u128,
    accounts: u32,
    count: usize,
    now_ms: u64,
) -> Vec<Command> {
    (0..count)
        .map(|_| {
            *next_id += 1;
            let debit = random.below(accounts);
            let credit = (debit + 1 + random.below(accounts - 1)) % accounts;
            let amount = u128::from(2 + random.below(9_998));
            let id = CommandId::new(now_ms, *next_id);
            Command::transfer(id, owner(debit), owner(credit), 1, amount)
        })
        .collect()
}
