//! Replies of one stream on their way to its writer, and the permits that they hold.
//!
//! A reply is copied out of its envelope at once, so that a client that does not read holds none
//! of the pool. Invariant: what a stream owes is bounded by its permits, and every permit comes
//! back when the reply was written or the stream is given up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use protocol::frame::{FrameKind, HEAD_SIZE, Head};
use protocol::reply::{EXCEPTION_SIZE, REPLY_SIZE, Reply, encode_refused};
use protocol::{Status, request};
use ring::Envelope;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use zerocopy::IntoBytes;

use crate::limiter::{Pass, Places};
use crate::limits::{REPLY_UNIT_SIZE, STREAM_IN_FLIGHT_MAX};

/// Place of the `replied` stamp in a reply.
const REPLIED_AT: usize = 44;

/// What a connection may have unanswered.
#[derive(Debug)]
pub(crate) struct Allowance {
    requests: Arc<Semaphore>,
    units: Arc<Semaphore>,
    places: Places,
}

impl Allowance {
    /// Of a connection that may be owed `reply_budget_size` bytes and whose identity's places are
    /// `places`.
    pub(crate) fn new(in_flight_max: u32, reply_budget_size: usize, places: Places) -> Self {
        let units = reply_budget_size / REPLY_UNIT_SIZE;
        Self {
            requests: Arc::new(Semaphore::new(in_flight_max.max(1) as usize)),
            units: Arc::new(Semaphore::new(units)),
            places,
        }
    }
}

/// The outgoing side of one stream.
#[derive(Debug)]
pub(crate) struct Outbox {
    state: Mutex<State>,
    wake: Notify,
    broken: Notify,
    stream_requests: Arc<Semaphore>,
    allowance: Arc<Allowance>,
}

#[derive(Debug, Default)]
struct State {
    bytes: BytesMut,
    /// Permits of the replies in `bytes`.
    owed: Owed,
    in_flight: usize,
    is_ended: bool,
    is_broken: bool,
}

/// Permits to give back.
#[derive(Clone, Copy, Debug, Default)]
struct Owed {
    requests: usize,
    units: usize,
}

/// The right to have one more request answered; dropped, it goes back.
pub(crate) struct Admission {
    permits: [OwnedSemaphorePermit; 3],
    units: usize,
}

impl Admission {
    /// Leaves the permits out until they are counted back.
    fn forget(self) {
        self.permits.into_iter().for_each(OwnedSemaphorePermit::forget);
    }
}

/// Bytes to write; dropped, their permits go back.
pub(crate) struct Due {
    pub(crate) bytes: Bytes,
    owed: Owed,
    outbox: Arc<Outbox>,
}

