//! The directory in memory loses what a disk may lose, and nothing else.

use std::collections::BTreeSet;
use std::io;

use snapshot::{Files as _, MemoryFiles};

/// Two synced sectors under a synced name; then one is written over, one is added, the file gets
/// another name and a second file comes.
fn half_synced() -> io::Result<MemoryFiles> {
    let files = MemoryFiles::new();
    let mut file = files.create("one")?;
    file.write_at(0, &[1; 1024])?;
    file.sync()?;
    files.sync()?;
    file.write_at(512, &[2; 1024])?;
    files.rename("one", "two")?;
    files.create("three")?.write_at(0, &[3; 10])?;
    Ok(files)
}

#[test]
fn what_is_synced_survives_and_the_rest_may_be_kept_lost_or_torn() {
    let (mut names, mut bodies) = (BTreeSet::new(), BTreeSet::new());
    for seed in 0..400 {
        let files = half_synced().unwrap().copy();
        files.crash(seed);
        let name = files.names().into_iter().find(|name| name != "three").unwrap();
        let body = files.image(&name).unwrap();
        assert!(body.len() >= 1024 && body[..512] == [1; 512], "seed {seed}");
        names.insert(files.names());
        bodies.insert(body);
    }
    let names: Vec<_> = names.into_iter().map(|names| names.join(" ")).collect();
    assert_eq!(names, ["one", "one three", "three two", "two"]);
    let mut kept = vec![1; 512];
    kept.extend([2; 1024]);
    assert!(bodies.contains(&kept) && bodies.contains(&vec![1; 1024]) && bodies.len() > 20);
}

#[test]
fn a_failed_sync_is_seen_when_the_cache_is_dropped() {
    let files = MemoryFiles::new();
    let mut file = files.create("one").unwrap();
    file.write_at(0, &[1; 600]).unwrap();
    files.fail_sync_in(0);
    assert!(file.sync().is_err());
    assert_eq!(files.image("one").unwrap(), [1; 600], "it is still in the cache");
    file.sync().unwrap();
    let mut read = [9; 600];
    files.open("one").unwrap().read_at(0, &mut read).unwrap();
    assert_eq!(read, [0; 600], "a sync is not tried again");
}

#[test]
fn names_are_not_overwritten_and_what_is_not_there_is_missing() {
    let files = half_synced().unwrap();
    let kind = |result: io::Result<()>| result.err().map(|error| error.kind());
    let created = files.create("two").map(drop);
    assert_eq!(kind(created), Some(io::ErrorKind::AlreadyExists));
    let missing = Some(io::ErrorKind::NotFound);
    assert_eq!(kind(files.open("one").map(drop)), missing);
    assert_eq!(kind(files.remove("one")), missing);
    assert_eq!(kind(files.rename("one", "four")), missing);
}
