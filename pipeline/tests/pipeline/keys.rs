//! String keys are forgotten by what record headers say is settled, live and in a replay alike.

use protocol::{Command, CommandId, Role, Status, data, flags, key};

use crate::rig::{Rig, SECOND, agent};

const DAY: u64 = 24 * 3_600 * SECOND;

fn payment(text: &str) -> Vec<Command> {
    let slots = data::encode(&[(data::TAG_KEY, text.as_bytes())]);
    let pay = Command {
        flags: flags::KEYED,
        data: 1,
        ..Command::transfer(CommandId(key::id(agent(0), text.as_bytes())), agent(0), agent(1), 1, 9)
    };
    [vec![pay], slots].concat()
}

/// What a payment under this key is answered, in a record of its own.
fn pay(rig: &mut Rig, text: &str, history_checked: u64) -> (u64, Status, bool) {
    rig.history_checked = history_checked;
    let request = rig.send(Role::Agent, agent(0), &payment(text)).unwrap();
    rig.now_ns += SECOND;
    rig.turn();
    let outcome = rig.replies()[&request].outcomes[0];
    (request, outcome.status, outcome.repeat)
}

#[test]
fn a_key_is_forgotten_once_settled_and_a_replay_forgets_the_same() {
    let mut rig = Rig::new();
    rig.open_accounts();
    let mut told = Vec::new();
    told.push(pay(&mut rig, "order 1", 0));
    let used = rig.stages.marks.watermarks().executed;
    rig.now_ns += DAY;
    told.push(pay(&mut rig, "order 1", 0));
    rig.stages.marks.settle(used);
    told.push(pay(&mut rig, "order 1", used - 1));
    told.push(pay(&mut rig, "order 2", used - 1));
    told.push(pay(&mut rig, "order 2", used));
    told.push(pay(&mut rig, "order 2", 0));
    let answers: Vec<_> = told.iter().map(|&(_, status, repeat)| (status, repeat)).collect();
    let expected = [
        (Status::Ok, false),
        (Status::Ok, true),
        (Status::KeyUnchecked, false),
        (Status::KeyUnchecked, false),
        (Status::Ok, false),
        (Status::Ok, true),
    ];
    assert_eq!(answers, expected);
    let (mut rig, found) = rig.crash(7);
    for (request, status, repeat) in told {
        let outcome = found.outcomes[&request].outcomes[0];
        assert_eq!((outcome.status, outcome.repeat), (status, repeat), "request {request}");
    }
    assert_eq!(rig.stages.marks.watermarks().settled, 0, "nobody has asked SQL yet");
    let (_, status, _) = pay(&mut rig, "order 1", used - 1);
    assert_eq!(status, Status::KeyUnchecked, "what was forgotten stays so");
    assert!(pay(&mut rig, "order 2", 0).2);
}
