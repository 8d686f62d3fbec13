//! The thread body: carries out what the [`Settler`] decides with a [`Sink`], a [`History`] and
//! cuts that arrive through a [`Handle`]. It may block on the database; nobody waits for it.
//!
//! It decides nothing itself and reads no clock but the one it is given.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError};
use std::time::Duration;

use protocol::Sequence;
use protocol::cut::{Cut, Effects};
use protocol::effect::{Effect, TIMER_LEG};
use tracing::field::Empty;

use crate::cast::{count, signed};
use crate::history::{Confirmation, EffectWriter, History};
use crate::settler::{Action, EffectsFrom, Input, Settings, Settler};
use crate::sink::{Batch, EffectSource, Sink, SinkError};
use crate::status::Status;
use crate::verdict::{Alarm, Stop, judge};
use crate::watermark::{Watermark, settled_through};

/// Longest sleep, so that a clock which stands still cannot stop settlement for good.
const SLEEP_MAX_MS: u64 = 1_000;

enum Message {
    Cut(Box<Cut>),
    Drain { deadline_ms: u64 },
    EngineGone,
}

/// The senders' end: the engine's side delivers cuts, the server asks to drain.
#[derive(Clone, Debug)]
pub struct Handle {
    sender: Sender<Message>,
}

/// The runner's end.
#[derive(Debug)]
pub struct Inbox {
    receiver: Receiver<Message>,
}

/// Makes the two ends. At most one cut and a few orders are ever in between, since the runner asks
/// for one cut at a time.
pub fn channel() -> (Handle, Inbox) {
    let (sender, receiver) = std::sync::mpsc::channel();
    (Handle { sender }, Inbox { receiver })
}

impl Handle {
    /// Delivers the cut that was asked for. `false` when settlement has ended.
    pub fn deliver(&self, cut: Cut) -> bool {
        self.sender.send(Message::Cut(Box::new(cut))).is_ok()
    }

    /// Asks for one last cut, its commit, and the end; gives up at `deadline_ms` by the runner's
    /// clock.
    pub fn drain(&self, deadline_ms: u64) {
        // A runner that has ended has nothing left to drain.
        let _ = self.sender.send(Message::Drain { deadline_ms });
    }

    /// Says that no further cut will come.
    pub fn engine_gone(&self) {
        let _ = self.sender.send(Message::EngineGone);
    }
}

/// What the server lends the runner.
pub trait Hooks {
    /// Milliseconds by any monotonic clock; [`Status::lag_ms`] and drains use the same.
    fn now_ms(&mut self) -> u64;

    /// Nanoseconds by the same clock: how long a commit took, nothing else.
    fn now_ns(&mut self) -> u64;

    /// Asks the engine for a cut, to come through [`Handle::deliver`]. Must not block.
    fn request_cut(&mut self, complete: bool);

    /// Everything through this watermark is settled.
    fn settled(&mut self, watermark: &Watermark);
}

/// Settlement of one frame into one database.
#[derive(Debug)]
pub struct Runner<S, J, K> {
    settler: Settler,
    sink: S,
    history: J,
    hooks: K,
    status: Arc<Status>,
}

impl<S: Sink, J: History, K: Hooks> Runner<S, J, K> {
    /// A runner that has not connected yet.
    pub const fn new(
        settings: Settings,
        sink: S,
        history: J,
        hooks: K,
        status: Arc<Status>,
    ) -> Self {
        Self { settler: Settler::new(settings), sink, history, hooks, status }
    }

    /// Settles until asked to drain, until the engine is gone, or until the database turns out not
    /// to be this journal's.
    pub fn run(&mut self, inbox: &Inbox) -> Stop {
        loop {
            if let Some(stop) = self.turn(inbox) {
                return stop;
            }
            let now_ms = self.hooks.now_ms();
            let wait_ms = self
                .settler
                .wake_at_ms()
                .map_or(SLEEP_MAX_MS, |wake_at_ms| wake_at_ms.saturating_sub(now_ms))
                .clamp(1, SLEEP_MAX_MS);
            let input = match inbox.receiver.recv_timeout(Duration::from_millis(wait_ms)) {
                Ok(message) => message.into(),
                Err(RecvTimeoutError::Timeout) => Input::Tick,
                Err(RecvTimeoutError::Disconnected) => Input::EngineGone,
            };
            if let Some(stop) = self.feed(input) {
                return stop;
            }
        }
    }

