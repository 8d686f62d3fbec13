//! What a version wrote, every later one reads: each set of files below `tests/golden` is recovered
//! from its genesis record and from each of its snapshots, and gives the state that was written
//! down beside it.
//!
//! A set is written once, by `BEZANT_GOLDEN=<name> cargo test -p pipeline golden`, and never over
//! another one. Invariant: nothing in a set is changed by reading it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use engine::{Engine, Options};
use journal::{MemoryStorage, Reader, Storage as _};
use pipeline::{Boundary, Recovered, Replayer, Sources, StartError, Taken, recover, take};
use protocol::cut::{AccountRow, SupplyRow};
use protocol::{Kind, Status};
use snapshot::{Catalogue, DirFiles, MemoryFiles};

use crate::rig::{SEGMENT, agent, genesis};
use crate::story;

const OPTIONS: Options = Options { history: false, effects_max: 0 };
const END: &str = "end.txt";
const MIDDLE: &str = "middle.txt";
const JOURNAL: &str = "journal.txt";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap_or_else(|error| panic!("{}: {error}", dir.display()));
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// The sets, oldest first.
fn sets() -> Vec<PathBuf> {
    let is_set = |path: &PathBuf| path.is_dir();
    names(&root()).into_iter().map(|name| root().join(name)).filter(is_set).collect()
}

fn journal_of(set: &Path) -> MemoryStorage {
    let storage = MemoryStorage::new();
    let dir = set.join("journal");
    for (name, number) in names(&dir).iter().zip(1..) {
        assert_eq!(*name, segment_name(number));
        storage.put(number, fs::read(dir.join(name)).unwrap());
    }
    storage
}

fn segment_name(number: u64) -> String {
    format!("{number:020}.segment")
}

/// Name and bytes, oldest first.
fn snapshots_of(set: &Path) -> Vec<(String, Vec<u8>)> {
    let dir = set.join("snapshots");
    let read = |name: String| (name.clone(), fs::read(dir.join(name)).unwrap());
    names(&dir).into_iter().map(read).collect()
}

/// A start from these files.
pub(crate) fn start(storage: &MemoryStorage, files: &MemoryFiles) -> Result<Recovered, StartError> {
    let catalogue = Catalogue::new(files.clone(), genesis().frame);
    let storage = Arc::new(storage.clone());
    recover(
        Sources { storage, catalogue: &catalogue, config: SEGMENT, options: OPTIONS },
        None,
        &mut |_| (),
    )
}

/// Takes a snapshot of what these files hold, from the genesis record on.
pub(crate) fn snapshot(storage: &MemoryStorage, catalogue: &Catalogue) -> Taken {
    let Recovered { engine, boundary, index, .. } =
        start(&storage.copy(), &MemoryFiles::new()).unwrap();
    take(catalogue, engine, boundary, index, OPTIONS).unwrap()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

/// A state in words.
fn state(engine: &Engine, boundary: Boundary, index: u64) -> String {
    let mut text = String::new();
    writeln!(text, "record {index} of epoch {}", boundary.epoch).unwrap();
    writeln!(text, "chain hash {}", hex(&boundary.chain_hash)).unwrap();
    writeln!(text, "sequence {}", engine.executed()).unwrap();
    writeln!(text, "time {} ns", engine.timestamp_ns()).unwrap();
    writeln!(text, "run digest {}", hex(&engine.run_digest())).unwrap();
    writeln!(text, "image digest {}", hex(&engine.image_digest())).unwrap();
    writeln!(text, "next deadline {:?}", engine.next_deadline_ns()).unwrap();
    for row in engine.recount() {
        assert_eq!(row.delta(), Some(0));
        let (issued, destroyed) = (row.issued.low, row.destroyed.low);
        assert_eq!((row.issued.high, row.destroyed.high), (0, 0));
        let SupplyRow { asset, scale, name, liquid, held, .. } = &row;
        writeln!(
            text,
            "asset {asset} {name}, scale {scale}: issued {issued}, destroyed {destroyed}, liquid \
             {liquid}, held {held}, staked {}, bonded {}, credit {} of {}",
            row.staked, row.bonded, row.credit_used, row.credit_granted
        )
        .unwrap();
    }
    for row in engine.accounts() {
        let AccountRow { owner, asset, host, liquid, held, .. } = row;
        writeln!(
            text,
            "owner {owner:032x} asset {asset} host {host}: liquid {liquid}, held {held}, staked \
             {}, bonded {}, minimum {}, credit limit {}, flags {}",
            row.staked, row.bonded, row.minimum, row.credit_limit, row.flags
        )
        .unwrap();
    }
    text
}

/// Records by kind, and commands by kind and status.
fn journal(storage: &MemoryStorage) -> (String, BTreeMap<(Kind, Status), u64>) {
    let mut records = BTreeMap::new();
    let mut commands = BTreeMap::new();
    let mut other = BTreeMap::new();
    let mut replayer = Replayer::new(OPTIONS);
    let mut reader = Reader::open(Arc::new(storage.clone()), 1).unwrap();
    while let Some((header, payload)) = reader.next().unwrap() {
        *records.entry(format!("{:?}", header.kind().unwrap())).or_insert(0_u64) += 1;
        let visit = |step: pipeline::Step<'_>| {
            let entries = protocol::request::Commands::new(step.slots);
            for (entry, outcome) in entries.zip(step.outcomes.to_vec()) {
                match Kind::try_from(entry.unwrap().command.kind) {
                    Ok(kind) => *commands.entry((kind, outcome.status)).or_insert(0) += 1,
                    Err(_) => *other.entry(outcome.status).or_insert(0_u64) += 1,
                }
            }
        };
        replayer.apply(header, payload, visit).unwrap();
    }
    let mut text = String::new();
    writeln!(text, "segments {:?}", storage.list().unwrap()).unwrap();
    for (kind, count) in records {
        writeln!(text, "{kind} records {count}").unwrap();
    }
    for ((kind, status), count) in &commands {
        writeln!(text, "{kind:?} {status} {count}").unwrap();
    }
    for (status, count) in other {
        writeln!(text, "other {status} {count}").unwrap();
    }
    (text, commands)
}

