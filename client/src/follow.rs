//! Following the history: a feed is a stream of its own, read one event after the other.
//!
//! A [`Feed`] ends with its connection; a [`Following`] connects again and goes on behind the last
//! place. Neither keeps a place anywhere: whoever stores it together with what it makes of the
//! events has every event exactly once. Invariant: places only rise.

use std::collections::VecDeque;
use std::fmt;

use protocol::effect::Event;
use protocol::feed::{Followed, Place};
use protocol::follow::{self, FOLLOW_SIZE, Progress, UNTOLD, UnfollowedFrame};
use protocol::frame::{FrameKind, Head};
use protocol::{AssetId, OwnerId};
use quinn::SendStream;
use tokio::time::timeout;
use zerocopy::{FromBytes, IntoBytes};

use crate::connection::Client;
use crate::error::{End, Error};
use crate::session::Session;
use crate::stream::{Reader, begin, told};

/// What to follow, and from where; everything that the identity may, from now on, unless said
/// otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Follow(follow::Follow);

impl Default for Follow {
    fn default() -> Self {
        Self(follow::Follow::default().behind(None))
    }
}

impl Follow {
    /// Behind this place: everything at or before it is known. [`Place::after`] a sequence, or the
    /// place of the last event.
    pub const fn after(self, place: Place) -> Self {
        Self(self.0.behind(Some(place)))
    }

    /// Only events that concern this owner; a registry has to name one.
    pub const fn account(self, owner: OwnerId) -> Self {
        Self(follow::Follow { account: owner, ..self.0 })
    }

    /// Only this kind of event, and others that are named so.
    pub const fn event(self, event: Event) -> Self {
        self.event_number(event.number())
    }

    /// As [`Self::event`], by the event's number; the frame refuses one that it does not know.
    pub const fn event_number(self, number: u16) -> Self {
        // No frame knows an event 0.
        let number = if number < Event::NUMBERS_END { number } else { 0 };
        Self(follow::Follow { events: self.0.events | 1 << number, ..self.0 })
    }

    /// Only in this asset.
    pub const fn asset(self, asset: AssetId) -> Self {
        Self(follow::Follow { asset, ..self.0 })
    }
}

/// What a feed tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Told {
    /// The next event. Its place is to be stored with what is made of it.
    Event(FollowedEvent),
    /// There is nothing else at or before this place, which is as good as that of an event.
    Progress(Place),
}

impl Told {
    /// The place to go on from.
    #[must_use]
    pub const fn place(&self) -> Place {
        match self {
            Self::Event(event) => event.0.place(),
            Self::Progress(place) => *place,
        }
    }
}

/// One effect of one command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FollowedEvent(Followed);

impl FollowedEvent {
    /// As it came; a balance that the identity may not see is [`UNTOLD`].
    #[must_use]
    pub const fn record(&self) -> &Followed {
        &self.0
    }

    /// Its place.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.0.place()
    }

    /// Name of the event.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        Event::name(self.0.effect.event)
    }

    /// The debited balance afterwards, if one was debited and the identity may see it.
    #[must_use]
    pub const fn debit_after(&self) -> Option<i128> {
        seen(self.0.effect.debit_bucket, self.0.effect.debit_after)
    }

    /// The credited balance afterwards, if one was credited and the identity may see it.
    #[must_use]
    pub const fn credit_after(&self) -> Option<i128> {
        seen(self.0.effect.credit_bucket, self.0.effect.credit_after)
    }
}

const fn seen(bucket: u8, after: i128) -> Option<i128> {
    if bucket == 0 || after == UNTOLD { None } else { Some(after) }
}

/// A feed that has begun. It is to be read: what is left unread takes room that replies on the same
/// connection need too. Dropped, it ends.
pub struct Feed {
    reader: Reader,
    /// Finished when the feed is dropped, by which the frame knows.
    _send: SendStream,
    events: VecDeque<Followed>,
    place: Place,
    /// It keeps the connection open.
    _client: Client,
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("place", &self.place).finish_non_exhaustive()
    }
}

impl Client {
    /// Follows the history on a stream of its own; returns when the frame has said where the feed
    /// begins.
    ///
    /// # Errors
    ///
    /// [`Error::Unfollowed`] with the frame's reason, or why there is no answer.
    pub async fn follow(&self, follow: Follow) -> Result<Feed, Error> {
        let after = self.options().request_timeout;
        let begun = timeout(after, self.begin_feed(follow)).await;
        begun.unwrap_or(Err(Error::Unanswered { after }))
    }

