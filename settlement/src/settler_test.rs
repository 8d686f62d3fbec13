//! The state machine by table. What it does with real failures in random order is in
//! `tests/settlement/exactly_once.rs`.

use protocol::cut::{AccountRow, AccountRows, LiquidRow};

use super::*;

const FRAME: u128 = 7;

fn settings() -> Settings {
    Settings::new(FRAME, 3, true, Sequence(0))
}

fn cut(after: u64, through: u64, complete: bool) -> Box<Cut> {
    Box::new(Cut {
        frame: FRAME,
        epoch: 3,
        after: Sequence(after),
        through: Sequence(through),
        complete,
        timestamp: through,
        chain_hash: [u8::try_from(through).unwrap(); 32],
        run_digest: [1; 16],
        accounts: AccountRows::default(),
        supply: Vec::new(),
        effects: Effects::All(Vec::new()),
    })
}

fn watermark(through: u64) -> Watermark {
    Watermark::of(&cut(0, through, true))
}

fn found(stored: Option<Watermark>, confirmation: Confirmation) -> Input {
    Input::Watermark { stored, confirmation }
}

/// A settler that has read `stored` and is idle.
fn idle(settings: Settings, stored: Option<Watermark>) -> Settler {
    let mut settler = Settler::new(settings);
    assert_eq!(settler.step(0, Input::Tick), [Action::Connect]);
    assert_eq!(settler.step(0, Input::Connected), [Action::ReadWatermark]);
    settler.step(0, found(stored, Confirmation::Same));
    settler
}

/// A settler that has committed through `through`, at time 0.
fn settled(through: u64) -> Settler {
    let mut settler = idle(settings(), None);
    settler.step(0, Input::Tick);
    settler.step(0, Input::Cut(cut(0, through, true)));
    settler.step(0, Input::Committed);
    settler
}

fn commit(expected: Option<u64>, after: u64, effects: EffectsFrom) -> Action {
    Action::Commit { expected: expected.map(watermark), after: Sequence(after), effects }
}

#[test]
fn the_first_cut_holds_every_account_and_later_ones_follow_every_100_ms() {
    let mut settler = idle(settings(), None);
    let complete = |complete| [Action::RequestCut { complete }];
    assert_eq!(settler.step(150, Input::Tick), complete(true));
    assert_eq!(settler.step(160, Input::Tick), [], "one cut at a time");
    let first = settler.step(170, Input::Cut(cut(0, 5, true)));
    assert_eq!(first, [commit(None, 0, EffectsFrom::Cut)]);
    assert_eq!(settler.step(400, Input::Tick), [], "late: nothing is piled up");
    let done = settler.step(410, Input::Committed);
    assert_eq!(done, [Action::Settled(watermark(5))]);
    assert_eq!(settler.fresh_at_ms(), Some(150));
    assert_eq!(settler.step(410, Input::Tick), complete(false));
    let second = settler.step(411, Input::Cut(cut(5, 9, false)));
    assert_eq!(second, [commit(Some(5), 5, EffectsFrom::Cut)]);
    settler.step(420, Input::Committed);
    assert_eq!(settler.step(509, Input::Tick), []);
    assert_eq!(settler.step(510, Input::Tick), complete(false));
}

#[test]
fn a_cut_without_news_is_not_committed_but_renews_the_lag() {
    let mut settler = settled(5);
    settler.step(100, Input::Tick);
    assert_eq!(settler.step(101, Input::Cut(cut(5, 5, false))), []);
    assert_eq!(settler.fresh_at_ms(), Some(100));
}

#[test]
fn a_cut_that_ends_in_a_predecessors_record_carries_the_leaders_epoch() {
    let leader = Settings { epoch: 4, ..settings() };
    let mut settler = idle(leader, Some(watermark(5)));
    settler.step(100, Input::Tick);
    settler.step(100, Input::Cut(cut(0, 9, true)));
    assert_eq!(settler.pending().map(|cut| cut.epoch), Some(4), "it fences the predecessor");
}

#[test]
fn an_idle_frame_reads_the_watermark_every_5_s() {
    let mut settler = settled(5);
    settler.step(4_999, Input::Tick);
    assert_eq!(settler.step(4_999, Input::Cut(cut(5, 5, false))), []);
    settler.step(5_099, Input::Tick);
    let read = [Action::ReadWatermark];
    assert_eq!(settler.step(5_100, Input::Cut(cut(5, 5, false))), read);
    let actions = settler.step(5_100, found(Some(watermark(3)), Confirmation::Same));
    assert_eq!(actions.first(), Some(&Action::Alarm(Alarm::Behind)));
    let complete = [Action::RequestCut { complete: true }];
    assert_eq!(settler.step(5_200, Input::Tick), complete);
}

