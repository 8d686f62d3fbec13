//! `bezant top` against a frame that works, and where there is none or no terminal.

use loadgen::{Driver, Load};

use crate::books;
use crate::frame::Frame;

#[test]
fn a_screen_shows_the_work_of_a_frame() {
    let mut frame = Frame::new();
    let away = frame.ends_with(75, &["top", "--once"]);
    assert!(away.contains("listen.admin"), "{away}");
    frame.start();
    books::run(async {
        let load = Load { commands_max: 500, ..books::SMALL };
        let mut driver = Driver::prepare(&frame.target(), load).await.unwrap();
        driver.drive(&frame.target()).await.unwrap();
    });
    frame.wait_settled();
    frame.home.settings.push(format!("listen.admin={}", frame.admin()));
    let screen = frame.ends_with(0, &["top", "--once", "--interval-ms", "1000"]);
    for shown in ["READY", "quic write", "journal sync", "engine", "settlement", "OK", "accounts"] {
        assert!(screen.contains(shown), "{shown} in\n{screen}");
    }
    let frame_id = screen.split_once("frame ").unwrap().1;
    assert_eq!(frame_id.split_whitespace().next().unwrap().len(), 36, "{screen}");
    let line = screen.lines().find(|line| line.contains("OK")).unwrap();
    assert!(line.contains("1 ") && line.contains('.'), "asset 1 in whole units: {line}");

    let piped = frame.ends_with(2, &["top"]);
    assert!(piped.contains("--once"), "{piped}");
    frame.ends_with(2, &["top", "--interval-ms", "1"]);
    frame.stop();
}
