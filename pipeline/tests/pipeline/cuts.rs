//! Cuts and figures are taken at record boundaries and name the record.

use engine::{Survey, Surveyed};
use pipeline::Busy;

use crate::rig::{Rig, agent};

#[test]
fn an_idle_frame_completes_a_cut_at_once() {
    let mut rig = Rig::new();
    rig.open_accounts();
    let cut = rig.stages.control.open_cut(false).unwrap();
    assert!(rig.stages.engine.is_ready());
    rig.turn();
    let cut = cut.try_recv().unwrap();
    let executed = rig.stages.marks.boundary();
    assert_eq!(cut.through.0, executed.sequence);
    assert_eq!(cut.run_digest, executed.run_digest);
    assert_eq!(cut.epoch, 2, "that of the last record of commands");
    assert_ne!(cut.chain_hash, [0; 32]);
    assert!(cut.accounts.iter().any(|row| row.owner == agent(0)));
    let delta = cut.supply[0].delta();
    assert_eq!(delta, Some(0));
}

#[test]
fn a_second_cut_is_refused_while_one_is_open_and_taken_later() {
    let mut rig = Rig::new();
    rig.open_accounts();
    let first = rig.stages.control.open_cut(true).unwrap();
    let second = rig.stages.control.open_cut(false).unwrap();
    rig.turn();
    assert!(first.try_recv().is_ok());
    assert!(second.recv().is_err());
    rig.pay(1, 1).unwrap();
    rig.turn();
    let third = rig.stages.control.open_cut(false).unwrap();
    rig.turn();
    assert_eq!(third.try_recv().unwrap().through.0, 9);
}

#[test]
fn questions_are_bounded_and_answered() {
    let mut rig = Rig::new();
    rig.open_accounts();
    let answers: Vec<_> = (0..16).map(|_| rig.stages.control.digests().unwrap()).collect();
    assert_eq!(rig.stages.control.figures().unwrap_err(), Busy);
    rig.turn();
    let boundary = rig.stages.marks.boundary();
    for answer in answers {
        let digests = answer.try_recv().unwrap();
        assert_eq!(
            (digests.sequence, digests.run_digest),
            (boundary.sequence, boundary.run_digest)
        );
    }
    let (figures, recount) =
        (rig.stages.control.figures().unwrap(), rig.stages.control.recount().unwrap());
    assert_eq!(rig.stages.control.waiting(), 2);
    rig.turn();
    let figures = figures.try_recv().unwrap();
    assert_eq!(figures.supply, recount.try_recv().unwrap());
    assert_eq!((figures.sequence, figures.run_digest), (boundary.sequence, boundary.run_digest));
    assert!(!figures.is_mint_halted);
    let accounts = figures.uses.iter().find(|used| used.name == "accounts").unwrap();
    assert_eq!(accounts.used, rig.stages.engine.engine().accounts().len() as u64);
    assert!(figures.uses.iter().all(|used| used.used <= used.capacity));
}

#[test]
fn what_operators_are_shown_is_of_one_boundary() {
    let mut rig = Rig::new();
    rig.open_accounts();
    let survey = rig.stages.control.survey(Survey::new(2)).unwrap();
    let due = rig.stages.control.due_holds(2).unwrap();
    rig.turn();
    let boundary = rig.stages.marks.boundary();
    let Surveyed::Done(ranking) = survey.try_recv().unwrap() else {
        panic!("a few accounts are one step");
    };
    assert_eq!(ranking.sequence, boundary.sequence);
    let accounts = &ranking.assets[0].accounts;
    assert_eq!(accounts.len(), 2);
    assert!(accounts[0].liquid >= accounts[1].liquid && accounts[1].liquid > 0);
    let due = due.try_recv().unwrap();
    assert_eq!((due.sequence, due.open, due.holds.len()), (boundary.sequence, 0, 0));
}
