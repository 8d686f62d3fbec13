//! No damage is believed: every byte flipped, every length, files of others and swapped ones.
//! Invariant: a body that is read is the body that was written.

use snapshot::{CHUNK_BYTES, Catalogue, MemoryFiles, SnapshotError};

use crate::disk::{FRAME, body, catalogue, edit, read, take};

#[test]
fn every_flipped_byte_is_told_with_its_place() {
    let disk = MemoryFiles::new();
    let catalogue = catalogue(&disk);
    let bytes = body(600);
    let name = take(&catalogue, 10, &bytes).unwrap();
    assert_eq!(read(&catalogue, &name).unwrap(), bytes);
    let len = catalogue.verify(&name).unwrap().file_bytes as usize;
    for at in 0..len {
        edit(&disk, &name, |file| file[at] ^= 0x40);
        let error = catalogue.verify(&name).expect_err("a byte is wrong");
        assert!(read(&catalogue, &name).is_err());
        match error {
            SnapshotError::NotSnapshot { .. } => assert!(at < 8, "{at}"),
            SnapshotError::Damaged { offset, .. } => assert!(offset <= at as u64, "{at}"),
            other => panic!("byte {at}: {other}"),
        }
        edit(&disk, &name, |file| file[at] ^= 0x40);
    }
    assert!(catalogue.verify(&name).is_ok());
}

#[test]
fn every_other_length_is_told() {
    let disk = MemoryFiles::new();
    let catalogue = catalogue(&disk);
    let name = take(&catalogue, 10, &body(300)).unwrap();
    let mut whole = Vec::new();
    edit(&disk, &name, |file| whole = file.clone());
    for len in 0..whole.len() {
        edit(&disk, &name, |file| file.truncate(len));
        let error = catalogue.verify(&name).expect_err("it is cut");
        assert!(matches!(error, SnapshotError::Damaged { .. }), "{len}: {error}");
        edit(&disk, &name, |file| *file = whole.clone());
    }
    edit(&disk, &name, |file| file.push(0));
    assert!(matches!(catalogue.verify(&name), Err(SnapshotError::Damaged { .. })));
}

#[test]
fn chunks_cannot_change_places() {
    let disk = MemoryFiles::new();
    let catalogue = catalogue(&disk);
    let bytes = body(2 * CHUNK_BYTES + 5);
    let name = take(&catalogue, 10, &bytes).unwrap();
    assert_eq!(read(&catalogue, &name).unwrap(), bytes);
    edit(&disk, &name, |file| {
        let (one, other) = file[256..256 + 2 * CHUNK_BYTES].split_at_mut(CHUNK_BYTES);
        one.swap_with_slice(other);
    });
    let error = catalogue.verify(&name).expect_err("chunks are swapped");
    assert!(matches!(error, SnapshotError::Damaged { offset: 256, .. }), "{error}");
}

#[test]
fn files_cannot_change_places_or_frames() {
    let disk = MemoryFiles::new();
    let catalogue = catalogue(&disk);
    let (one, other) =
        (take(&catalogue, 10, &body(9)).unwrap(), take(&catalogue, 20, &body(8)).unwrap());
    let (mut first, mut second) = (Vec::new(), Vec::new());
    edit(&disk, &one, |file| first = file.clone());
    edit(&disk, &other, |file| second = file.clone());
    edit(&disk, &one, |file| *file = second);
    edit(&disk, &other, |file| *file = first);
    for entry in catalogue.list().unwrap() {
        assert!(matches!(entry.meta, Err(SnapshotError::Misnamed { .. })), "{}", entry.name);
        assert!(matches!(catalogue.open(&entry.name), Err(SnapshotError::Misnamed { .. })));
    }
    let strange = Catalogue::new(disk, FRAME + 1);
    let error = strange.verify(&one).expect_err("it is another frame's");
    assert!(matches!(error, SnapshotError::WrongFrame { found: FRAME, .. }), "{error}");
}

#[test]
fn a_reader_gives_no_more_than_there_is() {
    let catalogue = catalogue(&MemoryFiles::new());
    let name = take(&catalogue, 10, &body(10)).unwrap();
    let mut reader = catalogue.open(&name).unwrap();
    assert!(matches!(reader.fill(&mut [0; 11]), Err(SnapshotError::Length { bytes: 10, .. })));
    reader.fill(&mut [0; 4]).unwrap();
    assert!(matches!(reader.finish(), Err(SnapshotError::Length { .. })));
}

#[test]
fn reading_ahead_gives_the_same_and_tells_the_same() {
    let disk = MemoryFiles::new();
    let catalogue = catalogue(&disk);
    let bytes = body(20 * CHUNK_BYTES + 7);
    let name = take(&catalogue, 10, &bytes).unwrap();
    let ahead = || {
        let mut reader = catalogue.open(&name).unwrap();
        reader.read_ahead();
        // A second time it changes nothing.
        reader.read_ahead();
        reader
    };
    let mut found = vec![0; bytes.len()];
    let mut reader = ahead();
    for part in found.chunks_mut(300_001) {
        reader.fill(part).unwrap();
    }
    assert!(found == bytes && reader.left() == 0);
    assert!(matches!(reader.fill(&mut [0]), Err(SnapshotError::Length { .. })));
    assert_eq!(reader.finish().unwrap(), catalogue.verify(&name).unwrap());
    assert_eq!(ahead().verify().unwrap(), catalogue.verify(&name).unwrap());
    // Half way it is given up.
    ahead().fill(&mut found[..CHUNK_BYTES]).unwrap();

    let place = 18 * CHUNK_BYTES + 256;
    edit(&disk, &name, |file| file[place + 5] ^= 1);
    let mut reader = ahead();
    let (whole, rest) = found.split_at_mut(18 * CHUNK_BYTES);
    whole.fill(0);
    reader.fill(whole).unwrap();
    assert!(*whole == bytes[..whole.len()]);
    let error = reader.fill(rest).expect_err("a byte is wrong");
    assert!(
        matches!(error, SnapshotError::Damaged { offset, .. } if offset == place as u64),
        "{error}"
    );
    assert!(reader.fill(&mut [0]).is_err(), "nothing comes behind it");
    assert!(ahead().verify().is_err());

    let mut reader = catalogue.open(&name).unwrap();
    reader.fill(&mut found[..18 * CHUNK_BYTES]).unwrap();
    for _ in 0..2 {
        let again = reader.fill(&mut [0]);
        assert!(matches!(again, Err(SnapshotError::Damaged { .. })), "whoever asks again");
    }
}
