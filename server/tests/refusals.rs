//! Every status is reached through every door by an identity that meets it in earnest, and a
//! refusal is repeated to the same id exactly when it is remembered.

use std::collections::BTreeSet;
use std::ops::Deref;
use std::time::Duration;

use client::{Client, Command, CommandId, Outcome, OwnerId, Status, query};
use protocol::Kind;
use protocol::command::{flags, reason};
use protocol::data::{self, TAG_KEY, TAG_NAME};
use protocol::ids::NATIVE;
use protocol::key;
use protocol::parameter::Parameter;
use protocol::system;

use crate::books;
use crate::frame::{Frame, must, say};
use crate::https_door::{Https, Kinds};

/// Statuses that no command brings about in this version, or that another module reaches.
const ELSEWHERE: &[(Status, &str)] = &[
    (Status::JournalFull, "a full disk: the module full_disk"),
    (Status::ListShape, "answers a read, never a command: the module lists"),
    (
        Status::DeltaNotZero,
        "needs an engine that invented units; every entry is checked before it is answered",
    ),
    (
        Status::BucketNotZero,
        "open holds are refused before as open_items, and nothing stakes or bonds yet",
    ),
];

#[test]
fn every_status_is_reached_and_repeated_as_documented() {
    every_status(&Way::Quic);
}

#[test]
fn every_status_is_reached_over_https() {
    every_status(&Way::Https(None));
}

#[test]
fn every_status_is_reached_as_json() {
    let kinds = Kinds::default();
    every_status(&Way::Https(Some(kinds.clone())));
    assert!(kinds.lock().unwrap().contains(&Kind::SystemTransfer));
}

fn every_status(way: &Way) {
    let mut seen = Seen::default();
    books::run(async {
        ordinary(&mut seen, way).await;
        small(&mut seen, way).await;
        few_ids(&mut seen, way).await;
        few_keys(&mut seen, way).await;
        operator(&mut seen, way).await;
        dead_holds(&mut seen, way).await;
    });
    let missing: Vec<_> = Status::ALL
        .iter()
        .filter(|status| !seen.0.contains(status))
        .filter(|status| !ELSEWHERE.iter().any(|(known, _)| known == *status))
        .collect();
    assert!(missing.is_empty(), "not reached: {missing:?}");
    for (status, why) in ELSEWHERE {
        assert!(!seen.0.contains(status), "{status} was reached: {why}");
    }
}

/// Which door the refused commands go through; the others prepare the frame over QUIC.
#[derive(Clone)]
enum Way {
    Quic,
    Https(Option<Kinds>),
}

/// Somebody with a client for what must succeed, and a door for what is looked at.
struct Caller {
    client: Client,
    https: Option<Https>,
}

impl Caller {
    async fn open(frame: &Frame, role: &str, name: &str, way: &Way) -> Self {
        let https = match way {
            Way::Quic => None,
            Way::Https(kinds) => Some(Https::open(frame, role, name, kinds.clone()).await),
        };
        Self { client: frame.client(role, name).await, https }
    }

    async fn send(&self, slots: &[Command]) -> Vec<Outcome> {
        if let Some(https) = &self.https {
            return https.send(slots).await;
        }
        let reply = self.client.request(slots).await.unwrap();
        assert_eq!(reply.refused(), None);
        reply.outcomes().to_vec()
    }
}

impl Deref for Caller {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

/// Statuses met so far.
#[derive(Default)]
struct Seen(BTreeSet<Status>);

impl Seen {
    /// Sends `slots`; the command at `place` must answer `status`, and again the same way.
    async fn legs(&mut self, caller: &Caller, slots: &[Command], place: usize, status: Status) {
        let first = caller.send(slots).await[place];
        assert_eq!(first.status, status, "sequence {}", first.sequence);
        let again = caller.send(slots).await[place];
        assert_eq!(again.status, status, "the second time");
        assert_eq!(again.repeat, status.is_remembered(), "{status}");
        self.0.insert(status);
    }

