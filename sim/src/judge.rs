//! The judge: an independent book of everything that is durable, and what must hold of it.
//!
//! It reads the journal's bytes, never the running engine, and keeps the naive model of the money
//! rules beside a replay of its own. Invariant: it has judged records 1 to `index`, each once.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use engine::Options;
use journal::{Kind, Reader, RecordHeader};
use pipeline::{Replayer, genesis_of};
use protocol::cut::{AccountRow, Effects, SupplyRow};
use protocol::effect::Effect;
use protocol::reply::Outcome;
use protocol::{Command, Request, Role, Status};
use settlement::Watermark;
use snapshot::Meta;

use crate::disk::SimDisk;
use crate::model::Model;
use crate::node::{Found, OPTIONS};
use crate::rights::Rights;
use crate::sql::Tables;

/// A rule that does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Number of the invariant.
    pub rule: &'static str,
    /// What was found.
    pub detail: String,
}

pub(crate) type Checked<T = ()> = Result<T, Violation>;

pub(crate) fn broken<T>(rule: &'static str, detail: impl Into<String>) -> Checked<T> {
    Err(Violation { rule, detail: detail.into() })
}

pub(crate) fn hold(holds: bool, rule: &'static str, detail: impl Fn() -> String) -> Checked {
    if holds { Ok(()) } else { broken(rule, detail()) }
}

/// The state behind a record.
struct Boundary {
    rows: Vec<AccountRow>,
    supply: Vec<SupplyRow>,
    effects: usize,
    digest: [u8; 16],
    image: [u8; 32],
}

/// Where a record lies.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) len: u64,
}

/// Where a record is in a row of all.
fn place_of(index: u64) -> usize {
    usize::try_from(index - 1).expect("a count of records fits")
}

/// Body, status, rate and sequence of a remembered answer.
type Answer = (u128, Status, u16, u64);

pub(crate) struct Judge {
    model: Option<Model>,
    replayer: Replayer,
    hashes: Vec<[u8; 32]>,
    places: Vec<Place>,
    /// The journal itself says that records up to here were durable.
    proven: u64,
    outcomes: BTreeMap<u64, Vec<Outcome>>,
    boundaries: BTreeMap<u64, Boundary>,
    /// Liquid and held of every account behind each request.
    balances: BTreeMap<u64, Vec<(u128, i128, u128)>>,
    effects: Vec<Effect>,
    by_id: BTreeMap<(u128, u128), u64>,
    by_intent: BTreeMap<u64, u64>,
    answers: BTreeMap<(u128, u128), Answer>,
    rights: Rights,
    /// Every record that was judged: those that the journal has retired, too.
    log: Vec<(RecordHeader, Vec<u8>)>,
    known: BTreeSet<[u8; 32]>,
    /// The first one that the journal holds.
    first_segment: u64,
    /// The database holds no postings.
    is_netted: bool,
}

impl Judge {
    pub(crate) fn new(is_netted: bool) -> Self {
        Self {
            model: None,
            replayer: Replayer::new(Options { history: true, effects_max: usize::MAX }),
            hashes: Vec::new(),
            places: Vec::new(),
            proven: 0,
            outcomes: BTreeMap::new(),
            boundaries: BTreeMap::new(),
            balances: BTreeMap::new(),
            effects: Vec::new(),
            by_id: BTreeMap::new(),
            by_intent: BTreeMap::new(),
            answers: BTreeMap::new(),
            rights: Rights::default(),
            log: Vec::new(),
            known: BTreeSet::new(),
            first_segment: 0,
            is_netted,
        }
    }

    /// Another judge of the same records, which the clients have told the same.
    pub(crate) fn again(&self) -> Checked<Self> {
        let (answers, rights) = (self.answers.clone(), self.rights.again());
        let first_segment = self.first_segment;
        let mut again = Self { answers, rights, first_segment, ..Self::new(self.is_netted) };
        for (header, payload) in &self.log {
            again.judge(header, payload)?;
        }
        Ok(again)
    }

