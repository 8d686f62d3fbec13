//! Append-only segments of opaque, chained records: the only truth.
