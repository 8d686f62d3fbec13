//! What an audit of the settled rows may find, each named so that a person can look the row up.

use std::fmt;

use protocol::{AssetId, OwnerId, Sequence};

use crate::cast::uuid_text;

/// One thing that does not add up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// The watermark is not where the journal was replayed to, or has another hash or digest.
    Watermark {
        /// In SQL.
        sql: Option<Sequence>,
        /// In the journal.
        journal: Sequence,
    },
    /// Two batches do not meet.
    Gap {
        /// Last sequence before.
        through: Sequence,
        /// First sequence after.
        from: Sequence,
    },
    /// The last batch does not end at the watermark.
    LastBatch,
    /// A field of an account differs.
    Account {
        /// Owner.
        owner: OwnerId,
        /// Asset.
        asset: AssetId,
        /// Column.
        field: &'static str,
        /// In SQL.
        sql: String,
        /// What it should be.
        journal: String,
    },
    /// The journal has an account that SQL lacks.
    MissingAccount {
        /// Owner.
        owner: OwnerId,
        /// Asset.
        asset: AssetId,
    },
    /// SQL has an account that the journal lacks.
    ExtraAccount {
        /// Owner.
        owner: OwnerId,
        /// Asset.
        asset: AssetId,
    },
    /// A field of a supply row differs.
    Supply {
        /// Asset.
        asset: AssetId,
        /// Column, or what it was compared with.
        field: &'static str,
        /// In SQL.
        sql: String,
        /// What it should be.
        journal: String,
    },
    /// The number of effects differs from what the batches say.
    EffectCount {
        /// Rows.
        rows: u64,
        /// Sum over the batches.
        batches: u64,
    },
    /// The postings do not add up to a balance.
    Postings {
        /// Owner; `None` = the supply counter.
        owner: Option<OwnerId>,
        /// Asset.
        asset: AssetId,
        /// Bucket.
        bucket: u8,
        /// Credits less debits; `None` = outside the range of a balance.
        net: Option<i128>,
        /// The balance in SQL.
        balance: i128,
    },
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Watermark { sql, journal } => write!(
                f,
                "settlement_watermark: stands at {}, the journal's boundary at {journal} has \
                 another sequence, hash or digest",
                sql.map_or_else(|| "nothing".to_owned(), |sql| sql.to_string())
            ),
            Self::Gap { through, from } => write!(
                f,
                "settlement_batches: a batch ends at {through} and the next begins at {from}"
            ),
            Self::LastBatch => {
                f.write_str("settlement_batches: the last batch does not end at the watermark")
            }
            Self::Account { owner, asset, field, sql, journal } => write!(
                f,
                "account_balances {} asset {asset}: {field} is {sql}, should be {journal}",
                uuid_text(*owner)
            ),
            Self::MissingAccount { owner, asset } => write!(
                f,
                "account_balances {} asset {asset}: the row is missing",
                uuid_text(*owner)
            ),
            Self::ExtraAccount { owner, asset } => write!(
                f,
                "account_balances {} asset {asset}: no such account in the journal",
                uuid_text(*owner)
            ),
            Self::Supply { asset, field, sql, journal } => {
                write!(f, "asset_supply {asset}: {field} is {sql}, should be {journal}")
            }
            Self::EffectCount { rows, batches } => {
                write!(f, "effects: {rows} rows, settlement_batches counts {batches}")
            }
            Self::Postings { owner, asset, bucket, net, balance } => write!(
                f,
                "effects of {} asset {asset} bucket {bucket}: they add up to {}, the balance is \
                 {balance}",
                owner.map_or_else(|| "the supply counter".to_owned(), uuid_text),
                net.map_or_else(|| "no balance at all".to_owned(), |net| net.to_string())
            ),
        }
    }
}
