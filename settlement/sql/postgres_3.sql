-- Nearly every posting is a transfer between liquid balances or the fee of one. Both are one row
-- here, if all its numbers fit into 63 bits; every other posting stays in `postings`.
ALTER TABLE bezant.effects RENAME TO postings;
CREATE TABLE bezant.transfers (
    sequence          bigint  NOT NULL,
    amount            bigint  NOT NULL,
    debit_after       bigint  NOT NULL,
    credit_after      bigint  NOT NULL,
    asset             integer NOT NULL,
    rate              integer NOT NULL,
    debit             uuid    NOT NULL,
    credit            uuid    NOT NULL,
    fee               bigint,
    fee_account_after bigint,
    user_data         bigint,
    fee_account       uuid,
    reference         uuid
);

-- Rows arrive in order, so blocks of them know their sequences: an index over the blocks costs a
-- row nothing. A range that was settled cannot be settled again; this says so once a batch.
ALTER TABLE bezant.postings DROP CONSTRAINT effects_pkey;
CREATE INDEX postings_by_sequence ON bezant.postings
    USING brin (sequence) WITH (pages_per_range = 32, autosummarize = on);
CREATE INDEX transfers_by_sequence ON bezant.transfers
    USING brin (sequence) WITH (pages_per_range = 32, autosummarize = on);
ALTER TABLE bezant.settlement_batches ADD CONSTRAINT batches_do_not_overlap
    EXCLUDE USING gist (int8range(from_sequence, through_sequence + 1) WITH &&);

-- Whoever asks needs the rights, and is under the row policies, of both tables.
CREATE VIEW bezant.effects WITH (security_invoker = true) AS
    SELECT sequence, leg, event, asset, debit, debit_bucket, credit, credit_bucket,
           amount::numeric, debit_after::numeric, credit_after::numeric, rate, reference,
           user_data::numeric
    FROM bezant.postings
    UNION ALL
    SELECT sequence, 0, 2, asset::bigint, debit, 1::smallint, credit, 1::smallint, amount::numeric,
           debit_after::numeric, credit_after::numeric, rate::bigint, reference,
           coalesce(user_data, 0)::numeric
    FROM bezant.transfers
    UNION ALL
    SELECT sequence, 1, 3, asset::bigint, debit, 1::smallint, fee_account, 1::smallint,
           fee::numeric, debit_after::numeric - fee::numeric, fee_account_after::numeric,
           rate::bigint, reference, coalesce(user_data, 0)::numeric
    FROM bezant.transfers WHERE fee IS NOT NULL;

-- Whoever could read the whole table can read all of it as before. Where rows were kept from some,
-- those of the new table are kept from everybody until somebody says who may see which.
DO $$
DECLARE
    reader text;
BEGIN
    FOR reader IN
        SELECT CASE WHEN a.grantee = 0 THEN 'PUBLIC' ELSE a.grantee::regrole::text END
        FROM pg_class c CROSS JOIN aclexplode(c.relacl) a
        WHERE c.oid = 'bezant.postings'::regclass AND a.privilege_type = 'SELECT'
            AND a.grantee <> c.relowner
    LOOP
        EXECUTE format('GRANT SELECT ON bezant.effects, bezant.transfers TO %s', reader);
    END LOOP;
    IF (SELECT relrowsecurity FROM pg_class WHERE oid = 'bezant.postings'::regclass) THEN
        ALTER TABLE bezant.transfers ENABLE ROW LEVEL SECURITY;
    END IF;
END
$$;
