//! One run: the loop that moves every part of one frame, in an order that its seed draws, through
//! faults first and then healed, while the judge looks on.
//!
//! It has no clock, no thread and no file. Invariant: what happens depends on the case alone.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use protocol::Status;
use settlement::Stop;

use crate::bug::Bug;
use crate::case::Case;
use crate::class::{Class, Faults, Swarm};
use crate::clients::Clients;
use crate::disk::SimDisk;
use crate::judge::{Checked, Judge, broken, hold};
use crate::node::{Node, REQUESTS_MAX, create};
use crate::rival::Episode;
use crate::rng::{Rng, Trace};
use crate::snapshots::Known;
use crate::sql::Database;

const SECOND: u64 = 1_000_000_000;
const START: u64 = 1_700_000_000 * SECOND;
/// Rounds in which a healed frame must have finished everything.
const ROUNDS_MAX: u64 = 600;

/// What a client was told of a read: owner's liquid and held, and when.
type Told = (u64, (i128, u128));

/// What belongs to the run, whichever of two leaders moves.
#[derive(Clone)]
pub(crate) struct Run {
    pub(crate) case: Case,
    pub(crate) rng: Rng,
    /// Generators of single classes, which disturb no other draw.
    own: BTreeMap<Class, Rng>,
    pub(crate) swarm: Swarm,
    pub(crate) bug: Option<Bug>,
    /// Settlement writes balances and no postings.
    pub(crate) is_netted: bool,
    pub(crate) trace: Trace,
    pub(crate) faults: Faults,
    pub(crate) is_frozen: bool,
    pub(crate) step: u64,
    /// Steps of the phase with faults.
    pub(crate) faulty_steps: u64,
    pub(crate) simulated_ns: u64,
    pub(crate) acknowledged: u64,
    /// Commands answered, by what became of them.
    pub(crate) outcomes: BTreeMap<&'static str, u64>,
    pub(crate) episode: Option<Episode>,
}

impl Run {
    fn new(case: &Case) -> Self {
        let mut rng = Rng::new(case.seed);
        let mut swarm = Swarm::draw(&mut rng, case.seed);
        for &class in &case.off {
            swarm.switch_off(class);
        }
        let is_netted = swarm.is_netted(case.seed);
        if is_netted {
            // Without a history nobody says what became of a key that the engine has forgotten.
            swarm.switch_off(Class::Keys);
        }
        Self {
            case: case.clone(),
            rng,
            own: BTreeMap::new(),
            swarm,
            bug: case.bug,
            is_netted,
            trace: Trace::default(),
            faults: Faults::default(),
            is_frozen: false,
            step: 0,
            faulty_steps: 0,
            simulated_ns: 0,
            acknowledged: 0,
            outcomes: BTreeMap::new(),
            episode: None,
        }
    }

    /// Rate of a class now.
    pub(crate) fn rate(&self, class: Class) -> u64 {
        if self.case.from.is_some_and(|from| self.step < from) { 0 } else { self.swarm.rate(class) }
    }

    /// Whether a class strikes now.
    pub(crate) fn chance(&mut self, class: Class) -> bool {
        self.chance_of(class, 1)
    }

    /// The same for something that is so many times as rare.
    pub(crate) fn chance_of(&mut self, class: Class, rarer: u64) -> bool {
        let rate = self.rate(class) / rarer;
        self.rng.chance(rate)
    }

    /// The generator of one class.
    pub(crate) fn own(&mut self, class: Class) -> &mut Rng {
        let seed = self.case.seed;
        self.own.entry(class).or_insert_with(|| Rng::stream(seed, class as u64))
    }

    /// Whether a class with a generator of its own strikes now.
    pub(crate) fn chance_own(&mut self, class: Class) -> bool {
        let rate = self.rate(class);
        self.own(class).chance(rate)
    }

    pub(crate) fn strike(&mut self, class: Class) {
        self.faults.strike(class, self.step);
    }
}

