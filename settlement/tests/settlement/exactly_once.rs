//! Whatever fails when, every sequence is settled exactly once: the real runner against a model
//! database whose commits are lost before or after they took effect, land late, or meet a restored
//! backup; engines and settlers crash and start again in between.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use protocol::cut::AccountRow;
use protocol::effect::{Effect, Event};
use settlement::sink::EffectSource;
use settlement::watermark::compare;
use settlement::{
    Batch, Handle, Hooks, Inbox, ReadBack, Runner, Settings, Sink, SinkError, Status, Stop,
    Watermark, channel,
};

use crate::journal::{FRAME, Journal, Past, Shared};

/// A database image.
#[derive(Clone, Default)]
struct Image {
    watermark: Option<Watermark>,
    balances: BTreeMap<u128, AccountRow>,
    effects: BTreeMap<(u64, u16), Effect>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    None,
    /// The transaction fails before COMMIT.
    Before,
    /// The connection breaks at COMMIT, which did not happen.
    LostNot,
    /// The connection breaks at COMMIT, which happened.
    LostDone,
    /// The connection breaks at COMMIT, which happens after the next watermark was read.
    LostLate,
    /// Connecting fails.
    Connect,
    /// The process dies: the COMMIT happened or did not.
    Crash(bool),
}

#[derive(Default)]
struct World {
    image: Image,
    backup: Image,
    /// Transaction of a lost connection that has yet to end.
    late: Option<(Option<Watermark>, Image)>,
    faults: Vec<Fault>,
    crashed: bool,
    commits: u64,
}

struct ModelSink(Arc<Mutex<World>>);

fn broken() -> SinkError {
    SinkError::Retryable("connection lost".into())
}

fn unknown() -> SinkError {
    SinkError::UnknownCommit("connection lost".into())
}

impl Sink for ModelSink {
    fn name(&self) -> &str {
        "model"
    }

    fn connect(&mut self) -> Result<(), SinkError> {
        let mut world = self.0.lock().unwrap();
        if world.faults.last() == Some(&Fault::Connect) {
            world.faults.pop();
            return Err(broken());
        }
        Ok(())
    }

    fn watermark(&mut self) -> Result<Option<Watermark>, SinkError> {
        let mut world = self.0.lock().unwrap();
        let seen = world.image.watermark.clone();
        if let Some((over, image)) = world.late.take()
            && over == seen
        {
            world.image = image;
        }
        Ok(seen)
    }

    fn commit(
        &mut self,
        batch: &Batch<'_>,
        expected: Option<&Watermark>,
        effects: &mut dyn EffectSource,
    ) -> Result<(), SinkError> {
        let mut world = self.0.lock().unwrap();
        let stored = world.image.watermark.clone();
        compare(expected, stored.as_ref(), &batch.target())?;
        let fault = world.faults.pop().unwrap_or(Fault::None);
        if fault == Fault::Before {
            return Err(broken());
        }
        let mut image = world.image.clone();
        for row in batch.cut.accounts.iter() {
            image.balances.insert(row.owner, row);
        }
        effects.deliver(&mut |block| {
            for effect in block {
                let old = image.effects.insert((effect.sequence, effect.leg), *effect);
                assert_eq!(old, None, "an effect is settled once");
            }
            Ok(())
        })?;
        image.watermark = Some(batch.target());
        match fault {
            Fault::LostNot => return Err(unknown()),
            Fault::LostLate => {
                world.late = Some((stored, image));
                return Err(unknown());
            }
            Fault::Crash(false) => {
                world.crashed = true;
                return Err(unknown());
            }
            _ => world.image = image,
        }
        world.commits += 1;
        world.crashed = matches!(fault, Fault::Crash(_));
        match fault {
            Fault::LostDone | Fault::Crash(_) => Err(unknown()),
            _ => Ok(()),
        }
    }

    fn read_back(&mut self) -> Result<ReadBack, SinkError> {
        Err(broken())
    }
}

/// An engine that answers each request for a cut at once.
struct Engine {
    now_ms: Arc<Mutex<u64>>,
    journal: Shared,
    handle: Handle,
    reported: u64,
}

impl Hooks for Engine {
    fn now_ms(&mut self) -> u64 {
        *self.now_ms.lock().unwrap()
    }

    fn now_ns(&mut self) -> u64 {
        self.now_ms() * 1_000_000
    }

    fn request_cut(&mut self, complete: bool) {
        let cut = self.journal.lock().unwrap().cut(complete);
        self.handle.deliver(cut);
    }

    fn settled(&mut self, watermark: &Watermark) {
        self.reported = watermark.through().0;
    }
}

struct Rig {
    world: Arc<Mutex<World>>,
    journal: Shared,
    now_ms: Arc<Mutex<u64>>,
    runner: Runner<ModelSink, Past, Engine>,
    handle: Handle,
    inbox: Inbox,
}

type Parts = (Runner<ModelSink, Past, Engine>, Handle, Inbox);