    /// Whether a record of this journal is where `mark` stands.
    pub(crate) fn stands_at(&self, mark: &Watermark) -> bool {
        self.known.contains(&mark.chain_hash)
            && self.digest(mark.through().0) == Some(mark.run_digest)
    }

    /// Records judged.
    pub(crate) fn index(&self) -> u64 {
        self.hashes.len() as u64
    }

    /// Judges what has become durable, up to record `through`.
    pub(crate) fn walk(&mut self, disk: &SimDisk, through: u64) -> Checked {
        if through <= self.index() {
            return Ok(());
        }
        let unread = |error: journal::ReadError| Violation {
            rule: "I3",
            detail: format!("what is durable cannot be read: {error}"),
        };
        let storage = Arc::new(disk.memory.clone());
        let mut reader = Reader::open_range(storage, self.index() + 1, through).map_err(unread)?;
        while let Some((header, payload)) = reader.next().map_err(unread)? {
            self.judge(header, payload)?;
        }
        hold(self.index() == through, "I3", || {
            format!("durable through record {through}, readable through {}", self.index())
        })
    }

    fn judge(&mut self, header: &RecordHeader, payload: &[u8]) -> Checked {
        hold(header.index == self.index() + 1, "I3", || {
            format!("record {} where {} is due", header.index, self.index() + 1)
        })?;
        let mut steps: Vec<(Request, Vec<Command>, Vec<Outcome>)> = Vec::new();
        let applied = self.replayer.apply(header, payload, |step| {
            steps.push((*step.request, step.slots.to_vec(), step.outcomes.to_vec()));
        });
        if let Err(error) = applied {
            return broken("I9", format!("the replay differs from the run: {error}"));
        }
        match header.kind() {
            Some(Kind::Genesis) => {
                let genesis = genesis_of(header, payload).expect("the replay has read it");
                self.model = Some(Model::new(&genesis));
            }
            Some(Kind::Commands) => {
                let model = self.model.as_mut().expect("the genesis record comes first");
                model.begin_record(header.timestamp_ns, header.settled_sequence);
                for (request, slots, outcomes) in steps {
                    self.judge_request(&request, &slots, outcomes)?;
                }
            }
            _ => {}
        }
        self.hashes.push(header.hash);
        self.known.insert(header.hash);
        self.log.push((*header, payload.to_vec()));
        let (segment, offset, len) = (header.segment, header.offset, header.record_len());
        self.places.push(Place { segment, offset, len });
        self.proven = self.proven.max(header.durable_index);
        self.bound(header)
    }

    fn judge_request(
        &mut self,
        request: &Request,
        slots: &[Command],
        outcomes: Vec<Outcome>,
    ) -> Checked {
        let model = self.model.as_mut().expect("the genesis record comes first");
        let expected = model.execute(request, slots);
        hold(expected == outcomes, "I6", || {
            let at = expected.iter().zip(&outcomes).position(|(one, other)| one != other);
            let at = at.unwrap_or(0);
            let (book, engine) = (expected.get(at), outcomes.get(at));
            format!("the book says {book:?}, the engine {engine:?} of {slots:?}")
        })?;
        let rows = model.accounts();
        let rows = rows.iter().map(|row| (row.owner, row.liquid, row.held)).collect();
        self.balances.insert(model.sequence(), rows);
        if request.role == Role::Engine as u16 {
            return Ok(());
        }
        self.rights.is_of_its_sender(request)?;
        for (entry, outcome) in protocol::request::Commands::new(slots).zip(&outcomes) {
            let command = entry.expect("the journal holds whole commands").command;
            if outcome.status != Status::Ok || outcome.repeat {
                continue;
            }
            self.rights.took_effect(request, command)?;
            let sequence = outcome.sequence;
            let twice = self.by_id.insert((request.principal, command.id), sequence);
            hold(twice.is_none(), "I4", || {
                format!("id {:032x} took effect at {twice:?} and at {sequence}", command.id)
            })?;
            let twice = self.by_intent.insert(command.user_data, sequence);
            hold(twice.is_none(), "I4", || {
                format!("what client command {} asks for was done twice", command.user_data)
            })?;
        }
        let twice = self.outcomes.insert(request.request, outcomes);
        hold(twice.is_none(), "I4", || format!("request {} is journaled twice", request.request))
    }

