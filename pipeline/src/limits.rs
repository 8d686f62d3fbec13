//! Every limit of the pipeline, with its reason.

use std::time::Duration;

/// Journal bytes of one group, tick included: what a record may carry.
pub const GROUP_BYTES_MAX: u64 = journal::RECORD_LEN_MAX;

/// Commands of one record: none takes less of it than its own slot.
pub const RECORD_COMMANDS_MAX: u64 = GROUP_BYTES_MAX / protocol::command::COMMAND_SIZE as u64;

/// Commands that the engine stage executes in one step unless a single request has more: replies
/// leave and cuts advance at least this often. A third of a millisecond, so that who sends replies
/// goes on beside the engine; and no full request waits for another one's execution.
pub const STEP_COMMANDS_MAX: u32 = 2_048;

/// Rows of a cut that are copied after each group, so that a cut never holds up the commands.
pub const CUT_ROWS_PER_STEP: usize = 4_096;

/// Accounts of a survey that are looked at between two records, so that it never holds up the
/// commands either; whoever asks pauses before the next step.
pub const SURVEY_ROWS_PER_STEP: usize = 1_024;

/// A recount stops the commands while it walks every account, so that before another as many times
/// its length passes: all of them together take at most 3 % of the time.
pub const RECOUNT_PAUSE_TIMES: u64 = 32;

/// The shortest pause between two recounts, for frames with few accounts.
pub const RECOUNT_PAUSE_MIN: Duration = Duration::from_millis(100);

/// Control messages that may wait for the engine stage: its askers are few and wait for answers.
pub const CONTROLS_MAX: usize = 16;

/// Run digests that a replay remembers. A record carries the digest of the last record executed
/// when it was made; between the two lie at most a ring full that waits, one that the engine stage
/// has taken, and the records that both belong to.
pub const DIGESTS_REMEMBERED: usize = 2 * ring::limits::RING_SIZE_MAX + 2;

/// How long a full journal is left alone before the next tick is tried.
pub const TICK_RETRY: Duration = Duration::from_millis(100);

/// How long a stage with work may stand still before the watchdog names it.
pub const STALL_AFTER: Duration = Duration::from_secs(10);

/// How long after the last command a blank record attests that it is durable: long enough that a
/// busy frame writes none, short enough that few acknowledged commands ever stand unattested.
pub const ATTEST_AFTER: Duration = Duration::from_millis(100);

/// Effects that are handed over at once while a range of the past is rebuilt.
pub const EFFECTS_PER_BLOCK: usize = 65_536;

/// Records with effects that are followed, on their way from the engine stage to whoever listens,
/// who looks every few milliseconds.
pub const TAP_BLOCKS_MAX: usize = 4_096;

/// Effects in all of them, 160 bytes each; a single record may have more.
pub const TAP_ENTRIES_MAX: usize = 1 << 18;

/// How often the past is looked at anew when retention removes what was just chosen.
pub const LOOKS_MAX: usize = 3;
