//! Removing whole segments that nobody needs any more, oldest first.
//!
//! Refuses to remove the last segment with records, and a segment whose records it cannot tell.
//! Invariant: a stop at any point leaves a journal without gaps that still holds every record
//! from the one named.

use crate::error::ReadError;
use crate::flaw::Flaw;
use crate::segments::{Segment, beginning, no_beginning, numbers, segments};
use crate::storage::{Source, Storage};

/// What retention removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// Segments.
    pub segments: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// Removes the segments that hold only records before `keep_from`, each removal durable before
/// the next. The journal may be running.
///
/// # Errors
/// When a segment that would go, or the one behind it, does not begin as it must; those before it
/// are gone by then. Or when the disk refuses.
pub fn retire(storage: &dyn Storage, keep_from: u64) -> Result<Retired, ReadError> {
    let oldest = numbers(storage)?[0];
    let found = segments(storage)?;
    let mut retired = Retired::default();
    let mut before: Option<&Segment> = None;
    for (segment, expected) in found.iter().zip(oldest..) {
        if segment.number != expected {
            let (_, first) = beginning(storage, expected, Source::Cache)?;
            let flaw = first.err().unwrap_or(Flaw::Blank);
            return Err(no_beginning(storage, expected, flaw));
        }
        // Every record before this segment is older than its first.
        if segment.first.index > keep_from {
            break;
        }
        if let Some(old) = before {
            if let Some(flaw) = does_not_follow(old, segment) {
                return Err(no_beginning(storage, segment.number, flaw));
            }
            storage.remove(old.number)?;
            retired.segments += 1;
            retired.bytes += old.bytes;
        }
        before = Some(segment);
    }
    Ok(retired)
}

/// What [`retire`] would remove, as far as the segments' first headers say.
///
/// # Errors
/// As [`retire`].
pub fn retirable(storage: &dyn Storage, keep_from: u64) -> Result<Retired, ReadError> {
    let found = segments(storage)?;
    let begun = found.iter().take_while(|segment| segment.first.index <= keep_from).count();
    // The last of them may hold the record itself.
    let gone = &found[..begun.saturating_sub(1)];
    let bytes = gone.iter().map(|segment| segment.bytes).sum();
    Ok(Retired { segments: gone.len() as u64, bytes })
}

fn does_not_follow(old: &Segment, new: &Segment) -> Option<Flaw> {
    if new.first.frame != old.first.frame {
        return Some(Flaw::Frame(new.first.frame));
    }
    (new.first.index <= old.first.index).then_some(Flaw::Index(new.first.index))
}