/// What a start found, in words.
fn found(recovered: &Recovered) -> String {
    state(&recovered.engine, recovered.boundary, recovered.index)
}

fn read(set: &Path, name: &str) -> String {
    fs::read_to_string(set.join(name)).unwrap()
}

#[test]
fn every_set_is_read_as_it_was_written() {
    assert!(!sets().is_empty());
    for set in sets() {
        let storage = journal_of(&set);
        let (end, middle) = (read(&set, END), read(&set, MIDDLE));
        assert_eq!(journal(&storage).0, read(&set, JOURNAL), "{}", set.display());
        let recovered = start(&storage.copy(), &MemoryFiles::new()).unwrap();
        assert!(recovered.report.truncated.is_none());
        assert_eq!(found(&recovered), end, "{} from its genesis record", set.display());

        let snapshots = snapshots_of(&set);
        for ((name, bytes), of) in snapshots.iter().zip([&middle, &end]) {
            let files = MemoryFiles::new();
            files.put(name, bytes.clone());
            let catalogue = Catalogue::new(files.clone(), genesis().frame);
            let image = pipeline::choose(&catalogue, OPTIONS, |_| true).unwrap().image.unwrap();
            assert_eq!(state(&image.engine, image.boundary(), image.meta.index), *of, "{name}");
            let recovered = start(&storage.copy(), &files).unwrap();
            let used = recovered.snapshot.as_ref().map(|taken| &taken.name);
            assert_eq!((used, found(&recovered)), (Some(name), end.clone()), "{}", set.display());
            // What lies before the snapshot is not needed.
            let shortened = storage.copy();
            journal::retire(&shortened, image.meta.index).unwrap();
            assert!(shortened.list().unwrap()[0] > 1, "{name} lies in the first segment");
            assert_eq!(found(&start(&shortened, &files).unwrap()), end, "{}", set.display());
        }
        assert_eq!(snapshots.len(), 2);
        assert_eq!(names(&set), [END, "journal", JOURNAL, MIDDLE, "snapshots"]);
    }
}

/// Said once more outside of the set, so that it cannot be replaced without a word.
#[test]
fn the_first_set_is_the_one_that_the_first_version_wrote() {
    let set = root().join("v1");
    let engine = start(&journal_of(&set), &MemoryFiles::new()).unwrap().engine;
    assert_eq!(engine.executed().0, 426);
    assert_eq!(hex(&engine.run_digest()), "09ed52c699f4b1d3bcd99efc89b213d3");
    let image = "ad04cdad6236399e03a87a00fd1494eaf9f4399a023e2fdecf052a89bd34c8d0";
    assert_eq!(hex(&engine.image_digest()), image);
    let supply = engine.recount();
    let native = &supply[0];
    let units = (native.issued.low, native.destroyed.low, native.liquid, native.held);
    assert_eq!(units, (2_507_819, 500, 2_497_319, 10_000));
    let liquid = [0, 1, 2, 3].map(|n| engine.account(agent(n), 1).unwrap().liquid);
    assert_eq!(liquid, [1_478_454, 512_120, 532_574, -29_958]);
}

/// The story is what it says, so that a set made of it holds everything.
#[test]
fn the_story_has_every_kind_of_command_executed_and_most_refused() {
    let told = story::tell();
    let commands = journal(&told.end).1;
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_read()) {
        assert!(commands.contains_key(&(kind, Status::Ok)), "{kind:?} is never executed");
    }
    let refused = commands.keys().filter(|(_, status)| !status.is_ok()).count();
    assert!(refused > 20, "{refused} refusals");
    let (once, twice) = (&told.end, story::tell().end);
    for number in once.list().unwrap() {
        assert!(once.image(number) == twice.image(number), "segment {number} is told otherwise");
    }
    assert!(once.list().unwrap().len() > 4, "several segments");
}

/// Writes a set, if one is asked for by name.
#[test]
fn golden_set_is_written_when_asked_for() {
    let Ok(name) = std::env::var("BEZANT_GOLDEN") else { return };
    let set = root().join(name);
    assert!(!set.exists(), "{} is there: a set is never overwritten", set.display());
    let told = story::tell();
    fs::create_dir_all(set.join("journal")).unwrap();
    for number in told.end.list().unwrap() {
        let bytes = told.end.image(number).unwrap();
        fs::write(set.join("journal").join(segment_name(number)), bytes).unwrap();
    }
    let catalogue = Catalogue::new(DirFiles::new(set.join("snapshots")), genesis().frame);
    for (disk, name) in [(&told.middle, MIDDLE), (&told.end, END)] {
        snapshot(disk, &catalogue);
        let recovered = start(&disk.copy(), &MemoryFiles::new()).unwrap();
        fs::write(set.join(name), found(&recovered)).unwrap();
    }
    fs::write(set.join(JOURNAL), journal(&told.end).0).unwrap();
}
