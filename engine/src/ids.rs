//! Remembered ids: what became of each command in the window, in slices of one second of the id's
//! own time that are dropped whole. A slice is kept in tables of a few milliseconds, so that a
//! busy frame works on few of them at a time.
//!
//! The invariant (H8): an id at or above the floor that was remembered is found; the floor never
//! falls, and what lies below it is refused, never executed.

mod row;

use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::ops::RangeBounds;

use crate::chunks::Chunks;
use crate::hash::Hash;
use crate::index::{Index, Slot};
use crate::limits::{
    ID_CHUNK_ROWS, ID_ROWS_CALLED, ID_TABLE_MS, ID_TABLE_ROWS_PLANNED, SPARE_CHUNKS_MAX,
    SPARE_TABLES_MAX,
};

pub(crate) use self::row::{Key, Row};

const SLICE_MS: u64 = 1_000;
const TABLES_PER_SLICE: u64 = SLICE_MS / ID_TABLE_MS;
/// Tables just before a new one, which is made for as many rows as the fullest of them: a load may
/// have just begun.
const PLANNED_BY_NEWEST: usize = 4;
/// Tables before a new one by which it is planned besides: a third of a second. Ids of one time
/// arrive over as long as requests wait, so the newest are far from full when another begins.
const PLANNED_BY: usize = 16;
/// As many rows as so many of them have at least: one full moment plans few tables.
const PLANNED_LIKE: usize = 4;

/// The ids of [`ID_TABLE_MS`]; those of a second are dropped together.
#[derive(Debug, Default)]
struct Table {
    index: Index,
    rows: Chunks<Row, ID_CHUNK_ROWS>,
}

/// Where a search ended that found nothing.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    /// Number of the table and slot in its index; not used where there is no table.
    table: usize,
    slot: Slot,
    /// What [`Ids::turn`] was then; [`NO_TURN`] where there is no table.
    turn: u64,
}

/// [`Ids::turn`] never gets here.
const NO_TURN: u64 = u64::MAX;

impl Gap {
    /// Where there is no table.
    const NONE: Self = Self { table: 0, slot: Slot::FIRST, turn: NO_TURN };
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Ids {
    /// First second that is remembered.
    floor: u64,
    /// The table of the last insertion, if it is still there.
    near: Near,
    /// Changes so far: while it stays, what a search found stays right.
    turn: u64,
    /// Numbers of the tables from the floor on; `None` while empty. The last one is not empty.
    places: VecDeque<Option<u32>>,
    /// The tables by their numbers, which they keep.
    tables: Vec<Option<Box<Table>>>,
    /// Numbers without a table.
    free: Vec<u32>,
    held: usize,
    /// No slice before this second has rows.
    oldest: u64,
    spare_rows: Vec<Vec<Row>>,
    spare_indexes: Vec<Index>,
}

/// A table that is found without its place.
#[derive(Clone, Copy, Debug)]
struct Near {
    /// Its first millisecond.
    unix_ms: u64,
    /// Its number.
    table: usize,
}

impl Default for Near {
    /// No time inside an id is near to it.
    fn default() -> Self {
        Self { unix_ms: 1 << 63, table: usize::MAX }
    }
}

impl Ids {
    /// Ids below this time are refused.
    pub(crate) const fn floor_ms(&self) -> u64 {
        self.floor * SLICE_MS
    }

    /// The table for ids of this time, with its number.
    #[inline]
    fn table(&self, unix_ms: u64) -> Option<(usize, &Table)> {
        let near = self.near;
        let is_near = unix_ms.wrapping_sub(near.unix_ms) < ID_TABLE_MS;
        let number = if is_near { near.table } else { self.far_table(unix_ms)? };
        Some((number, self.tables.get(number)?.as_deref()?))
    }

    #[inline(never)]
    fn far_table(&self, unix_ms: u64) -> Option<usize> {
        let number = (*self.places.get(self.place(unix_ms)?)?)?;
        usize::try_from(number).ok()
    }

    /// Place of the table for ids of this time.
    fn place(&self, unix_ms: u64) -> Option<usize> {
        let place = (unix_ms / ID_TABLE_MS).checked_sub(self.floor * TABLES_PER_SLICE)?;
        usize::try_from(place).ok()
    }