    async fn one(&mut self, caller: &Caller, command: Command, status: Status) {
        self.legs(caller, &[command], 0, status).await;
    }
}

/// A frame with two registries and everybody who may speak to it.
struct World {
    frame: Frame,
    north: Caller,
    south: Caller,
    mint: Caller,
    admin: Caller,
    agent: Caller,
}

/// Owners that `north` hosts, with funds; `POOR` has none.
const ALICE: OwnerId = 0x0190_0000_0000_7000_8000_0000_0000_000a;
const BOB: OwnerId = ALICE + 1;
const CAROL: OwnerId = ALICE + 2;
const POOR: OwnerId = ALICE + 3;
/// Nobody has opened it.
const NOBODY: OwnerId = ALICE + 99;
/// A name that an agent's certificate may bear.
const AGENT: &str = "01900000-0000-7000-8000-0000000000aa";

impl World {
    async fn new(mut frame: Frame, way: &Way) -> Self {
        frame.start();
        Self {
            north: Caller::open(&frame, "registry", "north", way).await,
            south: Caller::open(&frame, "registry", "south", way).await,
            mint: Caller::open(&frame, "mint", "treasury", way).await,
            admin: Caller::open(&frame, "admin", "chief", way).await,
            agent: Caller::open(&frame, "agent", AGENT, way).await,
            frame,
        }
    }

