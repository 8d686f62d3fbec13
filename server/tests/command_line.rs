//! The command line by itself: what it does without a frame, without the frame's configuration, and
//! when nobody reads what it prints.

use std::process::{Command, Stdio};

use crate::frame::Frame;

#[test]
fn shells_and_manuals_are_served_without_a_frame() {
    let frame = Frame::unmade(&["no.such=1"]);
    for shell in ["bash", "zsh", "fish"] {
        let script = frame.ends_with(0, &["completions", shell]);
        assert!(script.contains("supply-audit"), "{shell}");
    }
    let file = frame.beside("bezant.bash");
    std::fs::write(&file, frame.ends_with(0, &["completions", "bash"])).unwrap();
    let read = Command::new("bash").arg("-n").arg(&file).status().unwrap();
    assert!(read.success(), "bash reads its completion");

    let page = frame.ends_with(0, &["man"]);
    assert!(page.contains(".TH bezant 1") && page.contains(".SH EXAMPLES"), "{page}");
    let dir = frame.beside("man1");
    frame.ends_with(0, &["man", "--out", &dir.display().to_string()]);
    let pages: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|page| page.unwrap().path()).collect();
    assert!(pages.len() > 40, "{}", pages.len());
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        let name = page.file_stem().unwrap().to_str().unwrap();
        assert!(text.contains(&format!(".TH {name} 1")), "{name}: {text}");
    }
    assert!(dir.join("bezant-client-hold-capture.1").exists());
}

#[test]
fn what_asks_no_frame_of_its_own_needs_no_configuration() {
    let mut frame = Frame::new();
    let identity = frame.identity("agent", "01900000-0000-7000-8000-00000000000a");
    let identity = identity.display().to_string();
    frame.set("no.such=1");
    frame.ends_with(78, &["audit-log", "verify"]);
    let shown = frame.ends_with(0, &["identity", "show", &identity]);
    assert!(shown.contains("Agent"), "{shown}");
    let ask = ["client", "--timeout", "1", "--server", "127.0.0.1:9", "--identity"];
    frame.ends_with(75, &[&ask[..], &[&identity, "me"]].concat());
}

/// `bezant … | head -0` aborted, as a panic does.
#[test]
fn a_closed_pipe_is_an_error_and_not_an_abort() {
    let mut frame = Frame::new();
    frame.start();
    let identity = frame.identity("auditor", "reader").display().to_string();
    let server = frame.quic().to_string();
    let ask = ["client", "--server", &server, "--identity", &identity];
    let asked = |arguments: &[&str]| ends_unheard(&frame, &[&ask[..], arguments].concat());
    asked(&["supply"]);
    asked(&["supply", "--json"]);
    asked(&["parameters", "list"]);
    frame.stop();
    for arguments in [
        &["audit"][..],
        &["audit-log", "verify"],
        &["completions", "bash"],
        &["config", "check"],
        &["config", "show"],
        &["identity", "show", &identity],
        &["journal", "stat"],
        &["journal", "verify"],
        &["man"],
        &["verify-settlement"],
    ] {
        ends_unheard(&frame, arguments);
    }
}

/// Runs a subcommand whose output nobody reads.
fn ends_unheard(frame: &Frame, arguments: &[&str]) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut command = Command::new(&frame.home.binary);
    command.arg("--data-dir").arg(&frame.home.data_dir).args(arguments);
    let ended = command.stdin(Stdio::null()).stdout(writer).output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(74), "{arguments:?}: {}: {said}", ended.status);
    assert!(said.contains("standard output"), "{arguments:?}: {said}");
}
