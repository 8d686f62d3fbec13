//! The programs in `examples/` do what they say, against a frame.

use std::path::Path;
use std::process::{Command, Stdio};

use client::query;
use protocol::ids::{NATIVE, parse_uuid};

use crate::books;
use crate::frame::Frame;

#[path = "../../client/examples/pay.rs"]
#[expect(dead_code, reason = "its main is for those who run it by itself")]
mod pay;

const ALICE: &str = "01900000-0000-7000-8000-00000000000a";
const BOB: &str = "01900000-0000-7000-8000-00000000000b";
/// 12.50 less 0.5 %, in millionths.
const RECEIVED: i128 = 12_437_500;

/// Runs a program of the examples; it must succeed. Returns what it printed.
fn run(program: &mut Command) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    program.current_dir(root.join("examples")).stdin(Stdio::null());
    let output = program.output().unwrap_or_else(|error| panic!("{program:?}: {error}"));
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{program:?}:\n{printed}{errors}");
    printed
}

fn url(frame: &Frame) -> String {
    format!("https://localhost:{}", frame.https().port())
}

#[test]
fn the_rust_program_pays_over_quic() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let (alice, bob) = (frame.identity("agent", ALICE), frame.identity("agent", BOB));
        let mint = frame.identity("mint", "royal");
        pay::converse(frame.quic(), &alice, &bob, &mint).await.unwrap();
        let reader = frame.client("auditor", "reader").await;
        let account = reader.ask(query::account(parse_uuid(BOB).unwrap(), NATIVE)).await.unwrap();
        assert_eq!(account.liquid, RECEIVED, "paid once");
        frame.stop();
        frame.is_sound();
    });
}

#[test]
fn the_python_program_pays_over_https() {
    let mut frame = Frame::new();
    frame.start();
    let (north, mint) = (frame.identity("registry", "north"), frame.identity("mint", "royal"));
    let python = std::env::var_os("BEZANT_TEST_PYTHON").unwrap_or_else(|| "python3".into());
    let probe = Command::new(&python).args(["-c", "import requests"]).status();
    let told = "Python imports requests: install it (`cargo xtask test` does)";
    assert!(probe.expect(told).success(), "{told}");
    let mut program = Command::new(python);
    program.args(["-B", "python/pay.py", &url(&frame)]).args([&north, &mint]);
    let printed = run(&mut program);
    for word in ["/registry/north", "paid as command", "insufficient_funds", "12.437500"] {
        assert!(printed.contains(word), "{word} is not in:\n{printed}");
    }
    frame.stop();
    frame.is_sound();
}

#[test]
fn the_shell_program_pays_over_https() {
    let mut frame = Frame::new();
    frame.start();
    let (alice, bob) = (frame.identity("agent", ALICE), frame.identity("agent", BOB));
    let mint = frame.identity("mint", "royal");
    let mut program = Command::new("sh");
    program.args(["curl/pay.sh", &url(&frame)]).args([&alice, &bob, &mint]);
    let printed = run(&mut program);
    for word in [ALICE, "refused: insufficient_funds: ", "bob has 12.437500"] {
        assert!(printed.contains(word), "{word} is not in:\n{printed}");
    }
    frame.stop();
    frame.is_sound();
}