    async fn begin_feed(&self, follow: Follow) -> Result<Feed, Error> {
        let ended = |end| Error::FeedEnded { end };
        let (mut send, reader, _) = begin(self.transport()).await.map_err(ended)?;
        let length = u32::try_from(FOLLOW_SIZE).expect("a follow is short");
        let mut bytes = Vec::from(Head::new(FrameKind::Follow, length).as_bytes());
        bytes.extend_from_slice(follow.0.as_bytes());
        let sent = send.write_chunk(bytes.into()).await;
        sent.map_err(|_| ended(End::Unexpected("the frame stopped reading the stream")))?;
        let place = Place::after(0);
        let events = VecDeque::new();
        let mut feed = Feed { reader, _send: send, events, place, _client: self.clone() };
        match feed.next().await? {
            Told::Progress(_) => Ok(feed),
            Told::Event(_) => Err(ended(End::Unexpected("a feed that says not where it begins"))),
        }
    }
}

impl Feed {
    /// Where it stands: whoever has made something of all that was told goes on from here.
    #[must_use]
    pub const fn place(&self) -> Place {
        self.place
    }

    /// What comes next; waits for it. It may be dropped half way and asked again.
    ///
    /// # Errors
    ///
    /// Why there is nothing more: [`Error::Unfollowed`] or [`Error::FeedEnded`]. Where it
    /// [is transient](Error::is_transient), follow again behind [`Self::place`].
    pub async fn next(&mut self) -> Result<Told, Error> {
        let ended = |end| Error::FeedEnded { end };
        while self.events.is_empty() {
            match self.reader.next_frame().await.map_err(ended)? {
                (FrameKind::Events, body) => {
                    let events = body.chunks(size_of::<Followed>()).map(Followed::read_from_bytes);
                    for event in events {
                        let event = event.map_err(|_| {
                            ended(End::Unexpected("events that are no whole records"))
                        })?;
                        self.events.push_back(event);
                    }
                }
                (FrameKind::Progress, body) => {
                    let progress = Progress::read_from_bytes(&body)
                        .map_err(|_| ended(End::Unexpected("a progress of a wrong length")))?;
                    self.place = self.place.max(progress.place());
                    return Ok(Told::Progress(self.place));
                }
                (FrameKind::Unfollowed, body) => {
                    let read = UnfollowedFrame::read_from_bytes(&body).ok();
                    let reason = read.and_then(|frame| frame.read());
                    return Err(match reason {
                        Some(reason) => Error::Unfollowed(reason),
                        None => ended(End::Unexpected("a feed's end without a known reason")),
                    });
                }
                (FrameKind::Close, body) => return Err(ended(told(&body))),
                _ => return Err(ended(End::Unexpected("a frame that is of no feed"))),
            }
        }
        let event = self.events.pop_front().expect("there is one, or the loop would go on");
        self.place = event.place();
        Ok(Told::Event(FollowedEvent(event)))
    }
}

/// A feed that outlives connections.
#[derive(Debug)]
pub struct Following<'a> {
    session: &'a Session,
    follow: Follow,
    feed: Option<Feed>,
}

impl Session {
    /// Follows the history, over another connection when one is lost.
    pub const fn follow(&self, follow: Follow) -> Following<'_> {
        Following { session: self, follow, feed: None }
    }
}

impl Following<'_> {
    /// What comes next; waits for it, and connects again behind the last place if the feed ends
    /// for a reason that passes.
    ///
    /// # Errors
    ///
    /// The frame's refusal, or [`Error::Unavailable`] when it could not be reached until the
    /// deadline of the session. Asked again, it goes on.
    pub async fn next(&mut self) -> Result<Told, Error> {
        let mut attempts = None;
        loop {
            let heard = match &mut self.feed {
                Some(feed) => feed.next().await,
                None => {
                    let attempts = attempts.get_or_insert_with(|| self.session.attempts());
                    attempts.count += 1;
                    self.begin().await
                }
            };
            let error = match heard {
                Ok(told) => {
                    // From now on it is not the present that it begins with.
                    self.follow = self.follow.after(told.place());
                    return Ok(told);
                }
                Err(error) => error,
            };
            self.feed = None;
            self.session.drop_silent(&error).await;
            let attempts = attempts.get_or_insert_with(|| self.session.attempts());
            if !error.is_transient() || attempts.is_over() {
                return Err(attempts.give_up(error));
            }
            attempts.wait().await;
        }
    }

    /// Makes one attempt; tells where the feed begins.
    async fn begin(&mut self) -> Result<Told, Error> {
        let feed = self.session.client().await?.follow(self.follow).await?;
        let place = feed.place();
        self.feed = Some(feed);
        Ok(Told::Progress(place))
    }
}
