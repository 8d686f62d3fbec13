//! Due timers fire on an idle frame, and never twice.

use protocol::{Command, CommandId, Kind, Role};

use crate::rig::{Rig, SECOND, agent};

fn liquid(rig: &mut Rig, n: u128) -> (i128, u128) {
    let read =
        Command { debit: agent(n), asset: 1, ..Command::new(Kind::ReadAccount, CommandId(0)) };
    let read = rig.send(Role::Agent, agent(n), &[read]).unwrap();
    rig.turn();
    let answer = rig.replies()[&read].answers[0];
    (answer.liquid(), answer.held)
}

fn hold(rig: &mut Rig, timeout_ms: u32) {
    let id = rig.id();
    let hold = Command::hold(id, agent(0), agent(1), 1, 500, timeout_ms);
    let request = rig.send(Role::Agent, agent(0), &[hold]).unwrap();
    rig.turn();
    let reply = &rig.replies()[&request];
    assert!(reply.outcomes[0].status.is_ok(), "{reply:?}");
}

#[test]
fn a_hold_expires_on_an_idle_frame() {
    let mut rig = Rig::new();
    rig.open_accounts();
    hold(&mut rig, 5_000);
    assert_eq!(liquid(&mut rig, 0), (999_500, 500));
    let executed = rig.stages.marks.watermarks().executed;
    rig.now_ns += 4 * SECOND;
    rig.turn();
    assert_eq!(rig.stages.marks.watermarks().executed, executed);
    rig.now_ns += 2 * SECOND;
    assert!(rig.stages.journal.is_ready(rig.now_ns));
    rig.turn();
    assert_eq!(rig.stages.marks.watermarks().executed, executed + 1);
    assert_eq!(liquid(&mut rig, 0), (1_000_000, 0));
    rig.turn();
    assert_eq!(rig.stages.marks.watermarks().executed, executed + 1);
    let digest = rig.stages.marks.boundary();
    let (rig, _) = rig.crash(5);
    assert_eq!(rig.stages.marks.boundary(), digest);
}

#[test]
fn a_busy_frame_carries_its_tick_in_front_of_a_request() {
    let mut rig = Rig::new();
    rig.open_accounts();
    hold(&mut rig, 1_000);
    let executed = rig.stages.marks.watermarks().executed;
    rig.now_ns += 2 * SECOND;
    let request = rig.pay(2, 1).unwrap();
    rig.turn();
    let reply = &rig.replies()[&request];
    assert_eq!(reply.head.first_sequence, executed + 2);
    assert_eq!(liquid(&mut rig, 0), (1_000_000, 0));
    assert_eq!(rig.stages.marks.watermarks().executed, executed + 2);
}

#[test]
fn reads_alone_do_not_starve_the_tick() {
    let mut rig = Rig::new();
    rig.open_accounts();
    hold(&mut rig, 1_000);
    let executed = rig.stages.marks.watermarks().executed;
    rig.now_ns += 2 * SECOND;
    let read = Command { asset: 1, ..Command::new(Kind::ReadSupply, CommandId(0)) };
    for _ in 0..3 {
        rig.send(Role::Auditor, 7 << 64, &[read]).unwrap();
        let now = rig.now();
        rig.stages.journal.step(now);
        rig.stages.sync.step();
        rig.step_engine();
    }
    rig.turn();
    assert_eq!(rig.stages.marks.watermarks().executed, executed + 1);
}

#[test]
fn a_full_journal_delays_the_tick_without_spinning() {
    let mut rig = Rig::new();
    rig.open_accounts();
    hold(&mut rig, 1_000);
    rig.disk.set_capacity(0);
    loop {
        let request = rig.pay(1, 1).unwrap();
        rig.turn();
        if rig.replies()[&request].refused.is_some() {
            break;
        }
    }
    let executed = rig.stages.marks.watermarks().executed;
    rig.now_ns += 2 * SECOND;
    rig.turn();
    assert_eq!(rig.stages.marks.watermarks().executed, executed);
    rig.disk.set_capacity(u64::MAX);
    rig.now_ns += SECOND;
    rig.turn();
    assert_eq!(rig.stages.marks.watermarks().executed, executed + 1);
}
