//! A small journal and engine: commands that issue, pay and hold, with their postings, cuts and
//! history. Deterministic from its seed, so that two of them with the same seed agree.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use protocol::Sequence;
use protocol::cut::{AccountRow, Cut, Effects, SupplyRow};
use protocol::effect::{Bucket, Effect, Event};
use protocol::wide::Wide;
use settlement::history::EffectWriter;
use settlement::keys::{Key, KeyUse};
use settlement::{Confirmation, History, HistoryError, SinkError, Watermark};

/// The frame of every test.
pub(crate) const FRAME: u128 = 0x0190_1234_5678_7abc_8def_0123_4567_89ab;
/// Owners are this plus a small number: the upper half set as an agent's is.
const OWNERS: u128 = 0x0190_0000_0000_7000_8000_0000_0000_0000;

/// Journal and engine in one.
pub(crate) struct Journal {
    pub(crate) epoch: u64,
    seed: u64,
    next: u64,
    accounts: BTreeMap<u128, AccountRow>,
    dirty: BTreeSet<u128>,
    cut_through: u64,
    issued: u128,
    effects: Vec<Effect>,
    boundaries: BTreeMap<u64, ([u8; 32], [u8; 16])>,
    /// Sequences before this one are gone from the journal.
    pub(crate) first: u64,
}

/// Shared between the engine's side and the history's.
pub(crate) type Shared = Arc<Mutex<Journal>>;

