//! The audit of the settled rows: against themselves, and against what the journal says.
//!
//! It knows no SQL: the sinks read everything back in one snapshot, `server` replays the journal
//! through the watermark found there, and every row that differs is named. Nothing is repaired.

use std::collections::{BTreeMap, BTreeSet};

use protocol::cut::{AccountRow, SupplyRow};
use protocol::effect::Bucket;
use protocol::wide::Wide;
use protocol::{AssetId, OwnerId, Sequence};

use crate::finding::Finding;
use crate::watermark::Watermark;

/// What the postings in SQL add up to for one bucket of one account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PostingSum {
    /// Owner; `None` = the supply counter of the asset.
    pub owner: Option<OwnerId>,
    /// Asset.
    pub asset: AssetId,
    /// Number of the [`Bucket`].
    pub bucket: u8,
    /// Gross debits.
    pub debit: Wide,
    /// Gross credits.
    pub credit: Wide,
}

/// What the rows of `settlement_batches` say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BatchAudit {
    /// How many there are.
    pub count: u64,
    /// First sequence of the first one.
    pub from: Option<Sequence>,
    /// Last sequence of the last one.
    pub through: Option<Sequence>,
    /// Hash at the end of the last one.
    pub chain_hash: Option<[u8; 32]>,
    /// Pairs of batches that do not meet: last sequence of one, first of the next.
    pub gaps: Vec<(Sequence, Sequence)>,
    /// How many were written without effects.
    pub without_history: u64,
    /// Sum of their effects columns.
    pub effects: u64,
}

impl BatchAudit {
    /// Adds the next row.
    pub(crate) fn add(
        &mut self,
        from: Sequence,
        through: Sequence,
        chain_hash: [u8; 32],
        effects: Option<u64>,
    ) {
        if let Some(before) = self.through
            && from.0 != before.0 + 1
        {
            self.gaps.push((before, from));
        }
        self.count += 1;
        self.from.get_or_insert(from);
        self.through = Some(through);
        self.chain_hash = Some(chain_hash);
        match effects {
            Some(effects) => self.effects += effects,
            None => self.without_history += 1,
        }
    }
}

/// Everything settled, read in one consistent snapshot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadBack {
    /// Watermark.
    pub watermark: Option<Watermark>,
    /// Balances, by owner and asset.
    pub balances: Vec<AccountRow>,
    /// Supply, by asset.
    pub supply: Vec<SupplyRow>,
    /// Batches.
    pub batches: BatchAudit,
    /// Rows of `effects`.
    pub effects: u64,
    /// What they add up to.
    pub postings: Vec<PostingSum>,
}

impl ReadBack {
    /// Whether `effects` reaches from the first sequence to the watermark.
    pub fn has_whole_history(&self) -> bool {
        self.batches.count > 0
            && self.batches.from.is_some_and(|from| from.0 <= 1)
            && self.batches.gaps.is_empty()
            && self.batches.without_history == 0
    }
}

/// Compares the settled rows with the state that the journal gives at `journal`.
/// An empty list means that every row is right.
pub fn verify(
    sql: &ReadBack,
    journal: &Watermark,
    accounts: impl IntoIterator<Item = AccountRow>,
    supply: impl IntoIterator<Item = SupplyRow>,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    if !sql.watermark.as_ref().is_some_and(|stored| stored.same_position(journal)) {
        findings.push(Finding::Watermark {
            sql: sql.watermark.as_ref().map(Watermark::through),
            journal: journal.through(),
        });
    }
    let ours = accounts.into_iter().map(|row| ((row.owner, row.asset), row));
    compare_accounts(sql, &ours.collect(), &mut findings);
    let ours: BTreeMap<AssetId, SupplyRow> =
        supply.into_iter().map(|row| (row.asset, row)).collect();
    let theirs: BTreeMap<AssetId, &SupplyRow> =
        sql.supply.iter().map(|row| (row.asset, row)).collect();
    for asset in ours.keys().chain(theirs.keys()).collect::<BTreeSet<_>>() {
        let fields = |row: Option<&SupplyRow>| row.map(supply_fields).unwrap_or_default();
        let (ours, theirs) = (fields(ours.get(asset)), fields(theirs.get(asset).copied()));
        for field in SUPPLY_FIELDS {
            let (sql, journal) = (text(&theirs, field), text(&ours, field));
            if sql != journal {
                findings.push(Finding::Supply { asset: *asset, field, sql, journal });
            }
        }
    }
    findings
}

type Fields = BTreeMap<&'static str, String>;

fn text(fields: &Fields, field: &str) -> String {
    fields.get(field).map_or_else(|| "no row".to_owned(), Clone::clone)
}