    /// Does everything that can be done now, without sleeping.
    pub fn turn(&mut self, inbox: &Inbox) -> Option<Stop> {
        loop {
            let input = match inbox.receiver.try_recv() {
                Ok(message) => message.into(),
                Err(TryRecvError::Disconnected) => Input::EngineGone,
                Err(TryRecvError::Empty) => return self.feed(Input::Tick),
            };
            if let Some(stop) = self.feed(input) {
                return Some(stop);
            }
        }
    }

    /// The sink, for tests and for reading back after the end.
    pub const fn sink(&mut self) -> &mut S {
        &mut self.sink
    }

    /// Steps the machine with `input` and with every answer that follows from it.
    fn feed(&mut self, input: Input) -> Option<Stop> {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            let now_ms = self.hooks.now_ms();
            let actions = self.settler.step(now_ms, input);
            // Before they are carried out: what fails then is newer.
            self.status.set_fresh_at(self.settler.fresh_at_ms());
            self.status.set_interval(self.settler.interval_ms());
            for action in actions {
                if let Action::Stop(stop) = action {
                    self.end(stop);
                    return Some(stop);
                }
                inputs.extend(self.perform(action));
            }
        }
        None
    }

    fn perform(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Connect => Some(match self.sink.connect() {
                Ok(()) => Input::Connected,
                Err(error) => self.failed(&error),
            }),
            Action::ReadWatermark => Some(match self.look() {
                Ok((stored, confirmation)) => Input::Watermark { stored, confirmation },
                Err(error) => self.failed(&error),
            }),
            Action::RequestCut { complete } => {
                self.hooks.request_cut(complete);
                None
            }
            Action::Commit { expected, after, effects } => {
                Some(self.commit(expected.as_ref(), after, effects))
            }
            Action::Settled(watermark) => {
                self.status.set_settled(watermark.through());
                self.hooks.settled(&watermark);
                None
            }
            Action::Alarm(alarm) => {
                self.raise(alarm);
                None
            }
            Action::Stop(_) => None,
        }
    }

    fn look(&mut self) -> Result<(Option<Watermark>, Confirmation), SinkError> {
        let stored = self.sink.watermark()?;
        // Whatever is decided of it: this is what a catch-up would have to begin with.
        let ours = stored.as_ref().filter(|stored| stored.frame == self.settler.settings().frame);
        self.status.set_stored(settled_through(ours));
        let confirmation = match &stored {
            Some(stored) if stored.frame != self.settler.settings().frame => {
                Confirmation::Different
            }
            Some(stored) if !self.settler.knows(stored) => self.history.confirm(stored)?,
            _ => Confirmation::Same,
        };
        Ok((stored, confirmation))
    }

    fn commit(
        &mut self,
        expected: Option<&Watermark>,
        after: Sequence,
        effects: EffectsFrom,
    ) -> Input {
        let cut = self.settler.pending().expect("a commit is asked for with its cut pending");
        let span = tracing::debug_span!(
            "settle",
            otel.kind = "client",
            otel.status_code = Empty,
            error.type = Empty,
            // The rest of its name says where it is.
            bezant.sink = self.sink.name().split(' ').next(),
            bezant.after = signed(after.0),
            bezant.through = signed(cut.through.0),
            bezant.accounts = count(cut.accounts.len()),
        );
        let _inside = span.enter();
        let batch = Batch { cut, after, history: self.settler.settings().history };
        let mut source = Source { from: effects, cut, after, history: &mut self.history };
        let begun_ns = self.hooks.now_ns();
        match self.sink.commit(&batch, expected, &mut source) {
            Ok(()) => {
                let took_ns = self.hooks.now_ns().saturating_sub(begun_ns);
                self.status.committed(cut.accounts.len(), took_ns);
                Input::Committed
            }
            Err(error) => {
                span.record("error.type", error.class().name());
                span.record("otel.status_code", "ERROR");
                self.failed(&error)
            }
        }
    }

    fn failed(&self, error: &SinkError) -> Input {
        tracing::warn!(sink = self.sink.name(), %error, "settlement attempt failed");
        self.status.failed(error.class(), error.to_string());
        Input::Failed(error.class())
    }

    fn raise(&self, alarm: Alarm) {
        tracing::error!(sink = self.sink.name(), ?alarm, "settlement alarm");
        self.status.raise(alarm);
    }

    fn end(&self, stop: Stop) {
        if stop.is_fault() {
            tracing::error!(sink = self.sink.name(), ?stop, "settlement stopped: {}", stop.text());
        } else {
            tracing::info!(sink = self.sink.name(), "settlement ended: {}", stop.text());
        }
        self.status.stop(stop);
    }
}

