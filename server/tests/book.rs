//! The commands that the book prints, run by bash against the real program: what they print must be
//! what the page says they print.
//!
//! Blocks of a page that begin with [`BEGINS`] are one script, run by bash; one with [`PRINTS`]
//! behind them is what the last of them prints, where `…` stands for anything in a line, or, alone,
//! for any lines. The ports are other ones, so that pages run beside each other; the frame is a
//! small one, and `bezant client` waits longer, for a machine that has other tests to run.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The pages with commands, as from the root.
const PAGES: [&str; 6] = [
    "README.md",
    "docs/guide/http.md",
    "docs/tutorials/escrow.md",
    "docs/tutorials/first-payment.md",
    "docs/tutorials/follow.md",
    "docs/tutorials/replay.md",
];
const BEGINS: &str = "```sh test";
const PRINTS: &str = "```text output";
/// Longest time for a page, in seconds.
const PATIENCE_S: &str = "100";
/// Where the doors of a frame are by default.
const DOORS: [(&str, &str); 3] = [
    ("7400", "BEZANT_LISTEN_QUIC"),
    ("7401", "BEZANT_LISTEN_ADMIN"),
    ("7402", "BEZANT_LISTEN_HTTPS"),
];
/// What keeps a frame small, so that many fit one machine.
const SMALL: [(&str, &str); 4] = [
    ("BEZANT_JOURNAL_SEGMENT_MIB", "8"),
    ("BEZANT_MEMORY_RESERVE_MIB", "0"),
    ("BEZANT_RING_POOL_MIB", "32"),
    ("BEZANT_RING_REQUESTS", "256"),
];

/// Commands, and what they print if the page says it.
#[derive(Default)]
struct Step {
    commands: String,
    prints: Option<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// The steps of a page.
fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if !line.starts_with("```") {
            continue;
        }
        // Whatever the block is, it ends here and not with the next one's beginning.
        let block: String =
            lines.by_ref().take_while(|line| *line != "```").map(|l| format!("{l}\n")).collect();
        match line {
            BEGINS => steps.push(Step { commands: block, prints: None }),
            PRINTS => {
                let step = steps.last_mut().expect("output stands behind the commands it is of");
                assert!(step.prints.replace(block).is_none(), "two outputs of one step");
            }
            _ => {}
        }
    }
    steps
}

/// Three ports of this page and process that nobody listens on. They lie below those that the
/// system gives to whoever asks for any, so that no other test gets them meanwhile.
fn free_ports(page: &str) -> [u16; 3] {
    let place = PAGES.iter().position(|other| *other == page).unwrap();
    let process = u16::try_from(std::process::id() % 1_000).unwrap();
    let mut first = 10_000 + process * 20 + u16::try_from(place).unwrap() * 4;
    loop {
        let ports = [first, first + 1, first + 2];
        let tcp = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if UdpSocket::bind(("127.0.0.1", first)).is_ok() && ports[1..].iter().all(|port| tcp(*port))
        {
            return ports;
        }
        first = first.checked_add(20).expect("somewhere ports are free");
    }
}

/// Makes a folder with a `bezant` that knows where the frame is; returns the path to search.
fn path_with_bezant(home: &Path, quic: u16) -> String {
    let folder = home.join("bin");
    std::fs::create_dir(&folder).unwrap();
    let bezant = env!("CARGO_BIN_EXE_bezant");
    let script = format!(
        "#!/bin/sh\nif [ \"$1\" = client ]; then\n    shift\n    \
         exec {bezant} client --server 127.0.0.1:{quic} --timeout 60 \"$@\"\nfi\n\
         exec {bezant} \"$@\"\n"
    );
    let file = folder.join("bezant");
    std::fs::write(&file, script).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o700)).unwrap();
    format!("{}:{}", folder.display(), std::env::var("PATH").unwrap())
}

/// The steps as one script, each followed by a line that ends its output.
fn script(steps: &[Step]) -> String {
    let mut script = "set -euo pipefail\nexec 2>&1\n\
                      trap '{ kill $(jobs -p); wait; } 2>/dev/null || true' EXIT\n"
        .to_owned();
    for (place, step) in steps.iter().enumerate() {
        script += &format!("{}echo {}\n", step.commands, end_of(place));
    }
    script
}

fn end_of(place: usize) -> String {
    format!("=== end of step {place} ===")
}

