//! States written and read back: the same digests, the same future, and no byte that is believed.
//! It refuses to look into the form. Invariant: what reads back is written again byte for byte.

use engine::state::StateError;
use engine::{Engine, Options};
use protocol::parameter::{Parameter, Parameters};
use protocol::{Command, Role};

use crate::agreement::Bench;
use crate::frame::{ALICE, BOB, CAROL, Frame, NORTH};
use crate::generators::{self, Stream};
use crate::keys::keyed;

fn written(engine: &Engine) -> Vec<u8> {
    let mut bytes = Vec::new();
    engine.write_state(&mut |part| bytes.extend_from_slice(part));
    bytes
}

fn read(bytes: &[u8], options: Options) -> Result<Engine, StateError> {
    let mut rest = bytes;
    let engine = Engine::read_state(options, &mut |part: &mut [u8]| {
        let Some((head, tail)) = rest.split_at_checked(part.len()) else { return false };
        part.copy_from_slice(head);
        rest = tail;
        true
    })?;
    assert!(rest.is_empty(), "everything is read");
    Ok(engine)
}

/// The cut since the last one, or of everything.
fn cut(engine: &mut Engine, complete: bool) -> protocol::cut::Cut {
    engine.open_cut(complete);
    engine.cut_step(usize::MAX).expect("a step takes all")
}

#[test]
fn what_was_read_back_has_the_same_future() {
    generators::check(200, 24, |plan| {
        let Stream { genesis, records } = generators::stream(plan);
        let at = plan.seed as usize % (records.len() + 1);
        let (past, future) = records.split_at(at);
        let mut one = Bench::new(&genesis, true);
        for record in past {
            one.record(record);
        }
        let bytes = written(&one.engine);
        let options = Options { history: true, effects_max: 1 << 16 };
        let engine = read(&bytes, options).unwrap_or_else(|error| panic!("{error}"));
        let mut other = Bench::resume(engine);
        assert!(written(&other.engine) == bytes);
        assert_eq!(other.engine.image_digest(), one.engine.image_digest());
        cut(&mut one.engine, false);
        for (place, record) in future.iter().enumerate() {
            assert_eq!(one.record(record), other.record(record), "record {place} after {at}");
            assert_eq!(one.engine.run_digest(), other.engine.run_digest());
            assert_eq!(one.engine.next_deadline_ns(), other.engine.next_deadline_ns());
            assert!(written(&one.engine) == written(&other.engine));
            let complete = place % 3 == 2;
            assert_eq!(cut(&mut one.engine, complete), cut(&mut other.engine, complete));
        }
        assert_eq!(one.engine.image_digest(), other.engine.image_digest());
        assert_eq!(one.engine.supply(), other.engine.recount());
    });
}

/// A state with something in every section.
fn full() -> Frame {
    let parameters = Parameters::default().with(Parameter::PairsCapacity, 64);
    let mut frame = Frame::with(parameters);
    for round in 0..3_u128 {
        let pay = frame.pay(ALICE, BOB, 1_000 + round);
        let across = frame.pay(BOB, CAROL, 500 + round);
        let hold = frame.held(ALICE, CAROL, 300 + round);
        frame.send(Role::Agent, ALICE, &[pay, hold]);
        frame.send(Role::Registry, NORTH, &[across]);
        let capture = Command::capture(frame.id(), &hold, Some(100 + round));
        if round == 1 {
            frame.send(Role::Agent, CAROL, &[capture]);
        }
        let text = format!("order {round}");
        let ordered = Command::transfer(frame.id(), ALICE, BOB, 1, 700);
        frame.send(Role::Agent, ALICE, &keyed(ALICE, &text, None, ordered));
    }
    frame.set(Parameter::FeeBase, 7_000);
    assert!(frame.engine.keys() > 0 && frame.engine.next_deadline_ns().is_some());
    frame
}

#[test]
fn no_flipped_byte_is_lost_on_the_reader() {
    let bytes = written(&full().engine);
    let mut refused = 0;
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80] {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            match read(&damaged, Options::default()) {
                // Possible is not true: that it is another state is for its digest to tell.
                Ok(engine) => assert!(written(&engine) == damaged, "byte {at}"),
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > bytes.len() / 2, "{refused} of {}", 2 * bytes.len());
}

#[test]
fn a_state_that_ends_early_is_none() {
    let bytes = written(&full().engine);
    for len in 0..bytes.len() {
        let error = read(&bytes[..len], Options::default()).expect_err("it is cut");
        assert!(matches!(error, StateError::Ended(_)), "{len}: {error}");
    }
}

#[test]
fn another_form_and_a_unit_too_much_say_so() {
    let bytes = written(&full().engine);
    let with = |at: usize, byte: u8| {
        let mut damaged = bytes.clone();
        damaged[at] = byte;
        read(&damaged, Options::default()).expect_err("it is damaged")
    };
    assert_eq!(with(0, 0), StateError::Magic);
    assert_eq!(with(8, 2), StateError::Version(2));
    assert_eq!(with(12, 9), StateError::Rules(9));
    let issued = bytes.windows(16).position(|word| word == 3_000_000_000_u128.to_le_bytes());
    assert_eq!(with(issued.expect("it is written"), 1), StateError::Units(1));
}