#[test]
fn a_lost_commit_is_decided_by_the_watermark_alone() {
    for committed in [false, true] {
        let mut settler = settled(5);
        settler.step(100, Input::Tick);
        settler.step(100, Input::Cut(cut(5, 9, false)));
        assert_eq!(settler.step(100, Input::Failed(Class::Moved)), []);
        assert_eq!(settler.step(149, Input::Tick), [], "backoff");
        assert_eq!(settler.step(150, Input::Tick), [Action::Connect]);
        settler.step(150, Input::Connected);
        let (stored, then) =
            if committed { (9, None) } else { (5, Some(commit(Some(5), 5, EffectsFrom::Cut))) };
        // What this settler wrote itself needs no word of the journal.
        let actions = settler.step(150, found(Some(watermark(stored)), Confirmation::Different));
        let mut wanted = vec![Action::Settled(watermark(stored))];
        wanted.extend(then);
        assert_eq!(actions, wanted);
    }
}

#[test]
fn waits_double_up_to_the_limit_and_start_anew_after_a_batch() {
    let mut settler = settled(5);
    settler.step(100, Input::Tick);
    settler.step(100, Input::Cut(cut(5, 9, false)));
    settler.step(100, Input::Failed(Class::Retry));
    let mut now_ms = 100;
    let mut waits = Vec::new();
    for _ in 0..9 {
        let due_ms = settler.wake_at_ms().unwrap();
        waits.push(due_ms - now_ms);
        now_ms = due_ms;
        assert_eq!(settler.step(now_ms, Input::Tick), [Action::Connect]);
        settler.step(now_ms, Input::Failed(Class::Retry));
    }
    assert_eq!(waits, [50, 100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000]);
    now_ms = settler.wake_at_ms().unwrap();
    settler.step(now_ms, Input::Tick);
    settler.step(now_ms, Input::Connected);
    settler.step(now_ms, found(Some(watermark(5)), Confirmation::Same));
    settler.step(now_ms, Input::Committed);
    settler.step(now_ms + 100, Input::Tick);
    settler.step(now_ms + 100, Input::Cut(cut(9, 10, false)));
    settler.step(now_ms + 100, Input::Failed(Class::Retry));
    assert_eq!(settler.wake_at_ms(), Some(now_ms + 150));
}

#[test]
fn an_older_database_alarms_and_gets_a_complete_cut_with_effects_from_the_journal() {
    for older in [Some(watermark(3)), None] {
        let through = older.as_ref().map(|older| older.through().0);
        let mut settler = settled(5);
        settler.step(100, Input::Tick);
        settler.step(100, Input::Cut(cut(5, 9, false)));
        settler.step(100, Input::Failed(Class::Moved));
        settler.step(150, Input::Tick);
        settler.step(150, Input::Connected);
        let actions = settler.step(150, found(older.clone(), Confirmation::Same));
        assert_eq!(actions.first(), Some(&Action::Alarm(Alarm::Behind)));
        assert!(!actions.iter().any(|action| matches!(action, Action::Commit { .. })));
        let complete = [Action::RequestCut { complete: true }];
        assert_eq!(settler.step(200, Input::Tick), complete);
        let actions = settler.step(200, Input::Cut(cut(9, 12, true)));
        let wanted = commit(through, through.unwrap_or(0), EffectsFrom::Journal);
        assert_eq!(actions, [wanted]);
    }
}

#[test]
fn a_database_older_than_the_journal_remembers_alarms_at_start() {
    let remembers = Settings { seen: Sequence(8), ..settings() };
    let mut settler = Settler::new(remembers);
    settler.step(0, Input::Tick);
    settler.step(0, Input::Connected);
    let actions = settler.step(0, found(Some(watermark(3)), Confirmation::Same));
    assert_eq!(actions, [Action::Alarm(Alarm::Behind), Action::Settled(watermark(3))]);
}

#[test]
fn a_wrong_database_stops_settlement_before_anything_is_written() {
    let foreign = Watermark { frame: 8, ..watermark(3) };
    let newer = Watermark { epoch: 4, ..watermark(3) };
    let cases = [
        (foreign, Confirmation::Same, Stop::Foreign),
        (newer, Confirmation::Same, Stop::Fenced),
        (watermark(3), Confirmation::Ahead, Stop::Ahead),
        (watermark(3), Confirmation::Different, Stop::Diverged),
        (watermark(3), Confirmation::TooOld, Stop::JournalTooShort),
    ];
    for (stored, confirmation, stop) in cases {
        let mut settler = Settler::new(settings());
        settler.step(0, Input::Tick);
        settler.step(0, Input::Connected);
        let actions = settler.step(0, found(Some(stored), confirmation));
        assert_eq!(actions, [Action::Stop(stop)]);
        assert_eq!(settler.step(9_999, Input::Tick), [], "for good");
    }
}

