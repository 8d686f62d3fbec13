//! A full disk refuses writes without using a sequence, answers reads, and the frame resumes.

use protocol::{Command, CommandId, Kind, Role, Status};

use crate::rig::{Rig, SEGMENT, agent};

fn read_account(n: u128) -> Command {
    Command { debit: agent(n), asset: 1, ..Command::new(Kind::ReadAccount, CommandId(0)) }
}

#[test]
fn a_full_journal_refuses_then_resumes() {
    let mut rig = Rig::new();
    rig.open_accounts();
    rig.disk.set_capacity(2 * SEGMENT.segment_size);
    let mut last = 0;
    let refused = loop {
        let request = rig.pay(1, 3).unwrap();
        rig.turn();
        let reply = rig.replies().remove(&request).unwrap();
        match reply.refused {
            Some(status) => break status,
            None => {
                assert!(reply.head.first_sequence > last);
                last = reply.outcomes[2].sequence;
            }
        }
    };
    assert_eq!(refused, Status::JournalFull);

    let read = rig.send(Role::Agent, agent(1), &[read_account(1)]).unwrap();
    rig.turn();
    let reply = rig.replies().remove(&read).unwrap();
    assert!(reply.refused.is_none());
    assert_eq!((reply.answers.len(), reply.head.first_sequence), (1, last));

    rig.disk.set_capacity(u64::MAX);
    rig.turn();
    let request = rig.pay(1, 3).unwrap();
    rig.turn();
    let reply = rig.replies().remove(&request).unwrap();
    assert_eq!(reply.refused, None);
    assert_eq!(reply.head.first_sequence, last + 1);
    let (_, found) = rig.crash(1);
    assert_eq!(found.outcomes[&request].outcomes, reply.outcomes);
}

#[test]
fn reads_and_writes_of_one_group_are_told_apart_when_it_is_refused() {
    let mut rig = Rig::new();
    rig.open_accounts();
    rig.disk.set_capacity(SEGMENT.segment_size);
    // Fill what is left of the segments.
    loop {
        let request = rig.pay(1, 1).unwrap();
        rig.turn();
        if rig.replies()[&request].refused.is_some() {
            break;
        }
    }
    let write = rig.pay(1, 2).unwrap();
    let read = rig.send(Role::Agent, agent(2), &[read_account(2)]).unwrap();
    rig.turn();
    let replies = rig.replies();
    assert_eq!(replies[&write].refused, Some(Status::JournalFull));
    assert_eq!(replies[&read].answers.len(), 1);
}
