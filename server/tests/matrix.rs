//! Every cell of the table of authority over a real frame: role by kind by how the caller stands
//! to what it names. `not_found` is answered exactly where the table says no.

#[path = "../../engine/tests/scene.rs"]
mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use client::{Command, Status};
use identity::{DevCa, TrustDomain, UnixTime};
use protocol::{Kind, Role};
use tokio::task::JoinSet;

use self::scene::{PEOPLE, Person, Scene};
use crate::books;
use crate::door::{Door, Quic};
use crate::frame::Frame;
use crate::https_door::{Https, Kinds};

const HOUR: Duration = Duration::from_secs(3_600);

/// Which kind, by which role, and whether the table allows it.
type Cells = BTreeSet<(Kind, Role, bool)>;

/// The name in a certificate of one of [`PEOPLE`]: agents are UUIDs.
fn name_of(name: &str, role: Role) -> String {
    match (role, PEOPLE.iter().position(|(found, _)| *found == name)) {
        (Role::Agent, Some(at)) => format!("01900000-0000-7000-8000-0000000000a{at}"),
        _ => name.to_owned(),
    }
}

/// The tool issues no identity for another frame; the authority does.
fn foreign_frame(frame: &Frame) {
    let domain = TrustDomain::parse("frame.test").unwrap();
    let now = UnixTime::now();
    let ca = DevCa::open_or_create(&frame.home.data_dir.join("identity/ca"), &domain, now);
    let svid = ca.unwrap().issue(identity::Role::Peer, "abroad", HOUR, now).unwrap();
    svid.write_to(&frame.home.identity("abroad")).unwrap();
}

/// Arranges the scene with everybody at a door, and walks every cell; the walk changes nothing.
async fn walk<D: Door>(doors: BTreeMap<&'static str, D>, unix_ms: u64) -> Cells {
    let mut scene = Scene::new(unix_ms, |name, _| doors[name].principal());
    for (name, command) in scene.making() {
        let status = doors[name].execute(&[command]).await;
        assert_eq!(status, Status::Ok, "{name}: {command:?}");
    }
    let commands: Arc<[Vec<Command>]> = scene.commands().into();
    let scene = Arc::new(scene);
    let mut walks = JoinSet::new();
    for (name, door) in doors {
        let person = scene.people.iter().find(|person| person.name == name);
        let person = *person.unwrap();
        let (scene, commands) = (Arc::clone(&scene), Arc::clone(&commands));
        walks.spawn(async move { walk_as(&door, &person, &scene, &commands).await });
    }
    walks.join_all().await.into_iter().flatten().collect()
}

async fn walk_as(
    door: &impl Door,
    person: &Person,
    scene: &Scene,
    commands: &[Vec<Command>],
) -> Cells {
    let mut cells = Cells::new();
    for slots in commands {
        let command = &slots[0];
        let is_allowed = scene.permits(person, command);
        let status = door.execute(slots).await;
        assert_eq!(status != Status::NotFound, is_allowed, "{status}: {person:?} {command:?}");
        assert!(status.is_ok() || status >= Status::NotFound, "{status}: {command:?}");
        cells.insert((Kind::try_from(command.kind).unwrap(), person.role, is_allowed));
    }
    cells
}

/// Every cell that a certificate can reach was walked, on both sides where it has two.
fn is_complete(cells: &Cells) {
    for kind in Kind::ALL.into_iter().filter(|kind| !kind.is_internal()) {
        for role in Role::ALL.into_iter().filter(|role| *role != Role::Engine) {
            let rules: Vec<_> = engine::authority::rules(kind)
                .iter()
                .filter(|rule| rule.roles.contains(&role))
                .collect();
            let is_certain = rules.iter().any(|rule| rule.needs.is_empty());
            assert_eq!(cells.contains(&(kind, role, true)), !rules.is_empty(), "{kind:?} {role:?}");
            assert_eq!(cells.contains(&(kind, role, false)), !is_certain, "{kind:?} {role:?}");
        }
    }
}

/// Walks every cell with everybody at a door that `open` makes.
fn walk_all<D: Door>(open: impl AsyncFn(&Frame, &str, &str) -> D) {
    books::run(async {
        let mut frame = Frame::new();
        frame.start();
        let mut doors = BTreeMap::new();
        let mut unix_ms = 0;
        foreign_frame(&frame);
        for (name, role) in PEOPLE {
            let client = frame.client(role.name(), &name_of(name, role)).await;
            assert_eq!(client.hello().role, role as u16, "{name}");
            unix_ms = client.ids().next_id().unix_ms();
            doors.insert(name, open(&frame, role.name(), &name_of(name, role)).await);
        }
        is_complete(&walk(doors, unix_ms).await);
        frame.stop();
        frame.is_sound();
    });
}

#[test]
fn every_cell_answers_as_the_table_says_over_quic() {
    walk_all(async |frame, role, name| Quic(frame.client(role, name).await));
}

#[test]
fn every_cell_answers_as_the_table_says_over_https() {
    walk_all(async |frame, role, name| Https::open(frame, role, name, None).await);
}

#[test]
fn every_cell_answers_as_the_table_says_as_json() {
    let kinds = Kinds::default();
    walk_all(async |frame, role, name| {
        Https::open(frame, role, name, Some(Arc::clone(&kinds))).await
    });
    let mut missing: Vec<_> = Kind::ALL.into_iter().filter(|kind| !kind.is_internal()).collect();
    missing.retain(|kind| !kinds.lock().unwrap().contains(kind));
    // The scene's pays nobody, which JSON cannot say; the walk over every status says another.
    assert_eq!(missing, [Kind::SystemTransfer], "JSON has words for every kind");
}
