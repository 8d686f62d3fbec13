//! A growing table in chunks of `ROWS`: rows keep their number, and growth copies at most the
//! first chunk while it is small.

use alloc::vec::Vec;

use prefetch_index::prefetch_index;

use crate::limits::CHUNK_ROWS;

/// See the module.
#[derive(Clone, Debug)]
pub(crate) struct Chunks<T, const ROWS: usize = CHUNK_ROWS> {
    chunks: Vec<Vec<T>>,
    len: usize,
}

impl<T, const ROWS: usize> Default for Chunks<T, ROWS> {
    fn default() -> Self {
        Self { chunks: Vec::new(), len: 0 }
    }
}

impl<T, const ROWS: usize> Chunks<T, ROWS> {
    /// Rows.
    pub(crate) const fn len(&self) -> usize {
        self.len
    }

    /// One row.
    ///
    /// # Panics
    ///
    /// If there is no such row: numbers come from an index of these rows.
    #[inline]
    pub(crate) fn row(&self, number: u32) -> &T {
        let number = number as usize;
        &self.chunks[number / ROWS][number % ROWS]
    }

    /// One row, if it is there.
    #[inline]
    pub(crate) fn get(&self, place: usize) -> Option<&T> {
        self.chunks.get(place / ROWS)?.get(place % ROWS)
    }

    /// Calls a row, if it is there, into the cache.
    #[inline]
    pub(crate) fn prefetch(&self, number: u32) {
        let number = number as usize;
        if let Some(chunk) = self.chunks.get(number / ROWS) {
            prefetch_index(chunk, number % ROWS);
        }
    }

    /// Calls the place of a row to be added, so many after the next one, into the cache.
    #[inline]
    pub(crate) fn prefetch_room(&self, ahead: usize) {
        if let Some(chunk) = self.chunks.get(self.len / ROWS) {
            prefetch_index(chunk, chunk.len() + ahead);
        }
    }

    /// One row, to change it.
    #[inline]
    pub(crate) fn row_mut(&mut self, number: u32) -> &mut T {
        let number = number as usize;
        &mut self.chunks[number / ROWS][number % ROWS]
    }

    /// Adds a row and returns its number.
    pub(crate) fn push(&mut self, row: T) -> u32 {
        self.push_with(row, || Vec::with_capacity(ROWS))
    }

    /// As [`Self::push`], with a spare chunk when another one is needed. Inlined, so that a row is
    /// written where it stays, and not into the stack before.
    #[inline(always)]
    pub(crate) fn push_with(&mut self, row: T, spare: impl FnOnce() -> Vec<T>) -> u32 {
        let number = u32::try_from(self.len).expect("tables have at most 2^30 rows");
        let place = self.len / ROWS;
        if place == self.chunks.len() {
            // The first is small.
            self.chunks.push(if self.len == 0 { Vec::new() } else { spare() });
        }
        self.chunks[place].push(row);
        self.len += 1;
        number
    }

    /// Takes the last row back. A chunk that is empty then stays until the one before it is, for a
    /// table may grow and shrink by a row all the time.
    pub(crate) fn pop(&mut self) -> Option<T> {
        let last = self.len.checked_sub(1)?;
        let place = last / ROWS;
        self.chunks.truncate(place + 2);
        self.len = last;
        self.chunks[place].pop()
    }

    /// Every row in order of the numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flatten()
    }

    /// The chunks themselves, for reuse; the first may be small.
    pub(crate) fn into_chunks(self) -> Vec<Vec<T>> {
        self.chunks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_numbers_over_chunk_borders() {
        let mut chunks: Chunks<u32> = Chunks::default();
        let count = u32::try_from(CHUNK_ROWS).unwrap() + 1;
        for number in 0..count {
            assert_eq!(chunks.push(number), number);
        }
        *chunks.row_mut(3) += 1;
        assert_eq!((*chunks.row(3), *chunks.row(count - 1)), (4, count - 1));
        assert_eq!(chunks.pop(), Some(count - 1));
        assert_eq!(chunks.push(9), count - 1);
        assert_eq!(chunks.iter().count(), chunks.len());
    }

    #[test]
    fn a_row_more_and_a_row_less_takes_no_memory_and_gives_none_back() {
        let mut chunks: Chunks<u32, 4> = Chunks::default();
        for number in 0..9 {
            chunks.push(number);
        }
        let spare = |chunks: &Chunks<u32, 4>| chunks.chunks.get(2).map(Vec::as_ptr);
        let there = spare(&chunks);
        for _ in 0..3 {
            assert_eq!((chunks.pop(), chunks.len(), spare(&chunks)), (Some(8), 8, there));
            assert_eq!((chunks.push(8), spare(&chunks)), (8, there));
        }
        for number in (0..9).rev() {
            assert_eq!(chunks.pop(), Some(number));
        }
        assert_eq!((chunks.pop(), chunks.chunks.len()), (None, 2));
        assert_eq!(chunks.push(7), 0);
        assert_eq!(chunks.iter().collect::<Vec<_>>(), [&7]);
    }
}
