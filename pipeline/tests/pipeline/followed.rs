//! What the tap tells as it happens and what a replay tells of the past is the same history, and
//! whoever changes from one to the other misses nothing and hears nothing twice.

use std::collections::BTreeSet;

use protocol::feed::{Followed, Interest, Place};
use protocol::{Command, Role, Sequence};
use snapshot::MemoryFiles;

use crate::rig::{Rig, SECOND, agent};
use crate::shelf::past;

fn follow(rig: &mut Rig, interest: Option<Interest>) -> u64 {
    let answer = rig.stages.control.follow(interest).unwrap();
    rig.turn();
    answer.try_recv().unwrap()
}

fn heard(rig: &Rig) -> Vec<Followed> {
    std::iter::from_fn(|| rig.stages.tap.next()).flatten().collect()
}

fn told(rig: &Rig, after: u64, interest: Interest) -> Vec<Followed> {
    let past = past(&rig.disk.copy(), &MemoryFiles::new());
    let until = rig.stages.marks.durable_index();
    let mut retelling = past.retell(Sequence(after), interest, until).unwrap();
    let mut told = Vec::new();
    while retelling.next(&mut told).unwrap().is_some() {}
    told.retain(|followed| followed.effect.sequence > after);
    told
}

/// Payments, and a hold that expires in a record that opens with a tick.
fn go_on(rig: &mut Rig, count: u128) {
    for n in 0..count {
        rig.pay(n, 1 + n as usize % 5).unwrap();
        if n % 4 == 1 {
            let hold = Command::hold(rig.id(), agent(n), agent(n + 1), 1, 50, 1_000);
            rig.send(Role::Agent, agent(n), &[hold]).unwrap();
        }
        rig.now_ns += SECOND / 4;
        rig.turn();
        rig.replies();
    }
    rig.now_ns += 2 * SECOND;
    rig.turn();
}

#[test]
fn a_replay_tells_what_the_tap_told() {
    let mut rig = Rig::new();
    rig.open_accounts();
    let one = Interest::Owners([agent(1)].into_iter().collect());
    for interest in [Interest::All, one] {
        let since = follow(&mut rig, Some(interest.clone()));
        go_on(&mut rig, 20);
        let live = heard(&rig);
        assert!(live.is_sorted_by_key(Followed::place));
        assert_eq!(live, told(&rig, since, interest));
        assert!(live.iter().any(|followed| followed.command == 0), "timers are nobody's");
        let ids: BTreeSet<_> = live.iter().map(|followed| followed.command).collect();
        assert!(ids.len() > 10, "every command has its own id");
        assert!(live.iter().all(|followed| followed.epoch == 2 && followed.timestamp_ns > 0));
        assert_eq!(rig.stages.tap.left_out(), 0);
    }
}

#[test]
fn nothing_is_made_when_nobody_follows() {
    let mut rig = Rig::new();
    rig.open_accounts();
    go_on(&mut rig, 3);
    assert!(heard(&rig).is_empty());
    follow(&mut rig, Some(Interest::All));
    go_on(&mut rig, 3);
    assert!(!heard(&rig).is_empty());
    follow(&mut rig, None);
    go_on(&mut rig, 3);
    assert!(heard(&rig).is_empty());
}

#[test]
fn a_replay_that_goes_on_meets_the_tap_at_any_record() {
    let mut rig = Rig::new();
    rig.open_accounts();
    go_on(&mut rig, 6);
    let past = past(&rig.disk, &MemoryFiles::new());
    let until = rig.stages.marks.durable_index();
    let mut retelling = past.retell(Sequence(0), Interest::All, until).unwrap();
    let mut heard_all = Vec::new();
    while retelling.next(&mut heard_all).unwrap().is_some() {}
    // The frame goes on, is followed from some record on, and the replay goes on behind it.
    go_on(&mut rig, 4);
    let since = follow(&mut rig, Some(Interest::All));
    go_on(&mut rig, 4);
    let until = rig.stages.marks.durable_index();
    retelling.go_on(until).unwrap();
    while retelling.executed().0 < since && retelling.next(&mut heard_all).unwrap().is_some() {}
    let seam = Place::after(retelling.executed().0);
    assert!(seam >= Place::after(since));
    let live = heard(&rig);
    heard_all.extend(live.into_iter().filter(|followed| followed.place() > seam));
    assert_eq!(heard_all, told(&rig, 0, Interest::All));
    // Nothing is left behind the end; the same records again are no error.
    retelling.go_on(until).unwrap();
    while retelling.next(&mut Vec::new()).unwrap().is_some() {}
    retelling.go_on(until).unwrap();
    assert_eq!(retelling.next(&mut Vec::new()).unwrap(), None);
}

#[test]
fn what_finds_no_room_is_left_out_and_named() {
    let mut rig = Rig::new();
    rig.open_accounts();
    follow(&mut rig, Some(Interest::All));
    let mut records = 0;
    while rig.stages.tap.left_out() == 0 {
        rig.pay(records, 1).unwrap();
        rig.now_ns += SECOND / 1_000;
        rig.turn();
        rig.replies();
        records += 1;
        assert!(records <= pipeline::limits::TAP_BLOCKS_MAX as u128 + 1);
    }
    let executed = rig.stages.marks.boundary().sequence;
    assert_eq!(rig.stages.tap.left_out(), executed);
    let live = heard(&rig);
    assert_eq!(live.last().unwrap().effect.sequence, executed - 1);
    // With room again the next ones are told.
    rig.pay(1, 1).unwrap();
    rig.turn();
    assert_eq!(heard(&rig)[0].effect.sequence, executed + 1);
}