    /// Calls the place where a search for `key` would begin into the cache.
    #[inline]
    pub(crate) fn prefetch(&self, key: &Key) {
        if let Some((_, table)) = self.table(key.unix_ms()) {
            table.index.prefetch(key.hash);
        }
    }

    /// What became of the command with `key`.
    #[inline]
    pub(crate) fn find(&self, key: &Key) -> Option<Row> {
        self.search(key).ok().copied()
    }

    /// As [`Self::find`], or where it may be remembered.
    #[inline(always)]
    pub(crate) fn search(&self, key: &Key) -> Result<&Row, Gap> {
        let Some((number, table)) = self.table(key.unix_ms()) else {
            return Err(Gap::NONE);
        };
        let found = table.index.search(key.hash, |row| table.rows.row(row).is(key));
        match found {
            Ok(row) => Ok(table.rows.row(row)),
            Err(slot) => Err(Gap { table: number, slot, turn: self.turn }),
        }
    }

    /// Remembers what became of a command whose id is at or above the floor.
    #[inline(never)]
    pub(crate) fn insert(
        &mut self,
        hash: &Hash,
        key: &Key,
        sequence: u64,
        check: u32,
        outcome: (u16, u16),
    ) {
        let place =
            self.place(key.unix_ms()).expect("ids below the floor are refused before they run");
        let table = match self.far_table(key.unix_ms()) {
            Some(table) => table,
            None => self.add_table(place),
        };
        let (table, number) = self.push(table, Row::new(key, sequence, check, outcome));
        let Table { index, rows } = table;
        index.insert(key.hash, number, |number| rows.row(number).hash(hash));
    }

    /// As [`Self::insert`], where a search for `key` ended, without another one if nothing was
    /// remembered or forgotten since.
    #[inline(always)]
    pub(crate) fn insert_at(
        &mut self,
        hash: &Hash,
        gap: Gap,
        key: &Key,
        sequence: u64,
        check: u32,
        outcome: (u16, u16),
    ) {
        if gap.turn != self.turn {
            return self.insert(hash, key, sequence, check, outcome);
        }
        let (table, number) = self.push(gap.table, Row::new(key, sequence, check, outcome));
        let Table { index, rows } = table;
        index.insert_at(gap.slot, key.hash, number, |number| rows.row(number).hash(hash));
    }

    /// Adds a row to a table, which is near from now on; returns that and the number of the row.
    #[inline(always)]
    fn push(&mut self, table: usize, row: Row) -> (&mut Table, u32) {
        if table != self.near.table {
            let unix_ms = (row.id() >> 80) as u64 / ID_TABLE_MS * ID_TABLE_MS;
            self.near = Near { unix_ms, table };
        }
        self.turn += 1;
        self.held += 1;
        let Self { tables, spare_rows: spare, .. } = self;
        let table = tables[table].as_mut().expect("the table was found, or was just added");
        let spare = || spare.pop().unwrap_or_else(|| Vec::with_capacity(ID_CHUNK_ROWS));
        let number = table.rows.push_with(row, spare);
        table.rows.prefetch_room(ID_ROWS_CALLED);
        (table, number)
    }

    /// A table at a place that has none; returns its number.
    #[cold]
    fn add_table(&mut self, place: usize) -> usize {
        while self.places.len() <= place {
            self.places.push_back(None);
        }
        let index = self.index_for(self.planned(place));
        let number = self.free.pop().unwrap_or_else(|| {
            self.tables.push(None);
            u32::try_from(self.tables.len() - 1).expect("a window has fewer tables than 2^32")
        });
        self.places[place] = Some(number);
        self.oldest = self.oldest.min(self.floor + place as u64 / TABLES_PER_SLICE);
        let number = number as usize;
        self.tables[number] = Some(Box::new(Table { index, rows: Chunks::default() }));
        number
    }

    /// Rows that a new table is made for: as many as some of those before it have, so that a busy
    /// frame's tables need not grow; at most [`ID_TABLE_ROWS_PLANNED`], for nobody shall buy memory
    /// with ids of one moment.
    fn planned(&self, place: usize) -> usize {
        let rows_at = |places| self.tables_at(places).map(|table| table.rows.len());
        let before = rows_at(place.saturating_sub(PLANNED_BY)..place);
        let newest = rows_at(place.saturating_sub(PLANNED_BY_NEWEST)..place).max().unwrap_or(0);
        let mut rows = [0; PLANNED_BY];
        rows.iter_mut().zip(before).for_each(|(rows, count)| *rows = count);
        rows.sort_unstable();
        rows[PLANNED_BY - PLANNED_LIKE].max(newest).min(ID_TABLE_ROWS_PLANNED)
    }

