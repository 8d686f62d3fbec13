//! Each limit is met, and what goes on is left alone.

use super::*;

const SECOND: Duration = Duration::from_secs(1);

const PATIENCE: Patience = Patience {
    head: SECOND.saturating_mul(5),
    idle: SECOND.saturating_mul(30),
    write: SECOND.saturating_mul(10),
    call: SECOND.saturating_mul(60),
};

/// A clock, and who looks by it.
struct Looking {
    activity: Arc<Activity>,
    watch: Watch,
    now: Instant,
}

impl Looking {
    fn new(is_http1: bool) -> Self {
        let activity = Activity::new(is_http1);
        Self { activity, watch: Watch::default(), now: Instant::now() }
    }

    fn look(&mut self) -> Option<Stalled> {
        self.activity.judge(&mut self.watch, &PATIENCE, self.now)
    }

    /// Looks every second until something is wrong.
    fn first(&mut self) -> (u32, Stalled) {
        for second in 0..1_000 {
            if let Some(stalled) = self.look() {
                return (second, stalled);
            }
            self.now += SECOND;
        }
        panic!("nothing is ever wrong");
    }
}

#[test]
fn a_head_has_its_time_however_it_drips() {
    let mut looking = Looking::new(true);
    for _ in 0..5 {
        looking.activity.read(b"G");
        assert_eq!(looking.look(), None);
        looking.now += SECOND;
    }
    looking.activity.read(b"E");
    assert_eq!(looking.look(), Some(Stalled::Head));
}

#[test]
fn frames_between_requests_are_no_head() {
    let mut looking = Looking::new(false);
    looking.activity.read(&[0; 9]);
    assert_eq!(looking.first(), (30, Stalled::Idle));
}

#[test]
fn idle_is_who_asks_nothing() {
    let mut looking = Looking::new(true);
    for number in 0..100 {
        looking.activity.read(b"GET");
        looking.activity.begin(number);
        assert_eq!(looking.look(), None);
        looking.now += 20 * SECOND;
        assert_eq!(looking.look(), None, "a call that goes on is not idle");
        assert_eq!(looking.activity.end(number), 0);
        looking.now += 20 * SECOND;
        assert_eq!(looking.look(), None);
    }
    assert!(looking.activity.is_idle());
    assert_eq!(looking.first(), (30, Stalled::Idle));
}

#[test]
fn a_blocked_transport_must_make_progress() {
    let mut looking = Looking::new(true);
    looking.activity.begin(1);
    for _ in 0..50 {
        looking.activity.block();
        assert_eq!(looking.look(), None);
        looking.now += SECOND;
        looking.activity.wrote(1);
    }
    looking.activity.block();
    assert_eq!(looking.first().1, Stalled::Write);
}

#[test]
fn a_call_ends_some_time() {
    let mut looking = Looking::new(false);
    looking.activity.begin(1);
    assert_eq!(looking.first(), (60, Stalled::Call));
}

#[test]
fn a_farewell_is_short() {
    let mut looking = Looking::new(true);
    looking.activity.shut();
    assert_eq!(looking.first(), (2, Stalled::Farewell));
}

#[test]
fn what_a_call_is_owed_comes_back_with_its_end() {
    let activity = Activity::new(true);
    activity.begin(1);
    activity.begin(2);
    assert!(activity.owe(1, 3) && activity.owe(2, 5) && activity.owe(1, 4));
    assert_eq!(activity.end(1), 7);
    assert_eq!(activity.end(1), 0);
    assert!(!activity.owe(1, 1), "nothing is noted for a call that has ended");
    assert_eq!(activity.end(2), 5);
}

#[test]
fn only_a_head_with_one_length_is_plain() {
    let plain = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n";
    for (bytes, is_ambiguous) in [
        (plain, false),
        ("POST / HTTP/1.1\r\ncontent-Length : 5\r\ntransfer-encoding: chunked\r\n\r\n", true),
        ("POST / HTTP/1.1\r\na: b\r\nCONTENT-LENGTH:5\r\n\r\n", true),
        ("POST / HTTP/1.1\na: b\n\n", true),
        ("\r\n\r\nPOST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n", true),
        ("\r\n\n\r\nPOST / HTTP/1.1\r\na: b\r\n\r\n", false),
        ("\r\n\r\n", true),
        ("", true),
    ] {
        let activity = Activity::new(true);
        for piece in bytes.as_bytes().chunks(7) {
            activity.read(piece);
        }
        assert_eq!(activity.is_head_ambiguous(), is_ambiguous, "{bytes}");
    }
    let long = Activity::new(true);
    long.read(
        format!("GET / HTTP/1.1\r\na: {}\r\n\r\n", "b".repeat(HTTP_HEAD_SIZE_MAX)).as_bytes(),
    );
    assert!(long.is_head_ambiguous());
    assert!(long.state().head.len() <= HTTP_HEAD_SIZE_MAX);
}