fn start(world: &Arc<Mutex<World>>, journal: &Shared, now_ms: &Arc<Mutex<u64>>) -> Parts {
    let (handle, inbox) = channel();
    let engine = Engine {
        now_ms: now_ms.clone(),
        journal: journal.clone(),
        handle: handle.clone(),
        reported: 0,
    };
    let seen = protocol::Sequence(0);
    let runner = Runner::new(
        Settings::new(FRAME, journal.lock().unwrap().epoch, true, seen),
        ModelSink(world.clone()),
        Past(journal.clone()),
        engine,
        Arc::new(Status::default()),
    );
    (runner, handle, inbox)
}

impl Rig {
    fn new(seed: u64) -> Self {
        let world = Arc::new(Mutex::new(World::default()));
        let journal = Journal::shared(seed);
        let now_ms = Arc::new(Mutex::new(0));
        let (runner, handle, inbox) = start(&world, &journal, &now_ms);
        Self { world, journal, now_ms, runner, handle, inbox }
    }

    fn turn(&mut self, advance_ms: u64) {
        *self.now_ms.lock().unwrap() += advance_ms;
        // A request is answered through the inbox: a few turns carry a batch through.
        for _ in 0..4 {
            assert_eq!(self.runner.turn(&self.inbox), None);
            if std::mem::take(&mut self.world.lock().unwrap().crashed) {
                self.restart();
            }
        }
        self.check();
    }

    fn restart(&mut self) {
        self.journal.lock().unwrap().restart();
        (self.runner, self.handle, self.inbox) = start(&self.world, &self.journal, &self.now_ms);
    }

    /// What is settled is exactly the journal's prefix up to the watermark.
    fn check(&self) {
        let world = self.world.lock().unwrap();
        let journal = self.journal.lock().unwrap();
        let Some(watermark) = &world.image.watermark else {
            assert!(world.image.effects.is_empty());
            return;
        };
        let through = watermark.through().0;
        let settled: Vec<Effect> = world.image.effects.values().copied().collect();
        assert_eq!(settled, journal.effects(0, through));
        for row in world.image.balances.values() {
            let net: i128 = settled
                .iter()
                // The amount of a used key is a digest.
                .filter(|effect| effect.event != Event::KeyUsed.number())
                .map(|effect| {
                    let amount = i128::try_from(effect.amount).unwrap();
                    let credited = (effect.credit, effect.credit_bucket) == (row.owner, 1);
                    let debited = (effect.debit, effect.debit_bucket) == (row.owner, 1);
                    amount * (i128::from(credited) - i128::from(debited))
                })
                .sum();
            assert_eq!(row.liquid, net, "balances and effects are of the same moment");
        }
    }

    fn finish(mut self) {
        self.world.lock().unwrap().faults.clear();
        for _ in 0..4 {
            self.turn(10_000);
        }
        let now_ms = *self.now_ms.lock().unwrap();
        self.handle.drain(now_ms + 1_000);
        let stop = (0..8).find_map(|_| self.runner.turn(&self.inbox));
        assert_eq!(stop, Some(Stop::Drained));
        self.check();
        let world = self.world.lock().unwrap();
        let journal = self.journal.lock().unwrap();
        let stored = world.image.watermark.as_ref().unwrap();
        assert!(stored.same_position(&journal.watermark()));
        let rows: Vec<AccountRow> = world.image.balances.values().copied().collect();
        assert_eq!(rows, journal.accounts());
    }
}

#[derive(Clone, Debug)]
enum Step {
    Execute(u64),
    Turn(u64),
    Fault(Fault),
    Restart,
    Backup,
    Restore,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let fault = prop_oneof![
        Just(Fault::Before),
        Just(Fault::LostNot),
        Just(Fault::LostDone),
        Just(Fault::LostLate),
        Just(Fault::Connect),
        any::<bool>().prop_map(Fault::Crash),
    ];
    let step = prop_oneof![
        4 => (1_u64..6).prop_map(Step::Execute),
        6 => prop_oneof![Just(10_u64), Just(100), Just(6_000)].prop_map(Step::Turn),
        3 => fault.prop_map(Step::Fault),
        1 => Just(Step::Restart),
        1 => Just(Step::Backup),
        1 => Just(Step::Restore),
    ];
    prop::collection::vec(step, 1..60)
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1_000,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn every_sequence_is_settled_exactly_once(seed in any::<u64>(), steps in steps()) {
        let mut rig = Rig::new(seed);
        for step in steps {
            match step {
                Step::Execute(count) => rig.journal.lock().unwrap().execute(count),
                Step::Turn(advance_ms) => rig.turn(advance_ms),
                Step::Fault(fault) => rig.world.lock().unwrap().faults.insert(0, fault),
                Step::Restart => rig.restart(),
                Step::Backup => {
                    let mut world = rig.world.lock().unwrap();
                    world.backup = world.image.clone();
                }
                Step::Restore => {
                    let mut world = rig.world.lock().unwrap();
                    world.image = world.backup.clone();
                    world.late = None;
                }
            }
        }
        rig.finish();
    }
}