    /// What must hold behind every record.
    fn bound(&mut self, header: &RecordHeader) -> Checked {
        let model = self.model.as_ref().expect("the genesis record comes first");
        let engine = self.replayer.engine_mut().expect("the genesis record was applied");
        engine.open_cut(false);
        let cut = engine.cut_step(usize::MAX).expect("a whole cut in one step");
        if let Effects::All(effects) = cut.effects {
            self.effects.extend(effects);
        }
        let (rows, supply) = (model.accounts(), model.supply());
        hold(engine.accounts() == rows, "I2", || {
            format!("after record {} the accounts are not the book's", header.index)
        })?;
        hold(engine.supply() == supply && engine.recount() == supply, "I1", || {
            format!("after record {} the supply is not the book's", header.index)
        })?;
        hold(supply.iter().all(|row| row.delta() == Some(0)), "I1", || {
            format!("after record {} units were lost or invented: {supply:?}", header.index)
        })?;
        hold(rows.iter().all(|row| row.liquid >= 0), "I2", || {
            format!("after record {} an account is below zero", header.index)
        })?;
        let (digest, effects) = (engine.run_digest(), self.effects.len());
        let boundary = Boundary { rows, supply, effects, digest, image: engine.image_digest() };
        self.boundaries.insert(engine.executed().0, boundary);
        Ok(())
    }

    /// What recovery found must be all that was judged, unchanged.
    pub(crate) fn compare(&self, found: &Found) -> Checked {
        hold(found.through >= self.index(), "I3", || {
            format!("record {} was durable, {} is the last one", self.index(), found.through)
        })?;
        for (index, hash) in (found.first..).zip(&found.hashes) {
            let Some(known) = self.hashes.get(place_of(index)) else { return Ok(()) };
            hold(known == hash, "I3", || {
                format!("record {index} was durable and is another after recovery")
            })?;
        }
        Ok(())
    }

    /// A snapshot is of a record that was judged, and of the state behind it.
    pub(crate) fn snapshot(&self, meta: &Meta) -> Checked {
        let record = self.log.get(place_of(meta.index)).map(|(header, _)| header);
        let boundary = self.boundaries.get(&meta.sequence.0);
        let is_record = record.is_some_and(|header| {
            let place = (header.hash, header.epoch, header.next_sequence());
            place == (meta.chain_hash, meta.epoch, meta.sequence.0 + 1)
        });
        hold(is_record, "I9", || {
            format!("a snapshot says that record {} ends at {:?}", meta.index, meta.sequence)
        })?;
        let digests = boundary.map(|boundary| (boundary.digest, boundary.image));
        hold(digests == Some((meta.run_digest, meta.image_digest)), "I9", || {
            format!("the snapshot at {:?} is not the state of the replay", meta.sequence)
        })
    }

    /// A snapshot and the records behind it give the state of the whole journal.
    pub(crate) fn goes_on(&self, mut read: snapshot::Reader) -> Checked {
        let meta = read.meta();
        let failed = |error: &dyn std::fmt::Display| Violation {
            rule: "I9",
            detail: format!("the snapshot at record {} does not go on: {error}", meta.index),
        };
        let engine = pipeline::load(&mut read, OPTIONS).map_err(|error| failed(&error))?;
        let boundary = pipeline::Boundary { epoch: meta.epoch, chain_hash: meta.chain_hash };
        let mut replayer = Replayer::resume(OPTIONS, engine, boundary, meta.index);
        for (header, payload) in self.log.iter().skip(place_of(meta.index + 1)) {
            replayer.apply(header, payload, |_| ()).map_err(|error| failed(&error))?;
        }
        let image = replayer.engine().map(engine::Engine::image_digest);
        let is_same = meta.index > self.index() || image == Some(self.image_digest());
        hold(is_same, "I9", || {
            format!("the snapshot at record {} leads to another state", meta.index)
        })
    }