    /// Opens and funds the owners.
    async fn funded(frame: Frame, way: &Way) -> Self {
        let world = Self::new(frame, way).await;
        for owner in [ALICE, BOB, CAROL, POOR] {
            must(&world.north, Command::open(id(&world.north), owner, NATIVE)).await;
        }
        for owner in [ALICE, BOB, CAROL] {
            let issue = Command::issue(id(&world.mint), owner, NATIVE, 1_000_000_000);
            must(&world.mint, issue).await;
        }
        world
    }
}

fn id(client: &Client) -> CommandId {
    client.ids().next_id()
}

fn pay(client: &Client, from: OwnerId, to: OwnerId, amount: u128) -> Command {
    Command::transfer(id(client), from, to, NATIVE, amount)
}

fn of(client: &Client, kind: Kind) -> Command {
    Command::new(kind, id(client))
}

fn configure(client: &Client, parameter: Parameter, amount: u128) -> Command {
    Command { code: parameter.number(), amount, ..of(client, Kind::Configure) }
}

fn asset(client: &Client, number: u32) -> [Command; 2] {
    let name = data::encode(&[(TAG_NAME, b"token")]);
    let command = Command { asset: number, value: 2, data: 1, ..of(client, Kind::Asset) };
    [command, name[0]]
}

async fn ordinary(seen: &mut Seen, way: &Way) {
    let world = World::funded(Frame::new(), way).await;
    must(&world.north, pay(&world.north, ALICE, BOB, 1_000)).await;
    seen.0.insert(Status::Ok);
    shape(seen, &world).await;
    authority_and_ids(seen, &world).await;
    mint(seen, &world).await;
    owners_and_assets(seen, &world).await;
    states_of_accounts(seen, &world).await;
    holds(seen, &world).await;
    amounts(seen, &world).await;
    quotas(seen, &world).await;
    let recount = world.admin.ask(query::recount(NATIVE)).await.unwrap();
    assert_eq!(recount.delta, 0);
    let mut frame = world.frame;
    frame.stop();
    frame.is_sound();
}

async fn shape(seen: &mut Seen, world: &World) {
    let north = &world.north;
    let good = pay(north, ALICE, BOB, 100);
    let linked = |command| Command { flags: flags::LINKED, ..command };
    let peer = Command { peer: 1, ..good };
    seen.one(north, peer, Status::Malformed).await;
    let kind = Command { kind: 60, ..good };
    seen.one(north, kind, Status::UnknownKind).await;
    let corrected =
        Command { code: reason::CORRECTION, ..Command::issue(id(&world.mint), ALICE, NATIVE, 1) };
    let garbage = Command { id: 0xffff_ffff, ..Command::default() };
    let with_garbage = [Command { data: 1, ..corrected }, garbage];
    seen.legs(&world.mint, &with_garbage, 0, Status::DataMalformed).await;
    seen.one(&world.mint, corrected, Status::ReasonMissing).await;
    seen.one(north, linked(good), Status::ChainOpen).await;
    let long: Vec<Command> = (0..65)
        .map(|at| {
            let leg = pay(north, ALICE, BOB, 100);
            if at < 64 { linked(leg) } else { leg }
        })
        .collect();
    seen.legs(north, &long, 64, Status::ChainTooLong).await;
    let freeze = Command { debit: ALICE, asset: NATIVE, ..of(north, Kind::Freeze) };
    seen.legs(north, &[linked(good), freeze], 1, Status::ChainKind).await;
    seen.one(north, Command { id: 0, ..good }, Status::IdZero).await;
    let code = Command { code: 9, ..corrected };
    seen.one(&world.mint, code, Status::CodeUnknown).await;
    let too_much = pay(north, ALICE, BOB, 1 << 100);
    let chain = [linked(pay(north, ALICE, BOB, 100)), too_much];
    seen.legs(north, &chain, 0, Status::LinkedFailed).await;
}

async fn authority_and_ids(seen: &mut Seen, world: &World) {
    let north = &world.north;
    let foreign = pay(&world.south, ALICE, BOB, 100);
    seen.one(&world.south, foreign, Status::NotFound).await;
    let now_ms = id(north).unix_ms();
    let at = |unix_ms| Command { id: CommandId::new(unix_ms, 77).0, ..pay(north, ALICE, BOB, 100) };
    seen.one(north, at(now_ms + 60_000), Status::IdInFuture).await;
    seen.one(north, at(now_ms - 3_600_000), Status::IdTooOld).await;
    let first = pay(north, ALICE, BOB, 100);
    must(north, first).await;
    let other = Command { amount: 101, ..first };
    seen.one(north, other, Status::IdReused).await;
}

async fn mint(seen: &mut Seen, world: &World) {
    let mint = &world.mint;
    let baseline = Command { code: reason::BASELINE, ..Command::issue(id(mint), ALICE, NATIVE, 1) };
    seen.one(mint, baseline, Status::TooLate).await;
    let beyond = Command::issue(id(mint), ALICE, NATIVE, (1 << 120) + 1);
    seen.one(mint, beyond, Status::SupplyCap).await;
    must(&world.admin, of(&world.admin, Kind::HaltMint)).await;
    let issue = Command::issue(id(mint), ALICE, NATIVE, 1);
    seen.one(mint, issue, Status::MintHalted).await;
    must(mint, of(mint, Kind::ResumeMint)).await;
}

async fn owners_and_assets(seen: &mut Seen, world: &World) {
    let (north, south, admin) = (&world.north, &world.south, &world.admin);
    let elsewhere = Command { asset: 77, ..pay(north, ALICE, BOB, 100) };
    seen.one(north, elsewhere, Status::AssetNotFound).await;
    seen.legs(admin, &asset(admin, 1), 0, Status::AssetExists).await;
    assert_eq!(admin.request(&asset(admin, 2)).await.unwrap().outcomes()[0].status, Status::Ok);
    let own = protocol::ids::parse_uuid(AGENT).unwrap();
    let unopened = pay(&world.agent, own, ALICE, 100);
    seen.one(&world.agent, unopened, Status::DebtorNotFound).await;
    let unknown = pay(north, ALICE, NOBODY, 100);
    seen.one(north, unknown, Status::CreditorNotFound).await;
    let collector = pay(north, ALICE, system::fee_collector(1), 100);
    seen.one(north, collector, Status::ReservedOwner).await;
    let freeze =
        Command { debit: system::fee_collector(1), asset: NATIVE, ..of(admin, Kind::Freeze) };
    seen.one(admin, freeze, Status::SystemAccount).await;
    seen.one(north, pay(north, ALICE, ALICE, 100), Status::SameAccount).await;
    let stolen = Command::open(id(south), ALICE, 2);
    seen.one(south, stolen, Status::OwnerHostedElsewhere).await;
    let again = Command::open(id(north), ALICE, NATIVE);
    seen.one(north, again, Status::AccountExists).await;
    let rehost =
        Command { debit: ALICE, credit: south.hello().principal, ..of(south, Kind::Rehost) };
    seen.one(south, rehost, Status::HostRefuses).await;
    let payout = Command {
        debit: system::fee_collector(1),
        credit: ALICE,
        asset: NATIVE,
        amount: 1,
        code: reason::PAYOUT,
        ..of(admin, Kind::SystemTransfer)
    };
    seen.one(admin, payout, Status::Route).await;
    must(north, Command::open(id(north), ALICE, 2)).await;
    let lend = Command { debit: ALICE, asset: 2, reference: 5, ..of(admin, Kind::Limits) };
    seen.one(admin, lend, Status::NativeOnly).await;
}

async fn states_of_accounts(seen: &mut Seen, world: &World) {
    let (north, admin) = (&world.north, &world.admin);
    let (closed, frozen, poor) = (NOBODY + 1, NOBODY + 2, POOR);
    for owner in [closed, frozen] {
        must(north, Command::open(id(north), owner, NATIVE)).await;
    }
    let close = |owner, heir| Command {
        debit: owner,
        credit: heir,
        asset: NATIVE,
        ..of(north, Kind::Close)
    };
    must(north, close(closed, 0)).await;
    seen.one(north, pay(north, closed, ALICE, 100), Status::DebtorClosed).await;
    seen.one(north, pay(north, ALICE, closed, 100), Status::CreditorClosed).await;
    let freeze = Command { debit: frozen, asset: NATIVE, ..of(north, Kind::Freeze) };
    must(north, freeze).await;
    seen.one(north, pay(north, frozen, ALICE, 100), Status::DebtorFrozen).await;
    let hold = Command::hold(id(north), CAROL, BOB, NATIVE, 1_000, 0);
    must(north, hold).await;
    seen.one(north, close(CAROL, BOB), Status::OpenItems).await;
    must(north, Command::release(id(north), &hold)).await;
    must(admin, configure(admin, Parameter::CreditTotal, 1_000)).await;
    let limits = |credit: u128| Command {
        debit: poor,
        asset: NATIVE,
        reference: credit,
        ..of(admin, Kind::Limits)
    };
    seen.one(admin, limits(1_001), Status::CreditCap).await;
    must(admin, limits(500)).await;
    must(north, pay(north, poor, ALICE, 100)).await;
    let leave = Command { debit: poor, asset: NATIVE, ..of(north, Kind::Close) };
    seen.one(north, leave, Status::NegativeBalance).await;
}

async fn holds(seen: &mut Seen, world: &World) {
    let north = &world.north;
    let hold = Command::hold(id(north), ALICE, BOB, NATIVE, 1_000, 0);
    let nowhere = Command::capture(id(north), &hold, None);
    seen.one(north, nowhere, Status::HoldNotFound).await;
    must(north, hold).await;
    let thief = Command { credit: CAROL, ..Command::capture(id(north), &hold, None) };
    seen.one(north, thief, Status::HoldNotYours).await;
    let keep = Command { flags: flags::KEEP, ..Command::capture(id(north), &hold, Some(10)) };
    seen.one(north, keep, Status::KeepNotAllowed).await;
    let more = Command::capture(id(north), &hold, Some(1_001));
    seen.one(north, more, Status::HoldExceeded).await;
    must(north, Command::capture(id(north), &hold, None)).await;
    let eternal = Command::hold(id(north), ALICE, BOB, NATIVE, 1_000, u32::MAX);
    seen.one(north, eternal, Status::ExpiryBounds).await;
}

async fn amounts(seen: &mut Seen, world: &World) {
    let north = &world.north;
    for (amount, status) in [
        (0, Status::AmountZero),
        (1, Status::AmountBelowFee),
        (1 << 127, Status::AmountTooLarge),
        (1 << 126, Status::InsufficientFunds),
    ] {
        seen.one(north, pay(north, ALICE, BOB, amount), status).await;
    }
    let cheap = Command { value: 1, ..pay(north, ALICE, BOB, 100) };
    seen.one(north, cheap, Status::FeeAboveLimit).await;
    let admin = &world.admin;
    let base = configure(admin, Parameter::FeeBase, 1);
    seen.one(admin, base, Status::OutOfBounds).await;
    let shrink = configure(admin, Parameter::AccountsCapacity, 1_000);
    seen.one(admin, shrink, Status::CapacityShrinks).await;
}

async fn quotas(seen: &mut Seen, world: &World) {
    let (north, admin) = (&world.north, &world.admin);
    let limit = |amount| Command {
        credit: north.hello().principal,
        ..configure(admin, Parameter::HostDebitLimit, amount)
    };
    must(admin, limit(1)).await;
    seen.one(north, pay(north, ALICE, BOB, 100), Status::HostLimit).await;
    must(admin, limit(0)).await;
    must(north, pay(north, ALICE, BOB, 100)).await;
    for _ in 0..16 {
        must(admin, configure(admin, Parameter::FeeBase, 6_000)).await;
    }
    let another = configure(admin, Parameter::FeeBase, 6_000);
    seen.one(admin, another, Status::ChangesFull).await;
    let mut number = 3;
    loop {
        let slots = asset(admin, number);
        let status = admin.request(&slots).await.unwrap().outcomes()[0].status;
        if status != Status::Ok {
            break;
        }
        number += 1;
        assert!(number < 1_000, "the frame takes assets without end");
    }
    seen.legs(admin, &asset(admin, number), 0, Status::AssetsFull).await;
}

/// A frame with little room.
async fn small(seen: &mut Seen, way: &Way) {
    let frame = Frame::with(
        &[
            "--parameter",
            "accounts.capacity=16",
            "--parameter",
            "holds.capacity=3",
            "--parameter",
            "holds.per_debtor=2",
        ],
        &[],
    );
    let world = World::funded(frame, way).await;
    let north = &world.north;
    let hold = |debtor| Command::hold(id(north), debtor, CAROL, NATIVE, 1_000, 0);
    must(north, hold(ALICE)).await;
    must(north, hold(ALICE)).await;
    seen.one(north, hold(ALICE), Status::HoldsPerDebtor).await;
    must(north, hold(BOB)).await;
    seen.one(north, hold(BOB), Status::HoldsFull).await;
    let mut owner = NOBODY;
    while say(north, Command::open(id(north), owner, NATIVE)).await == Status::Ok {
        owner += 1;
        assert!(owner < NOBODY + 16, "sixteen accounts hold no more");
    }
    let one_more = Command::open(id(north), owner, NATIVE);
    seen.one(north, one_more, Status::AccountsFull).await;
}

/// A frame that remembers few ids.
async fn few_ids(seen: &mut Seen, way: &Way) {
    let arguments = [
        "--parameter",
        "ids.capacity=64",
        "--parameter",
        "ids.window_ms=86400000",
        "--parameter",
        "ids.min_window_ms=86400000",
    ];
    let world = World::funded(Frame::with(&arguments, &[]), way).await;
    let north = &world.north;
    for _ in 0..64 {
        if say(north, pay(north, ALICE, BOB, 100)).await == Status::Busy {
            break;
        }
    }
    seen.one(north, pay(north, ALICE, BOB, 100), Status::Busy).await;
}

/// A payment under a string key, with nothing checked in the settled history.
fn keyed(client: &Client, number: usize) -> [Command; 2] {
    let key = format!("order {number}");
    let id = CommandId(key::id(client.hello().principal, key.as_bytes()));
    let slots = data::encode(&[(TAG_KEY, key.as_bytes())]);
    let pay = Command::transfer(id, ALICE, BOB, NATIVE, 100);
    [Command { flags: flags::KEYED, data: 1, ..pay }, slots[0]]
}

/// A frame that remembers few keys, for a moment.
async fn few_keys(seen: &mut Seen, way: &Way) {
    let arguments = ["--parameter", "keys.capacity=64", "--parameter", "keys.window_ms=5000"];
    let frame = Frame::with(&arguments, &["settlement.history=full"]);
    let world = World::funded(frame, way).await;
    let north = &world.north;
    let many: Vec<Command> = (0..64).flat_map(|number| keyed(north, number)).collect();
    let reply = north.request(&many).await.unwrap();
    assert_eq!(reply.first_refusal(), None);
    seen.legs(north, &keyed(north, 64), 0, Status::KeysFull).await;
    // They are forgotten once they are settled and have had their time; then nobody can tell
    // whether a key is new without asking the history.
    while say_all(north, &keyed(north, 65)).await == Status::KeysFull {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    seen.legs(north, &keyed(north, 66), 0, Status::KeyUnchecked).await;
}

async fn say_all(client: &Client, slots: &[Command]) -> Status {
    let reply = client.request(slots).await.unwrap();
    reply.refused().unwrap_or_else(|| reply.outcomes()[0].status)
}

/// A frame whose units come from elsewhere; it also takes as many hosts as there can be.
async fn operator(seen: &mut Seen, way: &Way) {
    let world = World::new(Frame::with(&["--mode", "operator"], &[]), way).await;
    let (mint, admin) = (&world.mint, &world.admin);
    let open =
        |owner| Command { credit: owner | 1 << 100, ..Command::open(id(admin), owner, NATIVE) };
    must(admin, open(ALICE)).await;
    let issue = Command::issue(id(mint), ALICE, NATIVE, 1);
    seen.one(mint, issue, Status::MintDisabled).await;
    let opens: Vec<Command> = (1..=4_200).map(|at| open(ALICE + (at << 32))).collect();
    let reply = admin.request(&opens).await.unwrap();
    assert_eq!(reply.outcomes()[0].status, Status::Ok);
    assert_eq!(reply.outcomes()[4_199].status, Status::HostsFull);
    seen.one(admin, opens[4_199], Status::HostsFull).await;
}

/// Holds that are dead but whose timers have not fired: more are due than one record may fire.
async fn dead_holds(seen: &mut Seen, way: &Way) {
    const HOLDS: u128 = 80_000;
    let frame = Frame::with(&["--parameter", "holds.per_debtor=100000"], &[]);
    let world = World::funded(frame, way).await;
    let north = &world.north;
    // A slower machine needs longer to place them all before the first ends.
    for seconds in 8..20 {
        if let Some(status) = expire_at_once(north, HOLDS, seconds * 1_000).await {
            seen.0.insert(status);
            return;
        }
    }
    panic!("no capture arrived between the end of a hold and its timer");
}

/// Places many holds that end together and asks for the last one until its timer has fired.
async fn expire_at_once(north: &Client, count: u128, after_ms: u64) -> Option<Status> {
    let mut ids = north.ids();
    let end_ms = ids.next_id().unix_ms() + after_ms;
    let mut last = Command::default();
    let mut placed = 0;
    while placed < count {
        let batch: Vec<Command> = (0..8_000)
            .map(|_| {
                let id = ids.next_id();
                let timeout_ms = u32::try_from(end_ms.saturating_sub(id.unix_ms()).max(1)).unwrap();
                Command::hold(id, ALICE, BOB, NATIVE, 1_000, timeout_ms)
            })
            .collect();
        let reply = north.request(&batch).await.unwrap();
        assert!(reply.first_refusal().is_none(), "{:?}", reply.first_refusal());
        placed += 8_000;
        last = batch[7_999];
    }
    loop {
        // A rate that no hold has: the capture is refused while the hold lives.
        let capture = Command { value: 1, ..Command::capture(ids.next_id(), &last, None) };
        match say(north, capture).await {
            Status::FeeAboveLimit => {}
            Status::HoldExpired => return Some(Status::HoldExpired),
            Status::HoldNotFound => return None,
            other => panic!("{other}"),
        }
    }
}
