-- Amounts are plain decimal text, exact up to 2^256; owners and ids are UUID text.
CREATE TABLE settlement_watermark (
    only_row      INTEGER PRIMARY KEY CHECK (only_row = 1),
    frame         TEXT    NOT NULL,
    epoch         INTEGER NOT NULL,
    next_sequence INTEGER NOT NULL,
    chain_hash    BLOB    NOT NULL CHECK (length(chain_hash) = 32),
    run_digest    BLOB    NOT NULL CHECK (length(run_digest) = 16),
    timestamp_ns  INTEGER NOT NULL,
    batch         INTEGER NOT NULL
) STRICT;

CREATE TABLE settlement_batches (
    batch            INTEGER PRIMARY KEY,
    from_sequence    INTEGER NOT NULL,
    through_sequence INTEGER NOT NULL,
    epoch            INTEGER NOT NULL,
    complete         INTEGER NOT NULL CHECK (complete IN (0, 1)),
    accounts         INTEGER NOT NULL,
    effects          INTEGER,
    chain_hash       BLOB    NOT NULL,
    run_digest       BLOB    NOT NULL,
    timestamp_ns     INTEGER NOT NULL,
    settled_at       TEXT    NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
) STRICT;

CREATE TABLE account_balances (
    owner        TEXT    NOT NULL,
    asset        INTEGER NOT NULL,
    host         INTEGER NOT NULL,
    liquid       TEXT    NOT NULL,
    held         TEXT    NOT NULL,
    staked       TEXT    NOT NULL,
    bonded       TEXT    NOT NULL,
    minimum      TEXT    NOT NULL,
    credit_limit TEXT    NOT NULL,
    flags        INTEGER NOT NULL,
    sequence     INTEGER NOT NULL,
    PRIMARY KEY (owner, asset)
) STRICT, WITHOUT ROWID;

CREATE TABLE asset_supply (
    asset          INTEGER PRIMARY KEY,
    scale          INTEGER NOT NULL,
    name           TEXT    NOT NULL,
    issued         TEXT    NOT NULL,
    destroyed      TEXT    NOT NULL,
    liquid         TEXT    NOT NULL,
    held           TEXT    NOT NULL,
    staked         TEXT    NOT NULL,
    bonded         TEXT    NOT NULL,
    credit_granted TEXT    NOT NULL,
    credit_used    TEXT    NOT NULL,
    sequence       INTEGER NOT NULL
) STRICT;

CREATE TABLE supply_history (
    batch          INTEGER NOT NULL,
    asset          INTEGER NOT NULL,
    issued         TEXT    NOT NULL,
    destroyed      TEXT    NOT NULL,
    liquid         TEXT    NOT NULL,
    held           TEXT    NOT NULL,
    staked         TEXT    NOT NULL,
    bonded         TEXT    NOT NULL,
    credit_granted TEXT    NOT NULL,
    credit_used    TEXT    NOT NULL,
    PRIMARY KEY (batch, asset)
) STRICT, WITHOUT ROWID;

CREATE TABLE effect_events (
    event INTEGER PRIMARY KEY,
    name  TEXT NOT NULL
) STRICT;

CREATE TABLE effects (
    sequence      INTEGER NOT NULL,
    leg           INTEGER NOT NULL,
    event         INTEGER NOT NULL,
    asset         INTEGER NOT NULL,
    debit         TEXT,
    debit_bucket  INTEGER NOT NULL,
    credit        TEXT,
    credit_bucket INTEGER NOT NULL,
    amount        TEXT    NOT NULL,
    debit_after   TEXT    NOT NULL,
    credit_after  TEXT    NOT NULL,
    rate          INTEGER NOT NULL,
    reference     TEXT,
    user_data     TEXT    NOT NULL,
    PRIMARY KEY (sequence, leg)
) STRICT, WITHOUT ROWID;
