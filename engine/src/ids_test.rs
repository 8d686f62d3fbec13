//! Tables, windows and plans of remembered ids, against plain models.

use super::*;
use alloc::collections::BTreeMap;

fn hash() -> Hash {
    Hash::new(7)
}

fn key(unix_ms: u64, tail: u64) -> Key {
    Key::new(&hash(), (u128::from(unix_ms) << 80) | u128::from(tail), 1)
}

#[test]
fn ids_are_found_until_the_floor_passes_their_second() {
    let mut ids = Ids::default();
    for tail in 0..100 {
        ids.insert(&hash(), &key(10_500, tail), tail, 7, (0, 5));
    }
    ids.insert(&hash(), &key(9_999, 1), 200, 7, (603, 0));
    assert_eq!(ids.find(&key(10_500, 42)).map(|row| row.sequence), Some(42));
    assert_eq!(ids.find(&key(10_501, 42)), None);
    ids.advance(15_000, 5_000);
    assert_eq!(ids.floor_ms(), 10_000);
    assert_eq!((ids.find(&key(9_999, 1)), ids.len()), (None, 100));
    ids.advance(20_000_000, 5_000);
    assert_eq!((ids.len(), ids.floor_ms()), (0, 19_995_000));
}

/// Looks `key` up, and remembers `sequence` where it was not.
fn remember(ids: &mut Ids, key: &Key, sequence: u64) -> Option<u64> {
    match ids.search(key) {
        Ok(row) => Some(row.sequence),
        Err(gap) => {
            ids.insert_at(&hash(), gap, key, sequence, 0, (0, 0));
            None
        }
    }
}

#[test]
fn a_search_leads_to_where_its_id_is_remembered() {
    let mut ids = Ids::default();
    let mut model = BTreeMap::new();
    let mut random = 1_u64;
    for sequence in 0..20_000 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        // Times of neighbouring tables and of later ones, in turns; ids that come twice.
        let unix_ms = 5_000 + sequence / 4 + (random >> 60) * 7;
        let key = key(unix_ms, (random >> 33) % 50);
        if sequence.is_multiple_of(1_000) {
            ids.advance(unix_ms, 1_500);
            let floor_ms = ids.floor_ms();
            model.retain(|&id: &u128, _| (id >> 80) as u64 >= floor_ms);
        }
        let known = remember(&mut ids, &key, sequence);
        assert_eq!(known, model.get(&key.id).copied(), "{sequence}");
        model.entry(key.id).or_insert(sequence);
        assert_eq!(ids.len(), model.len());
    }
    let rows: BTreeMap<_, _> = ids.iter().map(|row| (row.id(), row.sequence)).collect();
    assert_eq!(rows, model);
}

#[test]
fn what_a_search_found_is_not_used_when_others_came_between() {
    // Many searches end at the same slot of a small table.
    let twin = |tail| key(9_100, tail);
    let mut ids = Ids::default();
    ids.insert(&hash(), &twin(0), 0, 0, (0, 0));
    let gaps: Vec<_> = (1..100).map(|tail| ids.search(&twin(tail)).unwrap_err()).collect();
    for (tail, gap) in (1..100).zip(gaps) {
        ids.insert_at(&hash(), gap, &twin(tail), tail, 0, (0, 0));
    }
    for tail in 0..100 {
        assert_eq!(ids.find(&twin(tail)).map(|row| row.sequence), Some(tail));
    }
}

#[test]
fn what_a_search_found_is_not_used_when_the_floor_rose_between() {
    let mut ids = Ids::default();
    for unix_ms in [1_000, 2_000, 3_000] {
        ids.insert(&hash(), &key(unix_ms, 1), unix_ms, 0, (0, 0));
    }
    let gap = ids.search(&key(3_000, 2)).unwrap_err();
    assert!(ids.make_room(2, 4, 4_000, 1_000));
    assert_eq!(ids.floor_ms(), 2_000);
    ids.insert_at(&hash(), gap, &key(3_000, 2), 9, 0, (0, 0));
    let found = |unix_ms, tail| ids.find(&key(unix_ms, tail)).map(|row| row.sequence);
    assert_eq!((found(3_000, 2), found(3_000, 1)), (Some(9), Some(3_000)));
    assert_eq!((found(2_000, 1), found(1_000, 1), found(5, 1)), (Some(2_000), None, None));
    assert_eq!(ids.len(), 3);
}

#[test]
fn room_is_made_only_below_the_minimum_window() {
    let mut ids = Ids::default();
    ids.insert(&hash(), &key(1_000, 1), 1, 0, (0, 0));
    ids.insert(&hash(), &key(3_000, 2), 2, 0, (0, 0));
    assert!(!ids.make_room(1, 2, 3_999, 2_000), "1 000 to 2 000 is too young");
    assert!(ids.make_room(1, 2, 4_000, 2_000));
    assert_eq!((ids.len(), ids.floor_ms()), (1, 2_000));
    assert!(!ids.make_room(2, 2, 5_999, 2_000));
    assert!(ids.make_room(2, 2, 6_000, 2_000));
}

#[test]
fn tables_are_planned_by_those_before_them() {
    let capacity = |ids: &Ids, unix_ms| ids.table(unix_ms).unwrap().1.index.capacity();
    let time = |place: usize| 1_000 + ID_TABLE_MS * place as u64;
    let many = 4 * ID_TABLE_ROWS_PLANNED as u64;
    let is_full = |planned| (ID_TABLE_ROWS_PLANNED..=2 * ID_TABLE_ROWS_PLANNED).contains(&planned);
    // So many full tables, then some that only begin: the last of those that is planned large.
    for (full, last) in [(1, 4), (3, 6), (4, 16), (5, 17)] {
        let mut ids = Ids::default();
        for place in 0..full {
            for tail in 0..many {
                ids.insert(&hash(), &key(time(place), tail), tail, 0, (0, 0));
            }
        }
        for place in full..2 * PLANNED_BY {
            ids.insert(&hash(), &key(time(place), 0), 0, 0, (0, 0));
            let capacity = capacity(&ids, time(place));
            assert_eq!(is_full(capacity), place <= last, "{full}: {place}, {capacity}");
        }
    }
}
