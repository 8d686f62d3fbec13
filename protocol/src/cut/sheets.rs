//! Rows in sheets of a megabyte. A cut may hold every account of a frame, and one piece of memory
//! for all of them is seldom there: it would be fresh each time, and each page of it be waited for.

use alloc::collections::BinaryHeap;
use alloc::collections::binary_heap::PeekMut;
use alloc::vec::Vec;
use core::cmp::Reverse;

/// Bytes of a sheet: with what an allocator adds, still within a megabyte.
const SHEET_BYTES: usize = (1 << 20) - (1 << 12);

/// What a row is sorted by.
pub trait Keyed: Copy {
    /// Its order; no two rows have the same.
    type Key: Ord;

    /// The key of this row.
    fn key(&self) -> Self::Key;
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

    /// All of them in the order of their keys, if the sheets are sorted.
    pub fn merged(&self) -> impl Iterator<Item = T> {
        let mut sheets: Vec<_> = self.sheets().map(|sheet| sheet.iter().copied()).collect();
        let heads = sheets.iter_mut().map(Iterator::next).enumerate();
        let head = |(sheet, row): (usize, Option<T>)| Some(Reverse(Head { row: row?, sheet }));
        let mut heads: BinaryHeap<_> = heads.filter_map(head).collect();
        core::iter::from_fn(move || {
            let mut least = heads.peek_mut()?;
            let Head { row, sheet } = least.0;
            match sheets[sheet].next() {
                Some(row) => least.0.row = row,
                None => drop(PeekMut::pop(least)),
            }
            Some(row)
        })
    }
}

/// The first row of what is left of a sheet.
#[derive(Clone, Copy)]
struct Head<T> {
    row: T,
    sheet: usize,
}

impl<T: Keyed> Ord for Head<T> {
    fn cmp(&self, other: &Self) -> core::cmp::Ordering {
        self.row.key().cmp(&other.row.key())
    }
}

impl<T: Keyed> PartialOrd for Head<T> {
    fn partial_cmp(&self, other: &Self) -> Option<core::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl<T: Keyed> PartialEq for Head<T> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<T: Keyed> Eq for Head<T> {}
