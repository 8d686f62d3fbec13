-- Keys are looked up at each write that names one; event 80 is KeyUsed.
CREATE INDEX effects_by_key ON effects (debit, reference, sequence, leg) WHERE event = 80;

-- Nearly always empty: it tells at once whether a key may have been used unseen.
CREATE INDEX batches_without_history ON settlement_batches (batch) WHERE effects IS NULL;