fn mix(mut value: u64) -> u64 {
    value = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

impl Journal {
    pub(crate) fn new(seed: u64) -> Self {
        let mut journal = Self {
            epoch: 1,
            seed,
            next: 1,
            accounts: BTreeMap::new(),
            dirty: BTreeSet::new(),
            cut_through: 0,
            issued: 0,
            effects: Vec::new(),
            boundaries: BTreeMap::new(),
            first: 1,
        };
        journal.boundary();
        journal
    }

    pub(crate) fn shared(seed: u64) -> Shared {
        Arc::new(Mutex::new(Self::new(seed)))
    }

    pub(crate) fn through(&self) -> u64 {
        self.next - 1
    }

    fn boundary(&mut self) {
        let at = self.through();
        let mut hash = [0; 32];
        for (word, chunk) in (0_u64..).zip(hash.chunks_exact_mut(8)) {
            chunk.copy_from_slice(&mix(self.seed ^ mix(at ^ (word << 56))).to_le_bytes());
        }
        let digest: [u8; 16] = hash[8..24].try_into().unwrap();
        self.boundaries.insert(at, (hash, digest));
    }

    /// Executes `count` commands as one record.
    pub(crate) fn execute(&mut self, count: u64) {
        for _ in 0..count {
            self.command();
        }
        self.boundary();
    }

    fn command(&mut self) {
        let sequence = self.next;
        self.next += 1;
        let random = mix(self.seed ^ mix(sequence));
        let owner = |random: u64| OWNERS + u128::from(random % 23);
        let (from, to) = (owner(random >> 8), owner(random >> 32));
        let rich = self.accounts.get(&from).map_or(0, |row| row.liquid);
        let amount = i128::from(random >> 40);
        let (event, debit, credit) = if rich < amount {
            (Event::TokensIssued, None, (from, Bucket::Liquid))
        } else if random.is_multiple_of(5) {
            let debit = Some((from, Bucket::Liquid));
            (Event::HoldPlaced, debit, (from, Bucket::Held))
        } else {
            let debit = Some((from, Bucket::Liquid));
            (Event::TokensTransferred, debit, (to, Bucket::Liquid))
        };
        // Some amounts are past 64 bits.
        let amount = if debit.is_none() && random.is_multiple_of(7) {
            amount.unsigned_abs() << 70
        } else {
            amount.unsigned_abs() + u128::from(debit.is_none())
        };
        if debit.is_none() {
            self.issued += amount;
        }
        let signed = i128::try_from(amount).unwrap();
        let debit_after = debit.map_or(0, |(owner, bucket)| self.post(owner, bucket, -signed));
        let credit_after = self.post(credit.0, credit.1, signed);
        self.effects.push(Effect {
            sequence,
            event: event.number(),
            asset: 1,
            debit: debit.map_or(0, |(owner, _)| owner),
            credit: credit.0,
            amount,
            debit_after,
            credit_after,
            reference: u128::from(random % 3) << 100,
            user_data: random,
            rate: 5_000,
            debit_bucket: debit.map_or(Bucket::Counter, |(_, bucket)| bucket) as u8,
            credit_bucket: credit.1 as u8,
            ..Effect::default()
        });
        if let Some((key, used)) = Self::key(sequence) {
            self.effects.push(Effect {
                sequence,
                leg: 1,
                event: Event::KeyUsed.number(),
                debit: key.principal,
                reference: key.hash,
                amount: used.digest,
                user_data: u64::from(used.status),
                rate: used.rate,
                ..Effect::default()
            });
        }
    }

    /// The key that the command with `sequence` uses, if it is one of those with a key.
    pub(crate) fn key(sequence: u64) -> Option<(Key, KeyUse)> {
        let wide = |salt: u64| u128::from(mix(sequence ^ salt)) << 64 | u128::from(mix(sequence));
        let key = Key { principal: OWNERS + u128::from(sequence % 5), hash: wide(1 << 60) };
        let status = if sequence.is_multiple_of(2) { 0 } else { 801 };
        let digest = wide(1 << 61);
        let used = KeyUse { sequence: Sequence(sequence), status, rate: 5_000, digest };
        sequence.is_multiple_of(3).then_some((key, used))
    }

    fn post(&mut self, owner: u128, bucket: Bucket, amount: i128) -> i128 {
        self.dirty.insert(owner);
        let row = self.accounts.entry(owner).or_insert(AccountRow {
            owner,
            asset: 1,
            host: 3,
            liquid: 0,
            held: 0,
            staked: 0,
            bonded: 0,
            minimum: u128::MAX,
            credit_limit: 0,
            flags: 4,
        });
        if bucket == Bucket::Held {
            row.held += amount.unsigned_abs();
            return i128::try_from(row.held).unwrap();
        }
        row.liquid += amount;
        row.liquid
    }

    pub(crate) fn accounts(&self) -> Vec<AccountRow> {
        self.accounts.values().copied().collect()
    }

    pub(crate) fn supply(&self) -> Vec<SupplyRow> {
        let held = self.accounts.values().map(|row| row.held).sum();
        let liquid = self.accounts.values().map(|row| row.liquid).sum();
        // Gross counters may be past 128 bits while their difference is small.
        let mut issued = Wide::from(u128::MAX);
        issued.add(self.issued);
        let row = SupplyRow {
            asset: 1,
            scale: 6,
            name: "AVT".to_owned(),
            issued: Wide::from(self.issued),
            destroyed: Wide::ZERO,
            liquid,
            held,
            staked: 0,
            bonded: 0,
            credit_granted: 0,
            credit_used: 0,
        };
        let old = SupplyRow {
            asset: u32::MAX,
            scale: 18,
            name: "spent, \"quoted\" ä".to_owned(),
            issued,
            destroyed: issued,
            liquid: 0,
            held: 0,
            ..row.clone()
        };
        vec![row, old]
    }

    pub(crate) fn watermark(&self) -> Watermark {
        self.watermark_at(self.through())
    }

    pub(crate) fn watermark_at(&self, through: u64) -> Watermark {
        let (chain_hash, run_digest) = self.boundaries[&through];
        Watermark {
            frame: FRAME,
            epoch: self.epoch,
            next_sequence: Sequence(through + 1),
            chain_hash,
            run_digest,
            timestamp: 1_700_000_000_000_000_000 + through,
        }
    }

    pub(crate) fn effects(&self, after: u64, through: u64) -> Vec<Effect> {
        let range = after + 1..=through;
        let wanted = |effect: &&Effect| range.contains(&effect.sequence);
        self.effects.iter().filter(wanted).copied().collect()
    }

    /// Takes a cut, as the engine does: what changed since the last one, or everything.
    pub(crate) fn cut(&mut self, complete: bool) -> Cut {
        let watermark = self.watermark();
        let after = self.cut_through;
        let wanted = |row: &&AccountRow| complete || self.dirty.contains(&row.owner);
        let cut = Cut {
            frame: FRAME,
            epoch: self.epoch,
            after: Sequence(after),
            through: watermark.through(),
            complete,
            timestamp: watermark.timestamp,
            chain_hash: watermark.chain_hash,
            run_digest: watermark.run_digest,
            accounts: self.accounts.values().filter(wanted).copied().collect(),
            supply: self.supply(),
            effects: Effects::All(self.effects(after, self.through())),
        };
        self.dirty.clear();
        self.cut_through = self.through();
        cut
    }

    /// The engine starts again from the journal: earlier cuts are forgotten.
    pub(crate) fn restart(&mut self) {
        self.dirty = self.accounts.keys().copied().collect();
        self.cut_through = 0;
    }
}

/// History over a shared journal.
pub(crate) struct Past(pub(crate) Shared);

impl History for Past {
    fn confirm(&mut self, watermark: &Watermark) -> Result<Confirmation, HistoryError> {
        let journal = self.0.lock().unwrap();
        let at = watermark.through().0;
        Ok(if at > journal.through() {
            Confirmation::Ahead
        } else if at + 1 < journal.first {
            Confirmation::TooOld
        } else if journal.boundaries.get(&at) == Some(&(watermark.chain_hash, watermark.run_digest))
        {
            Confirmation::Same
        } else {
            Confirmation::Different
        })
    }

    fn effects(
        &mut self,
        after: Sequence,
        through: Sequence,
        write: &mut EffectWriter<'_>,
    ) -> Result<(), SinkError> {
        let journal = self.0.lock().unwrap();
        if after.0 + 1 < journal.first {
            Err(HistoryError::TooShort {
                first: Sequence(journal.first),
                wanted: Sequence(after.0 + 1),
            })?;
        }
        for block in journal.effects(after.0, through.0).chunks(7) {
            write(block)?;
        }
        Ok(())
    }
}
