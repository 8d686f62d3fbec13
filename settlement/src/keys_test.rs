//! The desk with a source that counts what it is asked.

use std::sync::Mutex;

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::*;

/// Finds even keys at their own sequence; fails as often as told.
#[derive(Default)]
struct Counting {
    groups: Arc<Mutex<Vec<usize>>>,
    failures: usize,
}

impl KeySource for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn find(&mut self, keys: &[Key]) -> Result<KeySnapshot, SinkError> {
        self.groups.lock().unwrap().push(keys.len());
        if self.failures > 0 {
            self.failures -= 1;
            return Err(SinkError::Retryable("away".into()));
        }
        let uses = keys.iter().map(|key| (key.hash % 2 == 0).then(|| used(key.hash)));
        let watermark = Some((1, 1, Sequence(10_000)));
        Ok(KeySnapshot { watermark, hole: None, uses: uses.collect() })
    }
}

fn used(hash: u128) -> KeyUse {
    KeyUse { sequence: Sequence(hash.try_into().unwrap()), status: 0, rate: 5, digest: hash << 70 }
}

fn key(hash: u128) -> Key {
    Key { principal: 7, hash }
}

type Asked = JoinHandle<Result<KeyAnswer, KeyError>>;

fn runtime() -> Runtime {
    Builder::new_current_thread().enable_all().build().unwrap()
}

/// Asks for the keys `0..count`; the questions wait when this returns.
fn ask(runtime: &Runtime, reader: &KeyReader, count: usize) -> Vec<Asked> {
    let asking = |hash: usize| {
        let reader = reader.clone();
        runtime.spawn(async move { reader.find(key(u128::try_from(hash).unwrap())).await })
    };
    let asked = (0..count).map(asking).collect();
    runtime.block_on(async {
        for _ in 0..=count {
            tokio::task::yield_now().await;
        }
    });
    asked
}

fn answers(runtime: &Runtime, asked: Vec<Asked>) -> Vec<Result<KeyAnswer, KeyError>> {
    asked.into_iter().map(|asked| runtime.block_on(asked).unwrap()).collect()
}

#[test]
fn what_has_gathered_is_asked_at_once_and_each_gets_its_own() {
    let source = Counting::default();
    let groups = Arc::clone(&source.groups);
    let (reader, desk) = desk(source, 1, 1);
    let runtime = runtime();
    let asked = ask(&runtime, &reader, GROUP_MAX + 44);
    drop(reader);
    let answering = std::thread::spawn(|| desk.run());
    for (hash, answer) in (0_u128..).zip(answers(&runtime, asked)) {
        let answer = answer.unwrap();
        assert_eq!(answer.settled_through, Sequence(10_000));
        assert_eq!(answer.found, (hash % 2 == 0).then(|| used(hash)));
    }
    answering.join().unwrap();
    assert_eq!(*groups.lock().unwrap(), [GROUP_MAX, 44]);
}

#[test]
fn one_failure_answers_all_that_wait_and_the_next_question_is_asked_anew() {
    let source = Counting { failures: 1, ..Counting::default() };
    let groups = Arc::clone(&source.groups);
    let (reader, desk) = desk(source, 1, 1);
    let runtime = runtime();
    let asked = ask(&runtime, &reader, GROUP_MAX * 2);
    let answering = std::thread::spawn(|| desk.run());
    for answer in answers(&runtime, asked) {
        assert!(matches!(answer, Err(KeyError::Database(_))), "{answer:?}");
    }
    let answer = runtime.block_on(reader.find(key(4))).unwrap();
    assert_eq!(answer.found, Some(used(4)));
    drop(reader);
    answering.join().unwrap();
    assert_eq!(*groups.lock().unwrap(), [GROUP_MAX, 1]);
}

#[test]
fn a_withdrawn_question_is_not_asked() {
    let source = Counting::default();
    let groups = Arc::clone(&source.groups);
    let (reader, desk) = desk(source, 1, 1);
    let runtime = runtime();
    let asked = ask(&runtime, &reader, 3);
    for asked in asked {
        asked.abort();
        assert!(runtime.block_on(asked).unwrap_err().is_cancelled());
    }
    drop(reader);
    desk.run();
    assert!(groups.lock().unwrap().is_empty());
}

#[test]
fn too_many_questions_are_refused_and_none_is_left_hanging() {
    let (reader, desk) = desk(Counting::default(), 1, 1);
    let runtime = runtime();
    let mut asked = ask(&runtime, &reader, WAITING_MAX + 1);
    let last = runtime.block_on(asked.pop().unwrap()).unwrap();
    assert!(matches!(last, Err(KeyError::Busy)), "{last:?}");
    drop(desk);
    for answer in answers(&runtime, asked) {
        assert!(matches!(answer, Err(KeyError::Ended)), "{answer:?}");
    }
    let late = runtime.block_on(reader.find(key(1)));
    assert!(matches!(late, Err(KeyError::Ended)), "{late:?}");
}

#[test]
fn a_snapshot_is_believed_only_of_this_frame_and_whole() {
    let (_reader, desk) = desk(Counting::default(), 1, 5);
    let whole = KeySnapshot {
        watermark: Some((1, 4, Sequence(9))),
        hole: None,
        uses: vec![None, Some(used(9))],
    };
    assert_eq!(desk.believe(&whole).unwrap(), Sequence(9));
    let empty = KeySnapshot { watermark: None, hole: None, uses: vec![None] };
    assert_eq!(desk.believe(&empty).unwrap(), Sequence(0));
    let refused = |snapshot| desk.believe(&snapshot).unwrap_err();
    let foreign = KeySnapshot { watermark: Some((2, 4, Sequence(9))), ..whole.clone() };
    assert!(matches!(refused(foreign), SinkError::Foreign { ours: 1, theirs: 2 }));
    let newer = KeySnapshot { watermark: Some((1, 6, Sequence(9))), ..whole.clone() };
    assert!(matches!(refused(newer), SinkError::Fenced { ours: 5, theirs: 6 }));
    let holed = KeySnapshot { hole: Some(3), ..whole.clone() };
    assert!(matches!(refused(holed), SinkError::Hole { batch: 3 }));
    for watermark in [None, Some((1, 4, Sequence(8)))] {
        let late = KeySnapshot { watermark, ..whole.clone() };
        assert!(matches!(refused(late), SinkError::Unreadable { column: "sequence", .. }));
    }
}

#[test]
fn a_row_that_no_settlement_writes_is_refused() {
    let row = key_use(9, "340282366920938463463374607431768211455", "801", 5_000).unwrap();
    let wanted = KeyUse { sequence: Sequence(9), status: 801, rate: 5_000, digest: u128::MAX };
    assert_eq!(row, wanted);
    for (sequence, amount, data, rate) in
        [(-1, "1", "0", 0), (1, "-1", "0", 0), (1, "1", "65536", 0), (1, "1", "0", -1)]
    {
        let refused = key_use(sequence, amount, data, rate).unwrap_err();
        assert!(matches!(refused, SinkError::Unreadable { .. }), "{refused}");
    }
}