impl Outbox {
    pub(crate) fn new(allowance: Arc<Allowance>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::default(),
            wake: Notify::new(),
            broken: Notify::new(),
            stream_requests: Arc::new(Semaphore::new(STREAM_IN_FLIGHT_MAX as usize)),
            allowance,
        })
    }

    /// Waits until a request may be answered whose reply needs room for `slots`, as
    /// [`request::reply_slots`] tells.
    pub(crate) async fn admit(&self, slots: u32, is_read: bool) -> Admission {
        let one = |semaphore: &Arc<Semaphore>| Arc::clone(semaphore).acquire_owned();
        let units = reply_units(slots, is_read);
        let many = u32::try_from(units).unwrap_or(u32::MAX);
        let stream = one(&self.stream_requests).await;
        let connection = one(&self.allowance.requests).await;
        let budget = Arc::clone(&self.allowance.units).acquire_many_owned(many).await;
        let permits = [stream, connection, budget];
        Admission {
            permits: permits.map(|permit| permit.expect("the semaphores are never closed")),
            units,
        }
    }

    /// A request is about to be published: its permits stay out until its reply is written.
    pub(crate) fn begin(&self, admission: Admission, pass: Pass) {
        pass.forget();
        admission.forget();
        self.state().in_flight += 1;
    }

    /// The reply to a request that was begun; wake the writer afterwards.
    pub(crate) fn push_reply(&self, envelope: &Envelope, info: ReplyInfo) {
        let mut state = self.state();
        assert!(state.in_flight > 0, "a reply answers a request in flight");
        state.in_flight -= 1;
        let room = request::reply_slots(&envelope.head, &envelope.slots);
        let units = reply_units(room, envelope.is_read());
        state.owed.requests += 1;
        state.owed.units += units;
        if state.is_broken {
            return;
        }
        match envelope.refused {
            Some(status) if envelope.reply.is_empty() => {
                state.push_refusal(envelope.head.request, status, info);
            }
            _ => {
                let start = state.push_head(FrameKind::Reply, envelope.reply.len());
                state.bytes.extend_from_slice(&envelope.reply);
                if let Some(reply) = state.bytes.get_mut(start..) {
                    stamp_replied(reply, envelope, info);
                }
            }
        }
    }

    /// Refuses a request that was not published: its permits stay out until that is written, as
    /// those of a reply do.
    pub(crate) fn refuse(
        &self,
        (request, status): (u64, Status),
        (admission, pass): (Admission, Pass),
        info: ReplyInfo,
    ) {
        let mut state = self.state();
        state.owed.requests += 1;
        state.owed.units += admission.units;
        pass.forget();
        admission.forget();
        if !state.is_broken {
            state.push_refusal(request, status, info);
        }
        drop(state);
        self.wake();
    }

    /// Adds bytes that answer no request: a hello.
    pub(crate) fn push_frame(&self, kind: FrameKind, body: &[u8]) {
        let mut state = self.state();
        state.push_head(kind, body.len());
        state.bytes.extend_from_slice(body);
        drop(state);
        self.wake();
    }

    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    /// No more requests will begin.
    pub(crate) fn end(&self) {
        self.state().is_ended = true;
        self.wake();
    }

    /// What cannot be written is thrown away from now on.
    pub(crate) fn give_up(&self) {
        self.state().is_broken = true;
        self.broken.notify_one();
        self.wake();
    }

    /// Waits until the stream was given up.
    pub(crate) async fn given_up(&self) {
        while !self.state().is_broken {
            self.broken.notified().await;
        }
    }

    /// What to write next; `None` when the stream has ended and owes nothing.
    pub(crate) async fn next_due(self: &Arc<Self>) -> Option<Due> {
        loop {
            {
                let mut state = self.state();
                if !state.bytes.is_empty() || state.owed.requests > 0 {
                    return Some(Due {
                        bytes: state.bytes.split().freeze(),
                        owed: std::mem::take(&mut state.owed),
                        outbox: Arc::clone(self),
                    });
                }
                if state.is_ended && state.in_flight == 0 {
                    return None;
                }
            }
            self.wake.notified().await;
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the gateway adds to a reply.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReplyInfo {
    /// The monotonic clock.
    pub(crate) now_ns: u64,
    /// Journal time, for refusals.
    pub(crate) journal_ns: u64,
    /// Epoch, for refusals.
    pub(crate) epoch: u64,
}

impl State {
    /// Appends a frame head and says where its body begins.
    fn push_head(&mut self, kind: FrameKind, length: usize) -> usize {
        let length = u32::try_from(length).expect("a reply is far shorter than 4 GiB");
        self.bytes.extend_from_slice(Head::new(kind, length).as_bytes());
        self.bytes.len()
    }

    fn push_refusal(&mut self, request: u64, status: Status, info: ReplyInfo) {
        let reply = refusal(request, status, info);
        self.push_head(FrameKind::Reply, reply.len());
        self.bytes.extend_from_slice(&reply);
    }
}

impl Drop for Due {
    fn drop(&mut self) {
        let Owed { requests, units } = self.owed;
        self.outbox.stream_requests.add_permits(requests);
        self.outbox.allowance.requests.add_permits(requests);
        self.outbox.allowance.units.add_permits(units);
        self.outbox.allowance.places.give_back(requests);
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        // The identity outlives the stream, and with it the places of what was cut off.
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.allowance.places.give_back(state.in_flight + state.owed.requests);
    }
}

/// The body of the frame that refuses a request as a whole.
pub(crate) fn refusal(request: u64, status: Status, info: ReplyInfo) -> Vec<u8> {
    let head = Reply { request, epoch: info.epoch, timestamp: info.journal_ns, ..Reply::default() };
    let mut reply = Vec::with_capacity(REPLY_SIZE + EXCEPTION_SIZE);
    encode_refused(head, status, &mut reply);
    reply
}

/// The body of the frame that answers a request.
pub(crate) fn reply_of(envelope: &Envelope, info: ReplyInfo) -> Vec<u8> {
    match envelope.refused {
        Some(status) if envelope.reply.is_empty() => refusal(envelope.head.request, status, info),
        _ => {
            let mut reply = envelope.reply.clone();
            stamp_replied(&mut reply, envelope, info);
            reply
        }
    }
}

fn stamp_replied(reply: &mut [u8], envelope: &Envelope, info: ReplyInfo) {
    let replied_us = info.now_ns.saturating_sub(envelope.stamps.received) / 1_000;
    let replied_us = u32::try_from(replied_us).unwrap_or(u32::MAX);
    if let Some(stamp) = reply.get_mut(REPLIED_AT..REPLIED_AT + size_of::<u32>()) {
        stamp.copy_from_slice(&replied_us.to_le_bytes());
    }
}

/// The longest reply to a request whose reply needs room for `slots`, in units of the budget.
pub(crate) fn reply_units(slots: u32, is_read: bool) -> usize {
    // A command can cost a rate and an exception.
    let per_slot =
        if is_read { protocol::answer::ANSWER_SIZE } else { EXCEPTION_SIZE + size_of::<u16>() };
    let longest = HEAD_SIZE + REPLY_SIZE + EXCEPTION_SIZE + slots as usize * per_slot;
    longest.div_ceil(REPLY_UNIT_SIZE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limiter::{Limiter, RoleLimits};
    use crate::limits::{REPLY_BUDGET_SIZE, REPLY_BUDGET_SIZE_OTHER};
    use protocol::{Command, CommandId, Kind};

    #[test]
    fn every_reply_fits_the_budget() {
        let most = reply_units(protocol::limits::REQUEST_SLOTS_MAX, true);
        assert!(most <= REPLY_BUDGET_SIZE.min(REPLY_BUDGET_SIZE_OTHER) / REPLY_UNIT_SIZE);
    }

    #[test]
    fn the_replied_stamp_has_its_place() {
        let mut reply = Reply::default();
        reply.stamps[3] = 0x0403_0201;
        assert_eq!(&reply.as_bytes()[REPLIED_AT..REPLIED_AT + 4], &[1, 2, 3, 4]);
    }

    #[tokio::test]
    async fn permits_come_back_with_the_written_reply() {
        let limiter = Limiter::new(RoleLimits::default(), 1);
        let principal = identity::Principal { id: 1 << 100, role: identity::Role::Agent };
        let seat = limiter.seat(principal, 0).unwrap();
        let allowance = Arc::new(Allowance::new(1, REPLY_BUDGET_SIZE, seat.places()));
        let outbox = Outbox::new(Arc::clone(&allowance));
        let admission = outbox.admit(3, false).await;
        outbox.begin(admission, seat.try_request(1, 0).unwrap());
        assert_eq!(seat.in_flight(), 1);
        assert_eq!(allowance.requests.available_permits(), 0);
        let mut envelope = Envelope::with_slots(3);
        envelope.head.slots = 3;
        envelope.refused = Some(Status::JournalFull);
        let info = ReplyInfo { now_ns: 0, journal_ns: 7, epoch: 1 };
        outbox.push_reply(&envelope, info);
        outbox.end();
        let due = outbox.next_due().await.unwrap();
        assert_eq!(due.bytes.len(), HEAD_SIZE + REPLY_SIZE + EXCEPTION_SIZE);
        assert_eq!(allowance.requests.available_permits(), 0);
        drop(due);
        assert_eq!(allowance.requests.available_permits(), 1);
        let units = REPLY_BUDGET_SIZE / REPLY_UNIT_SIZE;
        assert_eq!(allowance.units.available_permits(), units);
        assert!(outbox.next_due().await.is_none());
        assert_eq!(seat.in_flight(), 0);
    }

    #[tokio::test]
    async fn a_refusal_holds_its_permits_until_it_is_written() {
        let limiter = Limiter::new(RoleLimits::default(), 1);
        let principal = identity::Principal { id: 1 << 100, role: identity::Role::Agent };
        let seat = limiter.seat(principal, 0).unwrap();
        let allowance = Arc::new(Allowance::new(2, REPLY_BUDGET_SIZE, seat.places()));
        let outbox = Outbox::new(Arc::clone(&allowance));
        let info = ReplyInfo { now_ns: 0, journal_ns: 7, epoch: 1 };
        let refuse = async |number| {
            let admission = outbox.admit(3, false).await;
            let pass = seat.try_request(1, 0).unwrap();
            outbox.refuse((number, Status::JournalFull), (admission, pass), info);
        };
        refuse(1).await;
        refuse(2).await;
        assert_eq!((allowance.requests.available_permits(), seat.in_flight()), (0, 2));
        drop(outbox.next_due().await.unwrap());
        assert_eq!((allowance.requests.available_permits(), seat.in_flight()), (2, 0));
        outbox.give_up();
        refuse(3).await;
        let due = outbox.next_due().await.unwrap();
        assert!(due.bytes.is_empty(), "nobody reads it");
        drop(due);
        assert_eq!((allowance.requests.available_permits(), seat.in_flight()), (2, 0));
        let units = REPLY_BUDGET_SIZE / REPLY_UNIT_SIZE;
        assert_eq!(allowance.units.available_permits(), units);
    }

    #[tokio::test]
    async fn a_list_is_owed_its_longest_reply_and_gives_all_of_it_back() {
        let limiter = Limiter::new(RoleLimits::default(), 1);
        let principal = identity::Principal { id: 1 << 100, role: identity::Role::Registry };
        let seat = limiter.seat(principal, 0).unwrap();
        let allowance = Arc::new(Allowance::new(1, REPLY_BUDGET_SIZE, seat.places()));
        let outbox = Outbox::new(Arc::clone(&allowance));
        let mut envelope = Envelope::with_slots(1);
        envelope.head.slots = 1;
        envelope.head.flags = request::flags::READ;
        let list = Command::new(Kind::ReadAccounts, CommandId(0));
        envelope.slots.push(Command { amount: 1_000, ..list });
        let room = request::reply_slots(&envelope.head, &envelope.slots);
        let admission = outbox.admit(room, true).await;
        outbox.begin(admission, seat.try_request(1, 0).unwrap());
        let units = REPLY_BUDGET_SIZE / REPLY_UNIT_SIZE;
        assert!(units - allowance.units.available_permits() >= 250);
        envelope.reply = vec![0; REPLY_SIZE + 1_001 * protocol::answer::ANSWER_SIZE];
        outbox.push_reply(&envelope, ReplyInfo { now_ns: 0, journal_ns: 7, epoch: 1 });
        drop(outbox.next_due().await.unwrap());
        assert_eq!(allowance.units.available_permits(), units);
    }

    #[tokio::test]
    async fn places_of_what_was_cut_off_come_back() {
        let limiter = Limiter::new(RoleLimits::default(), 1);
        let principal = identity::Principal { id: 1 << 100, role: identity::Role::Agent };
        let seat = limiter.seat(principal, 0).unwrap();
        let outbox = Outbox::new(Arc::new(Allowance::new(8, REPLY_BUDGET_SIZE, seat.places())));
        for _ in 0..2 {
            let admission = outbox.admit(1, false).await;
            outbox.begin(admission, seat.try_request(1, 0).unwrap());
        }
        let info = ReplyInfo { now_ns: 0, journal_ns: 7, epoch: 1 };
        let mut envelope = Envelope::with_slots(1);
        envelope.refused = Some(Status::JournalFull);
        outbox.push_reply(&envelope, info);
        assert_eq!(seat.in_flight(), 2);
        drop(outbox);
        assert_eq!(seat.in_flight(), 0);
    }
}