/// One leader with its disk and its clients, and what it shares with the other one, if there is
/// one.
pub(crate) struct World {
    pub(crate) run: Run,
    pub(crate) disk: SimDisk,
    pub(crate) database: Database,
    pub(crate) judge: Judge,
    pub(crate) clients: Clients,
    /// Taken out while the process is down.
    pub(crate) node: Option<Node>,
    pub(crate) clock: Arc<AtomicU64>,
    /// Epoch of the last process that has used one up or acknowledged a write.
    pub(crate) epoch: u64,
    /// Step at which a halted process ends.
    pub(crate) ends_at: Option<u64>,
    /// Settlement has ended, because another leader settles.
    pub(crate) is_fenced: bool,
    /// The other leader.
    pub(crate) rival: Option<Box<Self>>,
    /// What segments held before, when a process ended.
    pub(crate) older: BTreeMap<u64, Vec<u8>>,
    pub(crate) known: Known,
    pub(crate) requests: u64,
    /// Highest sequence that a client was told.
    pub(crate) told: u64,
    /// Memory of a gateway with a planted bug.
    pub(crate) by_id: BTreeMap<(u128, u128), (Status, u16, u64)>,
    pub(crate) reads: BTreeMap<u128, Told>,
}

impl World {
    pub(crate) fn new(case: &Case) -> Self {
        // Half of the seeds each way, in no other rhythm of theirs.
        let disk = SimDisk::new(case.bug, case.seed.count_ones() % 2 == 1);
        create(&disk, START);
        let run = Run::new(case);
        Self {
            disk,
            database: Database::default(),
            judge: Judge::new(run.is_netted),
            run,
            clients: Clients::new(START / 1_000_000, case.intents),
            node: None,
            clock: Arc::new(AtomicU64::new(START + SECOND)),
            epoch: 0,
            ends_at: None,
            is_fenced: false,
            rival: None,
            older: BTreeMap::new(),
            known: Known::default(),
            requests: 0,
            told: 0,
            by_id: BTreeMap::new(),
            reads: BTreeMap::new(),
        }
    }