impl From<Message> for Input {
    fn from(message: Message) -> Self {
        match message {
            Message::Cut(cut) => Self::Cut(cut),
            Message::Drain { deadline_ms } => Self::Drain { deadline_ms },
            Message::EngineGone => Self::EngineGone,
        }
    }
}

/// Why a database cannot be settled to, found before serving.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProbeError {
    /// The database is wrong: do not serve.
    #[error("{}", .0.text())]
    Stop(Stop),
    /// It could not be asked; serving is possible, settlement keeps trying.
    #[error(transparent)]
    Sink(#[from] SinkError),
}

/// Connects and judges the database before the server opens its doors: a database ahead of the
/// journal means that the engine lost data or that it is the wrong database.
///
/// # Errors
///
/// [`ProbeError`].
pub fn probe(
    settings: &Settings,
    sink: &mut impl Sink,
    history: &mut impl History,
) -> Result<Option<Watermark>, ProbeError> {
    sink.connect()?;
    let stored = sink.watermark()?;
    let confirmation = match &stored {
        Some(stored) if stored.frame == settings.frame => {
            history.confirm(stored).map_err(SinkError::from)?
        }
        _ => Confirmation::Same,
    };
    judge(settings, stored.as_ref(), confirmation).map_err(ProbeError::Stop)?;
    Ok(stored)
}

/// Where a batch's effects have got to: not every database would refuse one that comes twice.
struct Order {
    after: Sequence,
    through: Sequence,
    /// Sequence, whether it is no timer (those come first), leg.
    last: Option<(u64, bool, u16)>,
}

impl Order {
    fn check(&mut self, block: &[Effect]) {
        for effect in block {
            let place = (effect.sequence, effect.leg < TIMER_LEG, effect.leg);
            let range = self.after.0 + 1..=self.through.0;
            assert!(range.contains(&effect.sequence), "effects are of the batch's own sequences");
            assert!(
                self.last.is_none_or(|last| last < place),
                "each effect comes once and in order: {place:?} after {:?}",
                self.last
            );
            self.last = Some(place);
        }
    }
}

/// The effects of one batch.
struct Source<'a, J> {
    from: EffectsFrom,
    cut: &'a Cut,
    after: Sequence,
    history: &'a mut J,
}

impl<J: History> EffectSource for Source<'_, J> {
    fn deliver(&mut self, write: &mut EffectWriter<'_>) -> Result<(), SinkError> {
        let (after, through) = (self.after, self.cut.through);
        let mut order = Order { after, through, last: None };
        let mut write = |block: &[Effect]| {
            order.check(block);
            write(block)
        };
        match (self.from, &self.cut.effects) {
            (EffectsFrom::Nowhere, _) => Ok(()),
            (EffectsFrom::Cut, Effects::All(effects)) => {
                // They are in order, so what is settled already comes first.
                write(&effects[effects.partition_point(|effect| effect.sequence <= after.0)..])
            }
            _ => self.history.effects(after, through, &mut write),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(places: &[(u64, u16)]) {
        let effects: Vec<_> = places
            .iter()
            .map(|&(sequence, leg)| Effect { sequence, leg, ..Effect::default() })
            .collect();
        let mut order = Order { after: Sequence(4), through: Sequence(9), last: None };
        effects.chunks(2).for_each(|block| order.check(block));
    }

    #[test]
    fn timers_come_before_the_legs_of_their_sequence() {
        check(&[
            (5, TIMER_LEG),
            (5, TIMER_LEG + 1),
            (5, 0),
            (5, 1),
            (7, 0),
            (9, TIMER_LEG),
            (9, 0),
        ]);
    }

    #[test]
    #[should_panic(expected = "each effect comes once")]
    fn an_effect_that_comes_again_in_another_block_aborts() {
        check(&[(5, 0), (5, 1), (5, 1)]);
    }

    #[test]
    #[should_panic(expected = "the batch's own sequences")]
    fn an_effect_of_another_batch_aborts() {
        check(&[(5, 0), (10, 0)]);
    }
}