    /// The journal begins with this segment now.
    pub(crate) const fn forget_before(&mut self, segment: u64) {
        self.first_segment = segment;
    }

    /// The digest at a sequence, if a record ends there.
    pub(crate) fn digest(&self, sequence: u64) -> Option<[u8; 16]> {
        self.boundaries.get(&sequence).map(|boundary| boundary.digest)
    }

    /// Digest of the whole state behind the last record judged.
    pub(crate) fn image_digest(&self) -> [u8; 32] {
        self.replayer.engine().expect("the genesis record was judged").image_digest()
    }

    /// Records that the journal holds and itself proves to have been durable.
    pub(crate) fn proven(&self) -> &[Place] {
        let proven = usize::try_from(self.proven).expect("a count of records fits");
        let proven = &self.places[..proven.min(self.places.len())];
        &proven[proven.partition_point(|place| place.segment < self.first_segment)..]
    }

    /// The segment of the last record.
    pub(crate) fn last_segment(&self) -> u64 {
        self.places.last().map_or(0, |place| place.segment)
    }

    /// A door has taken a request from whom it knows to be this.
    pub(crate) fn sent(&mut self, request: u64, principal: u128, role: Role) {
        self.rights.sent(request, principal, role);
    }

    /// A client was told this of its request.
    pub(crate) fn acknowledged(&self, request: u64, outcomes: &[Outcome]) -> Checked {
        let expected = self.outcomes.get(&request);
        hold(expected.is_some_and(|expected| expected == outcomes), "I3", || {
            format!("request {request} was answered {outcomes:?}; the journal says {expected:?}")
        })
    }

    /// A client was told this of one command: the same body gets the same answer for ever.
    pub(crate) fn answered(&mut self, id: (u128, u128), answer: Answer) -> Checked {
        let (body, status, ..) = answer;
        if !status.is_remembered() {
            return Ok(());
        }
        let known = *self.answers.entry(id).or_insert(answer);
        hold(known.0 == body, "I5", || {
            format!("id {:032x} was answered {status} for a second body", id.1)
        })?;
        hold(known == answer, "I5", || {
            format!("id {:032x} was answered {known:?} and then {answer:?}", id.1)
        })
    }

    /// A client was told this of an account at `sequence`.
    pub(crate) fn read(&self, owner: u128, sequence: u64, told: (i128, u128)) -> Checked {
        let rows = self.balances.get(&sequence);
        let row = rows.and_then(|rows| rows.iter().find(|row| row.0 == owner));
        hold(row.is_some_and(|&(_, liquid, held)| (liquid, held) == told), "I6", || {
            format!("at {sequence} {owner:x} was said to have {told:?}; the book has {row:?}")
        })
    }

    /// The database is the fold of the journal up to its watermark.
    pub(crate) fn settled(&self, tables: &Tables) -> Checked {
        let Some(mark) = &tables.watermark else {
            return hold(tables.effects.is_empty(), "I8", || "rows without watermark".to_owned());
        };
        let through = mark.through().0;
        let Some(boundary) = self.boundaries.get(&through) else {
            return broken("I8", format!("settled through {through}, where no record ends"));
        };
        hold(mark.run_digest == boundary.digest, "I8", || {
            format!("the watermark at {through} is of another run")
        })?;
        hold(tables.balances.values().eq(&boundary.rows), "I8", || {
            let differs = |row: &&AccountRow| !tables.balances.values().any(|one| one == *row);
            let missing: Vec<_> = boundary.rows.iter().filter(differs).collect();
            format!("settled through {through}, but not as {missing:?}")
        })?;
        hold(tables.supply == boundary.supply, "I8", || {
            format!("the supply settled through {through} is not the journal's")
        })?;
        let due = if self.is_netted { 0 } else { boundary.effects };
        hold(tables.effects == self.effects[..due], "I8", || {
            let found = tables.effects.len();
            format!("{found} postings are settled through {through}, {due} are due")
        })
    }
}