    /// The safety phase, then the liveness phase.
    pub(crate) fn play(&mut self) -> Checked {
        self.start()?;
        let steps = 300 + self.run.rng.below(500);
        self.run.faulty_steps = self.run.case.steps.map_or(steps, |most| most.min(steps));
        while self.run.step < self.run.faulty_steps {
            self.run.step += 1;
            self.inject()?;
            if !self.is_paused() {
                self.act()?;
            }
            self.move_rival()?;
        }
        self.end_rival()?;
        self.heal()?;
        let mut round = 0;
        while !self.is_finished() {
            round += 1;
            hold(round <= ROUNDS_MAX, "I13", || {
                let open = self.clients.open();
                format!(
                    "{ROUNDS_MAX} rounds after everything was healed {open} wait: {}",
                    self.lag()
                )
            })?;
            self.round()?;
        }
        self.restart(true)
    }

    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.load(Ordering::Relaxed)
    }

    pub(crate) fn advance(&mut self, ns: u64) {
        if !self.run.is_frozen {
            self.clock.fetch_add(ns, Ordering::Relaxed);
            self.run.simulated_ns += ns;
        }
    }

    pub(crate) fn node(&mut self) -> &mut Node {
        self.node.as_mut().expect("the process runs but during a restart")
    }

    pub(crate) fn act(&mut self) -> Checked {
        self.advance(1_000_000);
        let action = self.run.rng.below(100);
        self.run.trace.mix(action);
        let now_ns = self.now_ns();
        match action {
            0..=29 => {
                let (step, now_ms) = (self.run.step, now_ns / 1_000_000);
                self.clients.think(&mut self.run.rng, &self.run.swarm, step, now_ms);
                if self.run.chance_own(Class::Stranger) {
                    self.run.strike(Class::Stranger);
                    self.clients.intrude(self.run.own(Class::Stranger), step, now_ms);
                }
                self.send_due()?;
            }
            30..=44 => {
                self.node().prepare();
                self.node().journal(now_ns);
            }
            45..=61 => {
                if self.run.chance(Class::SlowSync) {
                    self.run.strike(Class::SlowSync);
                } else {
                    self.node().sync();
                }
            }
            62..=82 => self.execute()?,
            83..=94 => {
                if self.run.chance(Class::SqlSlow) {
                    self.run.strike(Class::SqlSlow);
                } else {
                    self.settle()?;
                }
            }
            _ => {
                let ns = self.run.rng.below(2 * SECOND);
                self.advance(ns);
            }
        }
        Ok(())
    }

    /// Everything moves once.
    fn round(&mut self) -> Checked {
        self.run.step += 1;
        self.advance(SECOND / 20);
        for _ in 0..REQUESTS_MAX {
            self.send_due()?;
        }
        let now_ns = self.now_ns();
        self.node().prepare();
        self.node().journal(now_ns);
        self.node().sync();
        self.execute()?;
        self.settle()
    }

    fn is_finished(&mut self) -> bool {
        let executed = self.node().stages.marks.watermarks().executed;
        let stored = self.database.state().tables.watermark.clone();
        self.clients.open() == 0 && stored.is_some_and(|mark| mark.through().0 == executed)
    }

    fn lag(&self) -> String {
        let marks = self.node.as_ref().map(|node| node.stages.marks.watermarks());
        format!("{marks:?}")
    }

    pub(crate) fn execute(&mut self) -> Checked {
        let now_ns = self.now_ns();
        self.node().execute(now_ns);
        let node = self.node();
        let checked = node.stages.marks.watermarks().validate();
        hold(checked.is_ok(), "I3", || format!("{checked:?}"))?;
        hold(node.pool.in_flight() <= REQUESTS_MAX, "I11", || "the pool overflows".to_owned())?;
        let supply = node.stages.engine.engine().supply();
        hold(supply.iter().all(|row| row.delta() == Some(0)), "I1", || {
            format!("units were lost or invented: {supply:?}")
        })?;
        self.replies()
    }

    pub(crate) fn settle(&mut self) -> Checked {
        self.slow_down();
        let stop = self.node().settle();
        self.count_commits()?;
        if let Some(stop) = stop {
            if stop == Stop::JournalTooShort && self.database.put_newest_back() {
                self.run.faults.see("older databases that the journal no longer reaches");
                return self.restart(false);
            }
            if !self.is_foreign() {
                return broken("I8", format!("settlement stopped: {}", stop.text()));
            }
            self.is_fenced = true;
            self.run.faults.see("settlement of one of two leaders stopped");
        }
        let marks = self.node().stages.marks.watermarks();
        let ever = self.database.state().committed_ever;
        hold(marks.settled <= ever, "I8", || {
            format!("{} counts as settled, {ever} was ever committed", marks.settled)
        })?;
        self.judge_database()
    }

    /// Lets the next commit take long: most of them some intervals, some longer than any stretch.
    fn slow_down(&mut self) {
        if !self.run.is_frozen && self.run.chance_own(Class::SlowCommit) {
            let rng = self.run.own(Class::SlowCommit);
            let most = if rng.chance(100) { 4 * SECOND } else { SECOND / 3 };
            self.database.state().slow_ns = Some(rng.below(most));
        }
    }

    fn count_commits(&mut self) -> Checked {
        let mut state = self.database.state();
        let (lost, broken) = mem::take(&mut state.struck);
        let (waited_ns, stretched) =
            (mem::take(&mut state.waited_ns), mem::take(&mut state.stretched));
        let hurried = state.hurried;
        state.slow_ns = None;
        drop(state);
        (0..lost).for_each(|_| self.run.strike(Class::LostCommit));
        (0..broken).for_each(|_| self.run.strike(Class::BrokenCommit));
        for waited_ns in waited_ns {
            self.run.strike(Class::SlowCommit);
            self.run.simulated_ns += waited_ns;
        }
        (0..stretched).for_each(|_| self.run.faults.see("cuts put off after a slow commit"));
        hold(hurried.is_none(), "pace", || {
            format!("a commit began before its time, at and due (ms): {hurried:?}")
        })
    }

    /// The database is the fold of one journal: of this leader's, or of the other one's.
    pub(crate) fn judge_database(&mut self) -> Checked {
        let durable = self.node().stages.marks.durable_index();
        self.judge.walk(&self.disk, durable)?;
        let state = self.database.state();
        if let Some((intruder, owner)) = state.intruder {
            return broken("I10", format!("epoch {intruder} settled after epoch {owner} had"));
        }
        let is_other = |rival: &&Self| {
            let mark = state.tables.watermark.as_ref();
            mark.is_some_and(|mark| !self.judge.stands_at(mark) && rival.judge.stands_at(mark))
        };
        let rival = self.rival.as_deref().filter(is_other);
        let judge = rival.map_or(&self.judge, |rival| &rival.judge);
        judge.settled(&state.tables)
    }
}
