//! The tail against a list of everything.

use protocol::effect::{Effect, Event};
use protocol::feed::{Followed, Place};

use super::*;

fn paid(sequence: u64, leg: u16, debit: OwnerId, credit: OwnerId) -> Followed {
    let event = Event::TokensTransferred.number();
    Followed {
        effect: Effect { sequence, leg, event, asset: 1, debit, credit, ..Effect::default() },
        ..Followed::default()
    }
}

/// Payments among seven owners, two legs each.
fn story(count: u64) -> Vec<Followed> {
    let one = |n: u64| {
        let (debit, credit) = (u128::from(n % 7), u128::from(n * n % 7));
        [paid(n, 0, debit, credit), paid(n, 1, debit, 100)]
    };
    (1..=count).flat_map(one).collect()
}

#[test]
fn each_follower_gets_what_its_filter_takes_from_any_place() {
    let story = story(50);
    let mut tail = Tail::new(1_000);
    tail.watch(3);
    tail.watch(5);
    tail.append(&story[..40], |_| ());
    tail.append(&story[40..], |_| ());
    tail.raise(50);
    for whose in [Whose::All, Whose::Owner(3), Whose::Owner(5)] {
        let filter = Filter::of(whose);
        for start in [Place::default(), Place::of(7, 0), Place::after(7), Place::after(50)] {
            let (mut place, mut got) = (start, Vec::new());
            loop {
                let next = tail.collect(&filter, place, 3, &mut got);
                if next == place {
                    break;
                }
                place = next;
            }
            let wanted = story.iter().filter(|one| one.place() > start && filter.takes(one));
            assert_eq!(got, wanted.copied().collect::<Vec<_>>(), "{whose:?} behind {start}");
        }
    }
}

#[test]
fn a_full_tail_drops_the_oldest_and_says_so() {
    let story = story(50);
    let mut tail = Tail::new(11);
    tail.watch(4);
    for one in story.chunks(3) {
        tail.append(one, |_| ());
    }
    // Eleven of a hundred: the last five payments, and one leg of the sixth.
    assert_eq!(tail.floor_of(Whose::All), 45);
    let mut got = Vec::new();
    tail.collect(&Filter::of(Whose::Owner(4)), Place::after(45), 99, &mut got);
    let wanted: Vec<_> =
        story.iter().filter(|one| one.effect.sequence > 45 && one.concerns(4)).collect();
    assert_eq!(got.iter().collect::<Vec<_>>(), wanted);
    assert!(!got.is_empty());
    assert_eq!(tail.entries.capacity(), 11, "it takes what it was allowed and no more");
}

/// Above some tens of thousands of effects a second a tail lasts for seconds: an owner to whom
/// nothing happens must not lose its place for what happens to others.
#[test]
fn what_others_do_takes_nothing_from_an_owner() {
    let mut tail = Tail::new(10);
    for owner in [8, 9] {
        tail.watch(owner);
    }
    tail.append(&[paid(1, 0, 8, 1), paid(2, 0, 1, 9)], |_| ());
    for n in 3..=11 {
        tail.append(&[paid(n, 0, 1, 2)], |_| ());
    }
    tail.raise(11);
    let floors = |tail: &Tail| {
        [Whose::All, Whose::Owner(8), Whose::Owner(9), Whose::Owner(1)].map(|it| tail.floor_of(it))
    };
    // The first effect was dropped, and with it what the first owner had.
    assert_eq!(floors(&tail), [1, 1, 0, 1]);
    let mut got = Vec::new();
    tail.collect(&Filter::of(Whose::Owner(9)), Place::after(0), 99, &mut got);
    assert_eq!(got, [paid(2, 0, 1, 9)]);
    // What never came may have been anybody's.
    tail.leave_out(5);
    tail.append(&[paid(12, 0, 9, 1)], |_| ());
    assert_eq!(floors(&tail), [5, 5, 5, 5]);
}

#[test]
fn what_was_left_out_is_not_taken_for_complete() {
    let story = story(10);
    let mut tail = Tail::new(100);
    tail.watch(3);
    tail.append(&story[..6], |_| ());
    tail.append(&story[16..], |_| ());
    tail.leave_out(8);
    tail.raise(10);
    assert_eq!((tail.floor_of(Whose::All), tail.through()), (8, 10));
    let mut got = Vec::new();
    tail.collect(&Filter::of(Whose::All), Place::after(8), 99, &mut got);
    assert_eq!(got, story[16..]);
}

#[test]
fn those_whose_effects_come_are_named() {
    let mut tail = Tail::new(100);
    tail.watch(3);
    tail.watch(100);
    let mut named = Vec::new();
    tail.append(&[paid(1, 0, 3, 3), paid(1, 1, 3, 100), paid(2, 0, 4, 5)], |it| named.push(it));
    assert_eq!(named, [3, 3, 100]);
    tail.unwatch(3);
    named.clear();
    tail.append(&[paid(3, 0, 3, 100)], |it| named.push(it));
    assert_eq!(named, [100]);
}