#[test]
fn failures_that_time_cannot_heal_stop_and_those_that_a_person_can_alarm() {
    let cases = [
        (Class::Fenced, Action::Stop(Stop::Fenced)),
        (Class::Foreign, Action::Stop(Stop::Foreign)),
        (Class::Schema, Action::Stop(Stop::Schema)),
        (Class::HistoryTooShort, Action::Stop(Stop::JournalTooShort)),
        (Class::Settings, Action::Alarm(Alarm::Settings)),
        (Class::Refused, Action::Alarm(Alarm::Refused)),
        (Class::HistoryUnread, Action::Alarm(Alarm::HistoryUnread)),
    ];
    for (class, wanted) in cases {
        let mut settler = Settler::new(settings());
        settler.step(0, Input::Tick);
        assert_eq!(settler.step(0, Input::Failed(class)), [wanted]);
    }
}

#[test]
fn a_transaction_of_a_killed_process_that_lands_late_is_adopted() {
    // The old process sent COMMIT through 8 and died; the new one read 5 first, then collided.
    let mut settler = idle(settings(), Some(watermark(5)));
    settler.step(100, Input::Tick);
    settler.step(100, Input::Cut(cut(0, 9, true)));
    settler.step(100, Input::Failed(Class::Moved));
    settler.step(150, Input::Tick);
    settler.step(150, Input::Connected);
    let actions = settler.step(150, found(Some(watermark(8)), Confirmation::Same));
    let again = commit(Some(8), 8, EffectsFrom::Cut);
    assert_eq!(actions, [Action::Settled(watermark(8)), again]);
}

#[test]
fn effects_come_from_the_journal_when_the_cut_lacks_them() {
    for (effects, history, wanted) in [
        (Effects::Rebuild, true, EffectsFrom::Journal),
        (Effects::Off, true, EffectsFrom::Journal),
        (Effects::Off, false, EffectsFrom::Nowhere),
        (Effects::All(Vec::new()), false, EffectsFrom::Nowhere),
    ] {
        let chosen = Settings { history, ..settings() };
        let mut settler = idle(chosen, None);
        settler.step(100, Input::Tick);
        let mut first = cut(0, 5, true);
        first.effects = effects;
        assert_eq!(settler.step(100, Input::Cut(first)), [commit(None, 0, wanted)]);
    }
}

#[test]
fn a_drain_settles_one_last_cut_or_gives_up_at_its_deadline() {
    let drain = || Input::Drain { deadline_ms: 1_000 };
    let mut settler = settled(5);
    let asked = settler.step(10, drain());
    assert_eq!(asked, [Action::RequestCut { complete: false }]);
    settler.step(11, Input::Cut(cut(5, 9, false)));
    settler.step(12, Input::Committed);
    assert_eq!(settler.step(12, Input::Tick), [Action::Stop(Stop::Drained)]);

    // A cut already under way may lack the last commands: one more follows it.
    let mut settler = settled(5);
    settler.step(100, Input::Tick);
    assert_eq!(settler.step(101, drain()), []);
    settler.step(102, Input::Cut(cut(5, 9, false)));
    settler.step(103, Input::Committed);
    let asked = settler.step(103, Input::Tick);
    assert_eq!(asked, [Action::RequestCut { complete: false }]);
    settler.step(104, Input::Cut(cut(9, 9, false)));
    assert_eq!(settler.step(104, Input::Tick), [Action::Stop(Stop::Drained)]);

    let mut settler = settled(5);
    settler.step(100, Input::Tick);
    settler.step(100, Input::Cut(cut(5, 9, false)));
    settler.step(100, Input::Failed(Class::Retry));
    settler.step(101, drain());
    let stop = [Action::Stop(Stop::DrainDeadline)];
    assert_eq!(settler.step(1_000, Input::Tick), stop);
}

#[test]
fn the_rows_of_a_cut_reach_the_database_in_order() {
    let row = |(owner, asset, held)| AccountRow {
        held,
        ..LiquidRow { owner, asset, host: 1, liquid: 5 }.into()
    };
    let mut settler = settled(5);
    settler.step(100, Input::Tick);
    let cut_rows = [(3, 1, 0), (4, 2, 9), (1, 2, 0), (2, 1, 0), (4, 1, 9), (1, 1, 0)];
    let accounts = cut_rows.map(row).into_iter().collect();
    settler.step(100, Input::Cut(Box::new(Cut { accounts, ..*cut(5, 9, false) })));
    let sorted = [(1, 1, 0), (1, 2, 0), (2, 1, 0), (3, 1, 0), (4, 1, 9), (4, 2, 9)].map(row);
    let pending: Vec<_> = settler.pending().unwrap().accounts.iter().collect();
    assert_eq!(pending, sorted);
}