    /// An empty index for so many rows.
    fn index_for(&mut self, rows: usize) -> Index {
        let fits = |index: &Index| (rows..=2 * rows.max(64)).contains(&index.capacity());
        if let Some(place) = self.spare_indexes.iter().position(fits) {
            return self.spare_indexes.swap_remove(place);
        }
        if self.spare_indexes.len() == SPARE_TABLES_MAX {
            // Of another traffic.
            self.spare_indexes.clear();
        }
        Index::with_capacity(rows)
    }

    /// At a record: the floor rises with the window.
    pub(crate) fn advance(&mut self, now_ms: u64, window_ms: u64) {
        self.raise(now_ms.saturating_sub(window_ms) / SLICE_MS);
    }

    /// The floor of a state that is read back.
    pub(crate) fn begin_at(&mut self, floor_ms: u64) {
        self.raise(floor_ms / SLICE_MS);
    }

    fn raise(&mut self, floor: u64) {
        if floor <= self.floor {
            return;
        }
        let tables = (floor - self.floor).saturating_mul(TABLES_PER_SLICE);
        let tables = usize::try_from(tables).unwrap_or(usize::MAX);
        for _ in 0..tables.min(self.places.len()) {
            if let Some(Some(number)) = self.places.pop_front() {
                self.free.push(number);
                if let Some(table) = self.tables[number as usize].take() {
                    self.forget(*table);
                }
            }
        }
        self.floor = floor;
        self.turn += 1;
        self.near = Near::default();
        self.oldest = self.oldest.max(floor);
    }

    fn forget(&mut self, table: Table) {
        let rows = table.rows.len();
        self.held -= rows;
        for mut chunk in table.rows.into_chunks() {
            if self.spare_rows.len() < SPARE_CHUNKS_MAX && chunk.capacity() >= ID_CHUNK_ROWS {
                chunk.clear();
                self.spare_rows.push(chunk);
            }
        }
        let is_planned = table.index.capacity() <= 4 * ID_TABLE_ROWS_PLANNED;
        if is_planned && self.spare_indexes.len() < SPARE_TABLES_MAX {
            let mut index = table.index;
            index.clear();
            self.spare_indexes.push(index);
        }
    }

    /// Makes room for `count` more, forgetting whole slices older than the minimum window; whether
    /// there is room.
    pub(crate) fn make_room(
        &mut self,
        count: usize,
        capacity: usize,
        now_ms: u64,
        min_window_ms: u64,
    ) -> bool {
        assert!(count <= capacity, "a chain is never longer than the smallest window");
        while self.held + count > capacity {
            while self.is_empty_at(self.oldest) {
                self.oldest += 1;
            }
            let end = self.oldest + 1;
            let youngest = now_ms.checked_sub(min_window_ms);
            if youngest.is_none_or(|youngest| end * SLICE_MS > youngest) {
                return false;
            }
            self.raise(end);
        }
        true
    }

    fn is_empty_at(&self, second: u64) -> bool {
        let place = (second - self.floor).saturating_mul(TABLES_PER_SLICE);
        let place = usize::try_from(place).unwrap_or(usize::MAX);
        assert!(place < self.places.len(), "while ids are held, a slice holds them");
        self.places.iter().skip(place).take(TABLES_PER_SLICE as usize).all(Option::is_none)
    }

    /// Ids held.
    pub(crate) const fn len(&self) -> usize {
        self.held
    }

    /// Every row, table by table; the time in the ids of one is below that in the next.
    pub(crate) fn tables(&self) -> impl Iterator<Item = impl Iterator<Item = &Row>> {
        self.tables_at(..).map(|table| table.rows.iter())
    }

    fn tables_at(&self, places: impl RangeBounds<usize>) -> impl Iterator<Item = &Table> {
        let numbers = self.places.range(places).flatten();
        numbers.filter_map(|&number| self.tables[number as usize].as_deref())
    }

    /// Every row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Row> {
        self.tables().flatten()
    }
}

#[cfg(test)]
#[path = "ids_test.rs"]
mod tests;
