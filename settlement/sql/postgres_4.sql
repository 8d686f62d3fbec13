-- Entries of an account are told with the time of their batch, and asked for by time.
CREATE INDEX batches_by_sequence ON bezant.settlement_batches (through_sequence);
CREATE INDEX batches_by_time ON bezant.settlement_batches (timestamp_ns);
