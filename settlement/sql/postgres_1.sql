-- numeric(39,0) holds u128 and i128, numeric(78,0) the gross counters of 256 bits.
CREATE TABLE bezant.settlement_watermark (
    only_row      integer PRIMARY KEY CHECK (only_row = 1),
    frame         uuid    NOT NULL,
    epoch         bigint  NOT NULL,
    next_sequence bigint  NOT NULL,
    chain_hash    bytea   NOT NULL CHECK (length(chain_hash) = 32),
    run_digest    bytea   NOT NULL CHECK (length(run_digest) = 16),
    timestamp_ns  bigint  NOT NULL,
    batch         bigint  NOT NULL
);

CREATE TABLE bezant.settlement_batches (
    batch            bigint  PRIMARY KEY,
    from_sequence    bigint  NOT NULL,
    through_sequence bigint  NOT NULL,
    epoch            bigint  NOT NULL,
    complete         boolean NOT NULL,
    accounts         bigint  NOT NULL,
    effects          bigint,
    chain_hash       bytea   NOT NULL,
    run_digest       bytea   NOT NULL,
    timestamp_ns     bigint  NOT NULL,
    settled_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Half-filled pages leave room for updates in place.
CREATE TABLE bezant.account_balances (
    owner        uuid          NOT NULL,
    asset        bigint        NOT NULL,
    host         bigint        NOT NULL,
    liquid       numeric(39,0) NOT NULL,
    held         numeric(39,0) NOT NULL,
    staked       numeric(39,0) NOT NULL,
    bonded       numeric(39,0) NOT NULL,
    minimum      numeric(39,0) NOT NULL,
    credit_limit numeric(39,0) NOT NULL,
    flags        bigint        NOT NULL,
    sequence     bigint        NOT NULL,
    PRIMARY KEY (owner, asset)
) WITH (fillfactor = 50);

CREATE TABLE bezant.asset_supply (
    asset          bigint        PRIMARY KEY,
    scale          integer       NOT NULL,
    name           text          NOT NULL,
    issued         numeric(78,0) NOT NULL,
    destroyed      numeric(78,0) NOT NULL,
    liquid         numeric(39,0) NOT NULL,
    held           numeric(39,0) NOT NULL,
    staked         numeric(39,0) NOT NULL,
    bonded         numeric(39,0) NOT NULL,
    credit_granted numeric(39,0) NOT NULL,
    credit_used    numeric(39,0) NOT NULL,
    sequence       bigint        NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE bezant.supply_history (
    batch          bigint        NOT NULL,
    asset          bigint        NOT NULL,
    issued         numeric(78,0) NOT NULL,
    destroyed      numeric(78,0) NOT NULL,
    liquid         numeric(39,0) NOT NULL,
    held           numeric(39,0) NOT NULL,
    staked         numeric(39,0) NOT NULL,
    bonded         numeric(39,0) NOT NULL,
    credit_granted numeric(39,0) NOT NULL,
    credit_used    numeric(39,0) NOT NULL,
    PRIMARY KEY (batch, asset)
);

CREATE TABLE bezant.effect_events (
    event integer PRIMARY KEY,
    name  text NOT NULL
);

CREATE TABLE bezant.effects (
    sequence      bigint        NOT NULL,
    leg           integer       NOT NULL,
    event         integer       NOT NULL,
    asset         bigint        NOT NULL,
    debit         uuid,
    debit_bucket  smallint      NOT NULL,
    credit        uuid,
    credit_bucket smallint      NOT NULL,
    amount        numeric(39,0) NOT NULL,
    debit_after   numeric(39,0) NOT NULL,
    credit_after  numeric(39,0) NOT NULL,
    rate          bigint        NOT NULL,
    reference     uuid,
    user_data     numeric(20,0) NOT NULL,
    PRIMARY KEY (sequence, leg)
);
