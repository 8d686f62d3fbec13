//! Every limit of the engine that is not a journaled parameter, with its reason. Nothing here
//! names a limit of the formats: those are in `protocol::limits`.

/// Announced configuration changes at once: more than anybody has reason to plan.
pub(crate) const CHANGES_MAX: usize = 16;
/// How far ahead a fee change may be announced: a year and a day.
pub(crate) const NOTICE_MAX_MS: u64 = 366 * 24 * 3_600_000;
/// Rate between two hosts of one frame, which goes to the payee's host (H25).
pub(crate) const CROSS_HOST_RATE: u32 = 5_000;
/// Rows of a table chunk: rows never move, and a new chunk is quick to make.
pub(crate) const CHUNK_ROWS: usize = 8_192;
/// Commands ahead whose hashes are known, a power of two: memory answers in the time of fewer.
pub(crate) const HASHED_AHEAD: usize = 32;
/// Commands ahead whose accounts are looked up.
pub(crate) const FOUND_AHEAD: usize = 16;
/// Commands ahead whose holds and cold lines are called into the cache.
pub(crate) const CALLED_AHEAD: usize = 8;
/// Accounts ahead of the one that a cut copies, whose hot lines are called into the cache; half as
/// far ahead, what leads to their cold ones.
pub(crate) const COPIED_AHEAD: usize = 32;
/// Slots of an old index moved with each insertion while the index grows: all are, when half of the
/// new one is filled at the latest, so that it never grows twice at once. Each costs a row that is
/// not in the cache, and a request may insert thousands.
pub(crate) const MOVED_PER_INSERT: usize = 4;
/// As if so many accounts were opened with each record, indexes of accounts and owners go on
/// growing, so that they end although no more come: less than half a millisecond.
pub(crate) const GROWN_PER_RECORD: usize = 512;
/// Slots of the next table zeroed with each insertion in the last eighth before it is needed: all.
pub(crate) const ZEROED_PER_INSERT: usize = 16;
/// From 2^20 slots (4 MiB) on, a table twice as large is zeroed ahead; smaller ones take a
/// millisecond at once.
pub(crate) const PREPARED_TABLE_BITS: u32 = if cfg!(test) { 6 } else { 20 };
/// Slots of a set of the velocity table.
pub(crate) const PAIR_WAYS: usize = 8;
/// Account rows looked at for one page of a list, so that the engine never stops for long.
pub(crate) const LIST_ROWS_MAX: u64 = 4_096;
/// Time that one table of ids spans, a whole part of a second: the tables in use stay in the cache.
pub(crate) const ID_TABLE_MS: u64 = 20;
/// Rows that a table of ids is planned for at the most (an index of 1 MiB): 6.5 million a second.
pub(crate) const ID_TABLE_ROWS_PLANNED: usize = if cfg!(test) { 1 << 10 } else { 1 << 17 };
/// Id rows of a chunk.
pub(crate) const ID_CHUNK_ROWS: usize = 128;
/// Id rows from the one written last to the one whose memory is called into the cache, which had
/// been that of a forgotten row and so is not there: stores would wait for it, and all after them.
pub(crate) const ID_ROWS_CALLED: usize = 8;
/// Key rows of a chunk (80 KiB).
pub(crate) const KEY_CHUNK_ROWS: usize = 1_024;
/// Keys forgotten with one record, so that none of them stops the frame for long.
pub(crate) const KEYS_FORGOTTEN_PER_RECORD: usize = 8_192;
/// Chunks of id rows kept for reuse (40 MiB), a third of a second at 3 million ids a second.
pub(crate) const SPARE_CHUNKS_MAX: usize = 8_192;
/// Id tables kept for reuse, for as long a time.
pub(crate) const SPARE_TABLES_MAX: usize = 16;
