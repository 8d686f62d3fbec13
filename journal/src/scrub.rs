//! Reading sealed segments again and again, so that rot is found while other copies exist.
//!
//! Refuses to look at what is not known to be durable, and to stop at one damage: what lies
//! behind it is looked at too. Invariant: every sealed segment is read from the medium, whole and
//! along its chain, in each pass, unless retention removes it first.

use std::sync::Arc;

use crate::error::ReadError;
use crate::flaw::Due;
use crate::scan::{Behind, Depth, Scanner, Witness};
use crate::segments::{
    beginning, last_beginning, last_witness, no_beginning, numbers, unless_retired,
};
use crate::storage::{Source, Storage};

/// What one step has read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Bytes of records.
    pub bytes: u64,
    /// Records that verify.
    pub records: u64,
    /// The step came to the last sealed segment's end; the next one begins at the oldest.
    pub has_finished_pass: bool,
}

/// Goes round the sealed segments of a journal, which may be running.
pub struct Scrub {
    storage: Arc<dyn Storage>,
    pass: Option<Box<Pass>>,
    /// Segments up to this one are behind us in this pass.
    after: u64,
}

struct Pass {
    scanner: Scanner,
    /// Says that everything in this pass is durable.
    witness: Witness,
}

impl Scrub {
    /// Begins at the oldest segment; nothing is read yet.
    #[must_use]
    pub const fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage, pass: None, after: 0 }
    }

    /// Verifies the next records, until `bytes_max` are reached or the pass is finished.
    ///
    /// # Errors
    /// The first thing that is wrong; the next step goes on with the segment behind it.
    pub fn step(&mut self, bytes_max: u64) -> Result<Scrubbed, ReadError> {
        let mut done = Scrubbed::default();
        let mut pass = match self.pass.take() {
            Some(pass) => pass,
            None => match self.begin()? {
                Begun::Pass(pass) => pass,
                Begun::Again => return Ok(done),
                Begun::Nothing => return Ok(self.finish(done)),
            },
        };
        while done.bytes < bytes_max {
            match pass.scanner.advance() {
                Ok(true) => {
                    done.bytes += pass.scanner.header().record_len();
                    done.records += 1;
                }
                Ok(false) => {
                    let end = *pass.scanner.end().expect("a scan that stopped has an end");
                    if !end.exists {
                        return Ok(self.finish(done));
                    }
                    self.after = end.segment;
                    let behind = Behind { dirty: Vec::new(), witness: Some(pass.witness) };
                    let floor = end.due.index;
                    return pass.scanner.judge(&end, &behind, floor, None).map(|()| done);
                }
                Err(error) => {
                    let number = pass.scanner.segment();
                    self.after = number;
                    unless_retired(&*self.storage, number, error)?;
                    return Ok(done);
                }
            }
        }
        self.pass = Some(pass);
        Ok(done)
    }

    const fn finish(&mut self, mut done: Scrubbed) -> Scrubbed {
        self.after = 0;
        done.has_finished_pass = true;
        done
    }

    /// The segments that are left of this pass, and of them those known to be durable.
    fn begin(&mut self) -> Result<Begun, ReadError> {
        let storage = &*self.storage;
        let mut numbers = numbers(storage)?;
        let Some(newest) = last_beginning(storage, &numbers)? else {
            return Ok(Begun::Nothing);
        };
        numbers.retain(|&number| number > self.after && number < newest.segment);
        if numbers.is_empty() {
            return Ok(Begun::Nothing);
        }
        let witness = last_witness(&self.storage, &newest)?;
        // What lies before a record that is durable, or follows one, is.
        let mut behind = newest.index;
        while behind > witness.durable_index.saturating_add(1) {
            let Some(number) = numbers.pop() else {
                return Ok(Begun::Nothing);
            };
            match beginning(storage, number, Source::Cache) {
                Ok((_, Ok(first))) => behind = first.index,
                Ok((_, Err(_))) => {}
                Err(error) => {
                    unless_retired(storage, number, error)?;
                    return Ok(Begun::Again);
                }
            }
        }
        let Some(&number) = numbers.first() else {
            return Ok(Begun::Nothing);
        };
        let first = match beginning(storage, number, Source::Medium) {
            Ok((_, first)) => first,
            Err(error) => {
                self.after = number;
                unless_retired(storage, number, error)?;
                return Ok(Begun::Again);
            }
        };
        let due = match first {
            Ok(_) if number == 1 => Due::GENESIS,
            Ok(first) => Due::at(&first),
            Err(flaw) => {
                self.after = number;
                return Err(no_beginning(storage, number, flaw));
            }
        };
        let storage = Arc::clone(&self.storage);
        let scanner = Scanner::new(storage, numbers, due, Source::Medium, Depth::Whole, u32::MAX);
        Ok(Begun::Pass(Box::new(Pass { scanner, witness })))
    }
}

enum Begun {
    Pass(Box<Pass>),
    /// Retention was quicker.
    Again,
    /// No sealed segment is left.
    Nothing,
}