/// Runs a page in a folder of its own and compares.
fn follow(page: &str) {
    let steps = steps(&std::fs::read_to_string(root().join(page)).unwrap());
    assert!(steps.iter().any(|step| step.prints.is_some()), "{page} says nothing of its output");
    let home = tempfile::tempdir().unwrap();
    // As in a checkout.
    std::os::unix::fs::symlink(root().join("examples"), home.path().join("examples")).unwrap();
    let ports = free_ports(page);
    let mut text = script(&steps);
    let mut bash = Command::new("timeout");
    bash.args(["--kill-after=5", PATIENCE_S, "bash", "-c"]);
    for ((usual, variable), port) in DOORS.iter().zip(ports) {
        text = text.replace(&format!(":{usual}"), &format!(":{port}"));
        bash.env(variable, format!("127.0.0.1:{port}"));
    }
    bash.arg(text).envs(SMALL).env("PATH", path_with_bezant(home.path(), ports[0]));
    bash.current_dir(home.path()).stdin(Stdio::null());
    let output = bash.output().expect("bash, coreutils and curl are there: `cargo xtask test`");
    let mut printed = String::from_utf8_lossy(&output.stdout).into_owned();
    for ((usual, _), port) in DOORS.iter().zip(ports) {
        printed = printed.replace(&format!(":{port}"), &format!(":{usual}"));
    }
    let log = std::fs::read_to_string(home.path().join("frame.log")).unwrap_or_default();
    assert!(output.status.success(), "{page}: {}\n{printed}\n{log}", output.status);
    let mut rest = printed.as_str();
    for (place, step) in steps.iter().enumerate() {
        let (said, after) = rest.split_once(&(end_of(place) + "\n")).unwrap();
        rest = after;
        if let Some(prints) = &step.prints {
            let (prints, found): (Vec<_>, Vec<_>) =
                (prints.lines().collect(), said.lines().collect());
            let same = is_like(&prints, &found);
            assert!(
                same,
                "{page}:\n{}\nmust print\n{}\nand printed\n{said}",
                step.commands,
                prints.join("\n")
            );
        }
    }
}

/// Whether lines are those of a page, on which `…` alone stands for any of them.
fn is_like(page: &[&str], lines: &[&str]) -> bool {
    match (page, lines) {
        ([], []) => true,
        (["…", rest @ ..], _) => (0..=lines.len()).any(|skip| is_like(rest, &lines[skip..])),
        ([first, rest @ ..], [line, others @ ..]) => {
            is_line_like(first, line.trim_end()) && is_like(rest, others)
        }
        _ => false,
    }
}

fn is_line_like(page: &str, line: &str) -> bool {
    let mut parts = page.split('…');
    let Some(mut rest) = line.strip_prefix(parts.next().unwrap_or_default()) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some((_, after)) = rest.split_once(part) else { return false };
        rest = after;
    }
    rest.ends_with(last)
}

/// The pages below a folder.
fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
}

#[test]
fn every_page_with_commands_is_followed() {
    let mut found = vec![root().join("README.md")];
    pages(&root().join("docs"), &mut found);
    let has_commands =
        |path: &PathBuf| std::fs::read_to_string(path).unwrap().lines().any(|l| l == BEGINS);
    found.retain(has_commands);
    found.sort();
    assert_eq!(found, PAGES.map(|page| root().join(page)));
}

/// What stands on a page of instruction is run: a block of another kind would not be.
#[test]
fn tutorials_and_guides_have_no_block_that_is_not_run() {
    let mut found = Vec::new();
    for folder in ["docs/tutorials", "docs/guide"] {
        pages(&root().join(folder), &mut found);
    }
    for page in found {
        let text = std::fs::read_to_string(&page).unwrap();
        let mut fences = text.lines().filter(|line| line.trim_start().starts_with("```"));
        while let (Some(begin), Some(end)) = (fences.next(), fences.next()) {
            assert!([BEGINS, PRINTS].contains(&begin), "{}: {begin}", page.display());
            assert_eq!(end, "```", "{}", page.display());
        }
        assert!(text.lines().any(|line| line == BEGINS), "{} has no command", page.display());
    }
}

#[test]
fn output_is_compared_with_what_the_page_leaves_open() {
    assert!(is_like(&["a…c", "…", "d"], &["abc", "x", "y", "d"]));
    assert!(is_like(&["…"], &[]) && is_like(&["a … b…"], &["a 1 b  "]));
    assert!(!is_like(&["a"], &["a", "b"]) && !is_like(&["a…"], &["b"]) && !is_like(&["a"], &[]));
    assert!(!is_line_like("a…b…c", "ac") && !is_line_like("a", "ab"));
}

#[test]
fn the_readme_makes_a_frame_and_pays() {
    follow("README.md");
}

#[test]
fn the_first_payment_is_made_in_five_minutes() {
    follow("docs/tutorials/first-payment.md");
}

#[test]
fn the_escrow_is_held_captured_and_released() {
    follow("docs/tutorials/escrow.md");
}

#[test]
fn the_feed_is_followed_from_any_place() {
    follow("docs/tutorials/follow.md");
}

#[test]
fn the_past_is_replayed_and_asked_what_if() {
    follow("docs/tutorials/replay.md");
}

#[test]
fn the_guide_speaks_http_by_curl() {
    follow("docs/guide/http.md");
}
