//! The end of a frame that is asked to stop: what it waits for, and that an operator who insists is
//! heard. Invariant: nothing acknowledged is lost by either.

use std::net::TcpStream;

use client::Command;
use protocol::ids::NATIVE;
use rusqlite::Connection;
use rustix::process::{Pid, Signal, kill_process};

use crate::books;
use crate::frame::{Frame, until};
use crate::time_travel::{ALICE, BOB, all_ok};

fn signal(frame: &mut Frame) {
    let pid = Pid::from_raw(frame.process().id().try_into().unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
}

#[test]
fn a_second_signal_ends_a_stop_that_waits_for_sql() {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        frame.wait_settled();
        let north = frame.client("registry", "north").await;
        let database = Connection::open(frame.sqlite()).unwrap();
        database.execute_batch("BEGIN IMMEDIATE").unwrap();
        let opens = [ALICE, BOB].map(|owner| Command::open(north.ids().next_id(), owner, NATIVE));
        let last = all_ok(&north, &opens).await;
        signal(&mut frame);
        let admin = frame.admin();
        // The runtime of the doors is gone by then, and the last batch waits.
        until("the doors are closed", || TcpStream::connect(admin).is_err());
        until("the log tells of the stop", || frame.log().contains("stopping"));
        signal(&mut frame);
        assert_eq!(frame.wait(), Some(75), "{}", frame.log());
        assert!(frame.log().contains("a second signal"), "{}", frame.log());
        database.execute_batch("ROLLBACK").unwrap();
        drop(database);
        frame.start();
        assert!(frame.figure("bezant_executed_sequence") >= last as f64);
        frame.wait_settled();
        frame.stop();
        frame.is_sound();
    });
}