#[test]
fn a_cut_nobody_asked_for_makes_the_next_one_complete() {
    let mut settler = settled(5);
    assert_eq!(settler.step(50, Input::Cut(cut(5, 6, false))), []);
    let complete = [Action::RequestCut { complete: true }];
    assert_eq!(settler.step(100, Input::Tick), complete);
}

/// A database that loses a watermark at sequence 0 is no older by its sequence; the accounts that
/// the genesis made were then missing in it for ever.
#[test]
fn an_emptied_database_is_filled_by_a_complete_cut_even_from_sequence_0() {
    let mut settler = settled(0);
    settler.step(100, Input::Tick);
    let second = settler.step(101, Input::Cut(cut(0, 4, false)));
    assert_eq!(second, [commit(Some(0), 0, EffectsFrom::Cut)]);
    settler.step(102, Input::Failed(Class::Moved));
    settler.step(1_000, Input::Tick);
    settler.step(1_000, Input::Connected);
    let adopted = settler.step(1_000, found(None, Confirmation::Same));
    assert_eq!(adopted, [Action::Alarm(Alarm::Behind)], "the cut is dropped");
    assert_eq!(settler.step(1_000, Input::Tick), [Action::RequestCut { complete: true }]);
    let whole = settler.step(1_001, Input::Cut(cut(4, 5, true)));
    assert_eq!(whole, [commit(None, 0, EffectsFrom::Journal)]);
}

/// A settler whose commits may take a quarter of the time, settled through 5 at time 0.
fn paced(history: bool) -> Settler {
    let pace = Pace { share_max_percent: 25, stretched_max_ms: 1_000, ..Pace::STEADY };
    let mut settler = idle(Settings { pace, history, ..settings() }, None);
    settler.step(0, Input::Tick);
    settler.step(0, Input::Cut(cut(0, 5, true)));
    settler.step(0, Input::Committed);
    settler
}

#[test]
fn the_next_cut_waits_until_a_slow_commit_has_had_no_more_than_its_share() {
    let mut settler = paced(false);
    let asked = [Action::RequestCut { complete: false }];
    assert_eq!(settler.step(100, Input::Tick), asked);
    settler.step(101, Input::Cut(cut(5, 9, false)));
    settler.step(161, Input::Committed);
    assert_eq!((settler.interval_ms(), settler.wake_at_ms()), (240, Some(341)));
    assert_eq!(settler.step(340, Input::Tick), []);
    assert_eq!(settler.step(341, Input::Tick), asked);
    // Quick again: so is the next cut.
    settler.step(342, Input::Cut(cut(9, 12, false)));
    settler.step(350, Input::Committed);
    assert_eq!((settler.interval_ms(), settler.wake_at_ms()), (100, Some(441)));
}

#[test]
fn beyond_the_bound_nothing_is_stretched_further() {
    let mut settler = paced(false);
    settler.step(100, Input::Tick);
    settler.step(100, Input::Cut(cut(5, 9, false)));
    settler.step(3_000, Input::Committed);
    assert_eq!(settler.interval_ms(), 1_000);
    assert_eq!(settler.step(3_000, Input::Tick), [Action::RequestCut { complete: false }]);
    // A cut without news costs nothing.
    settler.step(3_001, Input::Cut(cut(9, 9, false)));
    assert_eq!((settler.interval_ms(), settler.wake_at_ms()), (100, Some(3_100)));
}

#[test]
fn a_drain_waits_for_no_stretched_interval() {
    let mut settler = paced(false);
    settler.step(100, Input::Tick);
    settler.step(100, Input::Cut(cut(5, 9, false)));
    settler.step(300, Input::Committed);
    assert_eq!(settler.wake_at_ms(), Some(900));
    let drained = settler.step(310, Input::Drain { deadline_ms: 9_000 });
    assert_eq!(drained, [Action::RequestCut { complete: false }]);
}

#[test]
fn only_the_attempt_that_succeeds_counts() {
    let mut settler = paced(false);
    settler.step(100, Input::Tick);
    settler.step(100, Input::Cut(cut(5, 9, false)));
    settler.step(5_000, Input::Failed(Class::Retry));
    settler.step(5_050, Input::Tick);
    settler.step(5_050, Input::Connected);
    settler.step(5_050, found(Some(watermark(5)), Confirmation::Same));
    settler.step(5_080, Input::Committed);
    assert_eq!((settler.interval_ms(), settler.wake_at_ms()), (120, Some(5_170)));
}

#[test]
fn postings_are_not_held_back() {
    let mut settler = paced(true);
    settler.step(100, Input::Tick);
    settler.step(100, Input::Cut(cut(5, 9, false)));
    settler.step(300, Input::Committed);
    assert_eq!((settler.interval_ms(), settler.wake_at_ms()), (100, Some(200)));
}
