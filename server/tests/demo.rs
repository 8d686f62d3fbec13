//! The demonstration ends well and says so.

use std::process::{Command, Stdio};

#[test]
fn the_demonstration_kills_recovers_settles_and_agrees() {
    let temporary = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_bezant"))
        .args(["demo", "--accounts", "500", "--seconds", "1"])
        .env("TMPDIR", temporary.path())
        .current_dir(temporary.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{printed}\n{complaints}");
    for word in ["SIGKILL", "500"] {
        assert!(printed.contains(word), "{word} is not in:\n{printed}");
    }
    assert!(printed.to_lowercase().contains("verdict"), "{printed}");
    let left = std::fs::read_dir(temporary.path()).unwrap().count();
    assert_eq!(left, 0, "the temporary frame is gone");
}
