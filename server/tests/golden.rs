//! The files that each version wrote, as the tools of this one find them.

use std::path::Path;

use crate::frame::{Frame, copy_dir};

#[test]
fn the_files_of_every_version_verify_and_replay() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../pipeline/tests/golden");
    let entries = std::fs::read_dir(root).unwrap().map(|entry| entry.unwrap().path());
    let sets: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    assert!(!sets.is_empty());
    for set in sets {
        let frame = Frame::unmade(&["settlement.sink=none"]);
        std::fs::create_dir(&frame.home.data_dir).unwrap();
        for name in ["journal", "snapshots"] {
            copy_dir(&set.join(name), &frame.home.data_dir.join(name));
        }
        for command in [&["journal", "verify"], &["snapshot", "verify"]] {
            frame.ends_with(0, command);
        }
        let expected = std::fs::read_to_string(set.join("end.txt")).unwrap();
        let audited = frame.ends_with(0, &["audit"]);
        for (line, head) in [("run digest ", "run digest"), ("image digest ", "image")] {
            let digest = expected.lines().find_map(|found| found.strip_prefix(line)).unwrap();
            let told = audited.lines().find(|found| found.starts_with(head)).unwrap();
            assert!(told.ends_with(digest), "{}: {told}", set.display());
        }
    }
}
