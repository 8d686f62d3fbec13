//! Stopped at any point, the frame finds everything that it had answered, with the same outcome.

use std::collections::BTreeMap;

use proptest::prelude::*;
use protocol::reply::Decoded;

use crate::rig::Rig;

#[derive(Clone, Copy, Debug)]
enum Act {
    Pay(u8, usize),
    Journal,
    Sync,
    Engine,
    Turn,
    Wait(u64),
    Crash(u64),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        6 => (any::<u8>(), 1_usize..40).prop_map(|(n, count)| Act::Pay(n, count)),
        4 => Just(Act::Journal),
        3 => Just(Act::Sync),
        3 => Just(Act::Engine),
        1 => Just(Act::Turn),
        1 => (0_u64..2_000_000_000).prop_map(Act::Wait),
        1 => any::<u64>().prop_map(Act::Crash),
    ];
    proptest::collection::vec(act, 1..60)
}

/// Everything answered so far is found, as answered; the digest is that of the run.
fn crash(rig: Rig, seed: u64, answered: &mut BTreeMap<u64, Decoded>) -> Rig {
    let mut rig = rig;
    answered.extend(rig.replies());
    let executed = rig.stages.marks.boundary();
    let (rig, found) = rig.crash(seed);
    for (request, reply) in answered.iter() {
        if reply.refused.is_some() {
            assert!(!found.outcomes.contains_key(request), "refused is not journaled");
            continue;
        }
        let replayed = found.outcomes.get(request);
        let replayed = replayed.unwrap_or_else(|| panic!("request {request} was answered"));
        assert_eq!(replayed.outcomes, reply.outcomes, "request {request}");
    }
    assert_eq!(found.digests.get(&executed.sequence), Some(&executed.run_digest));
    rig
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn what_was_answered_is_found_again(acts in acts(), seed in any::<u64>()) {
        let mut rig = Rig::new();
        rig.open_accounts();
        let mut answered = BTreeMap::new();
        for act in acts {
            match act {
                Act::Pay(n, count) => {
                    rig.pay(u128::from(n), count);
                }
                Act::Journal => {
                    let _ = rig.preparer.prepare();
                    let now = rig.now();
                    rig.stages.journal.step(now);
                }
                Act::Sync => {
                    rig.stages.sync.step();
                }
                Act::Engine => {
                    rig.step_engine();
                    answered.extend(rig.replies());
                }
                Act::Turn => {
                    rig.turn();
                    answered.extend(rig.replies());
                }
                Act::Wait(ns) => rig.now_ns += ns,
                Act::Crash(seed) => rig = crash(rig, seed, &mut answered),
            }
        }
        rig.turn();
        crash(rig, seed, &mut answered);
    }
}

#[test]
fn nothing_is_answered_before_it_is_durable() {
    let mut rig = Rig::new();
    rig.open_accounts();
    rig.pay(1, 5).unwrap();
    let now = rig.now();
    rig.stages.journal.step(now);
    rig.step_engine();
    assert!(rig.replies().is_empty());
    assert!(!rig.stages.engine.is_ready() && rig.stages.sync.is_needed());
    rig.stages.sync.step();
    assert!(rig.stages.engine.is_ready());
    rig.step_engine();
    assert_eq!(rig.replies().len(), 1);
}

#[test]
fn a_failed_sync_is_final_and_answers_nothing_more() {
    let mut rig = Rig::new();
    rig.open_accounts();
    rig.disk.fail_sync_in(0);
    rig.pay(1, 5).unwrap();
    let now = rig.now();
    rig.stages.journal.step(now);
    assert_eq!(rig.stages.sync.step(), pipeline::Progress::Halted);
    assert!(matches!(rig.stages.sync.halt(), Some(pipeline::Halt::Sync(_))));
    assert_eq!(rig.stages.sync.step(), pipeline::Progress::Halted);
    rig.step_engine();
    assert!(rig.replies().is_empty());
    rig.pay(2, 1).unwrap();
    assert_eq!(rig.stages.journal.step(now), pipeline::Progress::Halted);
    assert_eq!(rig.stages.journal.step(now), pipeline::Progress::Halted);
    rig.step_engine();
    assert!(rig.replies().is_empty());
}
