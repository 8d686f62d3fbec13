//! Who is connected to the doors, or was, and until when its certificate holds.
//!
//! It admits nobody: it is told of those who were admitted. Invariant: no more than [`GUESTS_MAX`]
//! are remembered, and those who are connected longest of all.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use identity::{Peer, Role};

use crate::limits::GUESTS_MAX;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Guest {
    pub(crate) role: Role,
    /// When the path that admitted its last connection ends, Unix seconds.
    pub(crate) not_after_s: u64,
    /// Connections now.
    pub(crate) connections: u32,
    /// When it connected last, journal time.
    pub(crate) connected_ns: u64,
    /// Which of all leavings was its last.
    left: u64,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Guests(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    rows: BTreeMap<Arc<str>, Guest>,
    /// Connections that ended.
    leavings: u64,
    /// Times that somebody was forgotten, or not noted for want of room.
    forgotten: u64,
}

impl Guests {
    /// Remembers `peer`, which is connected until what is returned is dropped.
    pub(crate) fn enter(self: &Arc<Self>, peer: &Peer, now_ns: u64) -> Presence {
        let guest = Guest {
            role: peer.principal().role,
            not_after_s: peer.not_after().as_secs(),
            connections: 0,
            connected_ns: now_ns,
            left: 0,
        };
        self.note(peer.spiffe_id().to_string().into(), guest)
    }

    fn note(self: &Arc<Self>, name: Arc<str>, guest: Guest) -> Presence {
        let mut book = self.book();
        let connections = book.rows.get(&name).map(|known| known.connections);
        if connections.is_none() && book.rows.len() >= GUESTS_MAX {
            book.forget_one();
        }
        // Beyond that many connections at once there is no room for another.
        let is_noted = connections.is_some() || book.rows.len() < GUESTS_MAX;
        if is_noted {
            let connections = connections.unwrap_or(0).saturating_add(1);
            book.rows.insert(Arc::clone(&name), Guest { connections, ..guest });
        } else {
            book.forgotten += 1;
        }
        drop(book);
        Presence { guests: Arc::clone(self), name: is_noted.then_some(name) }
    }

    /// Everybody who is remembered, by name, and how often somebody was forgotten.
    pub(crate) fn list(&self) -> (Vec<(Arc<str>, Guest)>, u64) {
        let book = self.book();
        let rows = book.rows.iter().map(|(name, guest)| (Arc::clone(name), *guest));
        (rows.collect(), book.forgotten)
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Forgets who has been gone for longest.
    fn forget_one(&mut self) {
        let gone = self.rows.iter().filter(|(_, guest)| guest.connections == 0);
        let oldest = gone.min_by_key(|(_, guest)| guest.left);
        if let Some(name) = oldest.map(|(name, _)| Arc::clone(name)) {
            self.rows.remove(&name);
            self.forgotten += 1;
        }
    }
}

/// A connection of somebody who is remembered.
#[derive(Debug)]
pub(crate) struct Presence {
    guests: Arc<Guests>,
    /// `None`: there was no room to remember it.
    name: Option<Arc<str>>,
}

impl Drop for Presence {
    fn drop(&mut self) {
        let mut book = self.guests.book();
        book.leavings += 1;
        let left = book.leavings;
        if let Some(guest) = self.name.as_ref().and_then(|name| book.rows.get_mut(name)) {
            guest.connections = guest.connections.saturating_sub(1);
            guest.left = left;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(now_ns: u64) -> Guest {
        let (role, not_after_s) = (Role::Agent, now_ns + 9);
        Guest { role, not_after_s, connections: 0, connected_ns: now_ns, left: 0 }
    }

    #[test]
    fn who_comes_twice_is_one_guest_with_two_connections() {
        let guests = Arc::<Guests>::default();
        let first = guests.note("spiffe://a/agent/b".into(), guest(1));
        let second = guests.note("spiffe://a/agent/b".into(), guest(2));
        let (rows, _) = guests.list();
        assert_eq!(rows.len(), 1);
        assert_eq!(rows[0].1, Guest { connections: 2, ..guest(2) });
        drop((first, second));
        assert_eq!(guests.list().0[0].1.connections, 0, "it is remembered when it is gone");
    }

    #[test]
    fn who_is_gone_longest_makes_room_and_who_is_connected_stays() {
        let guests = Arc::<Guests>::default();
        let name = |number: usize| format!("spiffe://a/agent/{number:05}").into();
        let at = |number: usize| guest(u64::try_from(number).unwrap());
        let mut present: Vec<_> =
            (0..GUESTS_MAX).map(|number| guests.note(name(number), at(number))).collect();
        drop(guests.note(name(GUESTS_MAX), at(GUESTS_MAX)));
        let (rows, forgotten) = guests.list();
        assert_eq!((rows.len(), forgotten), (GUESTS_MAX, 1), "everybody is connected");
        // The one that came first has left last.
        drop(present.remove(4));
        drop(present.remove(3));
        drop(guests.note(name(GUESTS_MAX), at(GUESTS_MAX)));
        let (rows, forgotten) = guests.list();
        assert_eq!((rows.len(), forgotten), (GUESTS_MAX, 2));
        let is_there = |number| rows.iter().any(|(known, _)| *known == name(number));
        assert_eq!([3, 4, GUESTS_MAX].map(is_there), [true, false, true]);
    }
}
