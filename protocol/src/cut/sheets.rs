//! Rows in sheets of a megabyte. A cut may hold every account of a frame, and one piece of memory
//! for all of them is seldom there: it would be fresh each time, and each page of it be waited for.

use alloc::collections::BinaryHeap;
use alloc::collections::binary_heap::PeekMut;
use alloc::vec::Vec;
use core::cmp::Reverse;

use crate::ids::{AssetId, OwnerId};

/// Bytes of a sheet: with what an allocator adds and rounds up to, still within a megabyte.
const SHEET_BYTES: usize = (1 << 20) - (1 << 16);

/// A row of an account.
pub trait Keyed: Copy {
    /// What rows are sorted by; no two of a cut have the same.
    fn key(&self) -> (OwnerId, AssetId);
}

/// See the module. Two are the same when their rows are, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sheets<T> {
    full: Vec<Vec<T>>,
    /// The last one, that rows are added to.
    open: Vec<T>,
}

impl<T> Default for Sheets<T> {
    fn default() -> Self {
        Self { full: Vec::new(), open: Vec::new() }
    }
}

impl<T> Sheets<T> {
    /// Rows of a sheet.
    const ROWS: usize = SHEET_BYTES / size_of::<T>();

    /// None; a first sheet with room for `rows`, or as many as it may have.
    pub(super) fn with_capacity(rows: usize) -> Self {
        Self { full: Vec::new(), open: Vec::with_capacity(rows.min(Self::ROWS)) }
    }

    /// Adds a row.
    #[inline]
    pub(super) fn push(&mut self, row: T) {
        if self.open.len() == Self::ROWS {
            let full = core::mem::replace(&mut self.open, Vec::with_capacity(Self::ROWS));
            self.full.push(full);
        }
        self.open.push(row);
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.full.len() * Self::ROWS + self.open.len()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn sheets(&self) -> impl Iterator<Item = &[T]> {
        self.full.iter().chain([&self.open]).map(Vec::as_slice)
    }

    /// All of them, sheet by sheet.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.sheets().flatten()
    }
}

impl<T: Keyed> Sheets<T> {
    /// Sorts each sheet by itself, as [`Self::merged`] needs it.
    pub(super) fn sort(&mut self) {
        for sheet in self.full.iter_mut().chain([&mut self.open]) {
            sheet.sort_unstable_by_key(Keyed::key);
        }
    }

    /// All of them, in the order of their keys if the sheets are sorted.
    pub fn merged(&self) -> impl Iterator<Item = T> {
        let mut sheets: Vec<_> = self.sheets().collect();
        let first = |(number, sheet): (usize, &&[T])| Some(Reverse((sheet.first()?.key(), number)));
        let mut heads: BinaryHeap<_> = sheets.iter().enumerate().filter_map(first).collect();
        core::iter::from_fn(move || {
            let mut least = heads.peek_mut()?;
            let sheet = &mut sheets[least.0.1];
            let (row, rest) = sheet.split_first()?;
            *sheet = rest;
            match rest.first() {
                Some(next) => least.0.0 = next.key(),
                None => drop(PeekMut::pop(least)),
            }
            Some(*row)
        })
    }
}