fn account_fields(row: &AccountRow) -> [(&'static str, String); 8] {
    [
        ("host", row.host.to_string()),
        ("liquid", row.liquid.to_string()),
        ("held", row.held.to_string()),
        ("staked", row.staked.to_string()),
        ("bonded", row.bonded.to_string()),
        ("minimum", row.minimum.to_string()),
        ("credit_limit", row.credit_limit.to_string()),
        ("flags", row.flags.to_string()),
    ]
}

const SUPPLY_FIELDS: [&str; 10] = [
    "scale",
    "name",
    "issued",
    "destroyed",
    "liquid",
    "held",
    "staked",
    "bonded",
    "credit_granted",
    "credit_used",
];

fn supply_fields(row: &SupplyRow) -> Fields {
    SUPPLY_FIELDS
        .into_iter()
        .zip([
            row.scale.to_string(),
            row.name.clone(),
            row.issued.to_string(),
            row.destroyed.to_string(),
            row.liquid.to_string(),
            row.held.to_string(),
            row.staked.to_string(),
            row.bonded.to_string(),
            row.credit_granted.to_string(),
            row.credit_used.to_string(),
        ])
        .collect()
}

fn compare_accounts(
    sql: &ReadBack,
    ours: &BTreeMap<(OwnerId, AssetId), AccountRow>,
    findings: &mut Vec<Finding>,
) {
    let mut missing: BTreeSet<_> = ours.keys().copied().collect();
    for row in &sql.balances {
        let (owner, asset) = (row.owner, row.asset);
        missing.remove(&(owner, asset));
        let Some(should) = ours.get(&(owner, asset)) else {
            findings.push(Finding::ExtraAccount { owner, asset });
            continue;
        };
        if row == should {
            continue;
        }
        for ((field, sql), (_, journal)) in
            account_fields(row).into_iter().zip(account_fields(should))
        {
            if sql != journal {
                findings.push(Finding::Account { owner, asset, field, sql, journal });
            }
        }
    }
    findings
        .extend(missing.into_iter().map(|(owner, asset)| Finding::MissingAccount { owner, asset }));
}

/// Checks the settled rows against themselves: batches without a gap, supply equal to the sum of
/// the balances, no unit created or lost, and, when the whole history is there, every balance equal
/// to the sum of its postings and debits equal to credits with the supply counters included.
pub fn audit(sql: &ReadBack) -> Vec<Finding> {
    let mut findings: Vec<Finding> =
        sql.batches.gaps.iter().map(|&(through, from)| Finding::Gap { through, from }).collect();
    if let Some(watermark) = &sql.watermark
        && (sql.batches.through != Some(watermark.through())
            || sql.batches.chain_hash != Some(watermark.chain_hash))
    {
        findings.push(Finding::LastBatch);
    }
    for row in &sql.supply {
        audit_supply(sql, row, &mut findings);
    }
    if sql.has_whole_history() {
        if sql.effects != sql.batches.effects {
            findings.push(Finding::EffectCount { rows: sql.effects, batches: sql.batches.effects });
        }
        audit_postings(sql, &mut findings);
    }
    findings
}

fn audit_supply(sql: &ReadBack, row: &SupplyRow, findings: &mut Vec<Finding>) {
    let accounts = || sql.balances.iter().filter(|account| account.asset == row.asset);
    let sum = |field: fn(&AccountRow) -> u128| {
        accounts()
            .map(field)
            .try_fold(0_u128, u128::checked_add)
            .map_or_else(|| "past 2^128".to_owned(), |sum| sum.to_string())
    };
    let liquid = accounts()
        .map(|account| account.liquid)
        .try_fold(0_i128, i128::checked_add)
        .map_or_else(|| "past 2^127".to_owned(), |sum| sum.to_string());
    let compared = [
        ("liquid", row.liquid.to_string(), liquid),
        ("held", row.held.to_string(), sum(|account| account.held)),
        ("staked", row.staked.to_string(), sum(|account| account.staked)),
        ("bonded", row.bonded.to_string(), sum(|account| account.bonded)),
        ("credit_granted", row.credit_granted.to_string(), sum(|account| account.credit_limit)),
        (
            "credit_used",
            row.credit_used.to_string(),
            sum(|account| account.liquid.min(0).unsigned_abs()),
        ),
        (
            "issued - destroyed - total",
            row.delta().map_or_else(|| "past 2^127".to_owned(), |delta| delta.to_string()),
            "0".to_owned(),
        ),
    ];
    for (field, sql, journal) in compared {
        if sql != journal {
            findings.push(Finding::Supply { asset: row.asset, field, sql, journal });
        }
    }
}

fn audit_postings(sql: &ReadBack, findings: &mut Vec<Finding>) {
    type Key = (Option<OwnerId>, AssetId, u8);
    let mut balances: BTreeMap<Key, Option<i128>> = BTreeMap::new();
    for row in &sql.balances {
        let held = [
            (Bucket::Liquid, Some(row.liquid)),
            (Bucket::Held, i128::try_from(row.held).ok()),
            (Bucket::Staked, i128::try_from(row.staked).ok()),
            (Bucket::Bonded, i128::try_from(row.bonded).ok()),
        ];
        for (bucket, balance) in held {
            balances.insert((Some(row.owner), row.asset, bucket as u8), balance);
        }
    }
    for row in &sql.supply {
        // The counter is debited by what is issued and credited by what is destroyed.
        let net = row.destroyed.difference(row.issued);
        balances.insert((None, row.asset, Bucket::Counter as u8), net);
    }
    let mut nets: BTreeMap<Key, Option<i128>> = sql
        .postings
        .iter()
        .map(|sum| {
            let net = sum.credit.difference(sum.debit);
            ((sum.owner, sum.asset, sum.bucket), net)
        })
        .collect();
    for ((owner, asset, bucket), balance) in balances {
        let net = nets.remove(&(owner, asset, bucket)).unwrap_or(Some(0));
        let balance = balance.unwrap_or(i128::MAX);
        if net != Some(balance) {
            findings.push(Finding::Postings { owner, asset, bucket, net, balance });
        }
    }
    for ((owner, asset, bucket), net) in nets {
        if net != Some(0) {
            findings.push(Finding::Postings { owner, asset, bucket, net, balance: 0 });
        }
    }
}

#[cfg(test)]
#[path = "verify_test.rs"]
mod tests;
