//! One order for everybody: time rises, sequences have no gaps, reads see what was sent before.

use protocol::{Command, CommandId, Kind, Role, Status};

use crate::rig::{Rig, SECOND, START, agent};

/// Between two recounts of a frame with few accounts.
const RECOUNT_PAUSE_NS: u64 = SECOND / 10;

#[test]
fn time_rises_with_every_record_whatever_the_clock_does() {
    let mut rig = Rig::new();
    rig.open_accounts();
    for now_ns in [START + SECOND, START, 0, START + 2 * SECOND, START + SECOND] {
        rig.now_ns = now_ns;
        rig.pay(1, 1).unwrap();
        rig.turn();
    }
    let last = rig.stages.marks.watermarks().timestamp_ns;
    assert!((START + 2 * SECOND..START + 3 * SECOND).contains(&last));
    rig.now_ns = START + 3 * SECOND;
    let (rig, found) = rig.crash(3);
    assert!(found.timestamps.windows(2).all(|pair| pair[0] <= pair[1]));
    assert_eq!(rig.stages.marks.watermarks().timestamp_ns, START + 3 * SECOND);
}

#[test]
fn a_group_is_one_record_and_its_sequences_follow() {
    let mut rig = Rig::new();
    rig.open_accounts();
    let before = rig.stages.marks.watermarks();
    let requests: Vec<_> = (0..10).map(|n| rig.pay(n, 2).unwrap()).collect();
    rig.turn();
    let after = rig.stages.marks.watermarks();
    assert_eq!(after.appended_index, before.appended_index + 1);
    assert_eq!(after.executed, before.executed + 20);
    let replies = rig.replies();
    for (request, first) in requests.iter().zip((before.executed + 1..).step_by(2)) {
        assert_eq!(replies[request].head.first_sequence, first);
    }
}

#[test]
fn a_read_sees_what_stands_before_it_in_the_same_group() {
    let mut rig = Rig::new();
    rig.open_accounts();
    let before = rig.stages.marks.watermarks().executed;
    rig.pay(1, 3).unwrap();
    let read =
        Command { debit: agent(1), asset: 1, ..Command::new(Kind::ReadAccount, CommandId(0)) };
    let read = rig.send(Role::Agent, agent(1), &[read]).unwrap();
    rig.pay(1, 4).unwrap();
    rig.turn();
    let reply = &rig.replies()[&read];
    assert_eq!(reply.head.first_sequence, before + 3);
    assert_eq!(reply.answers.len(), 1);
}

#[test]
fn replies_of_full_requests_leave_one_by_one_and_of_short_ones_together() {
    let mut rig = Rig::new();
    rig.open_accounts();
    let read =
        Command { debit: agent(1), asset: 1, ..Command::new(Kind::ReadAccount, CommandId(0)) };
    for (requests, reads, replies) in [(3, 8_190, [1, 1, 1]), (30, 100, [20, 10, 0])] {
        for _ in 0..requests {
            rig.send(Role::Agent, agent(1), &vec![read; reads]).unwrap();
        }
        let now = rig.now();
        rig.stages.journal.step(now);
        let left = replies.map(|_| {
            rig.step_engine();
            rig.replies().len()
        });
        assert_eq!(left, replies, "of {requests} requests with {reads} commands");
    }
}

#[test]
fn the_ring_ends_when_everybody_has_let_go() {
    let mut rig = Rig::new();
    rig.open_accounts();
    rig.pay(1, 1).unwrap();
    let now = rig.now();
    rig.stages.journal.close();
    drop(rig.stages.publisher);
    assert_eq!(rig.stages.journal.step(now), pipeline::Progress::Worked);
    assert_eq!(rig.stages.journal.step(now), pipeline::Progress::Finished);
    rig.stages.sync.step();
    assert_eq!(rig.stages.engine.step(|| 0), pipeline::Progress::Worked);
    assert_eq!(rig.stages.engine.step(|| 0), pipeline::Progress::Finished);
    rig.stages.journal.conclude(now);
    assert_eq!(rig.stages.sync.step(), pipeline::Progress::Worked);
    assert_eq!(rig.queue.pop().unwrap().head.request, rig.requests);
    rig.disk.crash(9);
    let (rig, found) = Rig::recover(rig.disk, rig.now_ns, rig.requests);
    assert!(found.outcomes.contains_key(&rig.requests));
}

#[test]
fn recounts_leave_the_engine_to_the_commands_for_most_of_the_time() {
    let mut rig = Rig::new();
    rig.open_accounts();
    let recount = Command { asset: 1, ..Command::new(Kind::ReadRecount, CommandId(0)) };
    let status = |rig: &mut Rig| {
        let read = rig.send(Role::Auditor, 7 << 64, &[recount]).unwrap();
        rig.turn();
        rig.replies()[&read].answers[0].status
    };
    let busy = Status::Busy.number();
    assert_eq!(status(&mut rig), 0);
    assert_eq!(status(&mut rig), 0, "nothing was executed: the same answer again");
    rig.pay(1, 1).unwrap();
    assert_eq!([status(&mut rig), status(&mut rig)], [busy; 2]);
    rig.now_ns += RECOUNT_PAUSE_NS - 1_000;
    assert_eq!(status(&mut rig), busy);
    rig.now_ns += 1_000_000;
    assert_eq!(status(&mut rig), 0);
    rig.pay(1, 1).unwrap();
    assert_eq!(status(&mut rig), busy);
}
