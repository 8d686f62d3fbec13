//! Feeds over QUIC: the events that the history has, from any place, whatever the client does.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::{
    Client, Error, Event, Feed, Follow, FollowedEvent, HeldSource, Options, Place, Session, Told,
    Unfollowed,
};
use identity::Role;
use protocol::follow;
use protocol::frame::{CloseCode, FrameKind, HEAD_SIZE, Head, decode_close};
use zerocopy::IntoBytes;

use crate::followed::{Following, agent, moved, paid};
use crate::support::*;

async fn connect(following: &Following, source: &Arc<HeldSource>) -> Client {
    let addr = following.frame.addr;
    Client::connect(addr, source, expected(), Options::default()).await.unwrap()
}

/// The next event; progress passes.
async fn event(feed: &mut Feed) -> FollowedEvent {
    loop {
        if let Told::Event(event) = feed.next().await.unwrap() {
            return event;
        }
    }
}

fn refusal(begun: Result<Feed, Error>) -> Unfollowed {
    match begun.unwrap_err() {
        Error::Unfollowed(reason) => reason,
        other => panic!("{other}"),
    }
}

/// How a feed ends, when everything that still comes has been read.
async fn end(feed: &mut Feed) -> Error {
    let reading = async {
        loop {
            if let Err(error) = feed.next().await {
                return error;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(30), reading).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_tells_everything_once_from_any_place() {
    let following = Following::start(8).await;
    following.told.pay(300);
    let client = connect(&following, &following.frame.agent()).await;
    let mut last = 300;
    for (after, first) in [(Place::after(0), 1), (Place::of(150, 0), 151), (Place::after(302), 303)]
    {
        let mut feed = client.follow(Follow::default().after(after)).await.unwrap();
        assert_eq!(feed.place(), after);
        following.told.pay(1);
        last += 1;
        for sequence in first..=last {
            let event = event(&mut feed).await;
            let effect = event.record().effect;
            assert_eq!((effect.sequence, event.name()), (sequence, "TokensTransferred"));
            assert_eq!(feed.place(), event.place());
            // The agent's own balance, and nobody else's.
            assert_eq!((event.debit_after(), event.credit_after()), (Some(7), None));
        }
        drop(feed);
        until(|| following.frame.metric("feeds_open") == 0).await;
    }
    // Payments go their way beside it.
    assert!(client.request(&transfers(10, 1)).await.unwrap().is_all_ok());
    drop(client);
    until(|| following.frame.metric("feeds_open") == 0).await;
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_auditor_sees_what_its_filter_takes_with_every_balance() {
    let following = Following::start(8).await;
    let reader = following.frame.identity(Role::Auditor, "reader");
    let client = connect(&following, &reader).await;
    let from = Follow::default().after(Place::after(0));
    let other = 6 << 64;
    following.told.pay(2);
    following.told.execute(moved(agent()));
    following.told.execute(protocol::effect::Effect { asset: 2, ..paid(other, agent()) });
    following.told.execute(paid(other, 7 << 64));
    for (follow, expected) in [
        (from, &[1, 2, 3, 4, 5][..]),
        (from.account(agent()), &[1, 2, 3, 4]),
        (from.account(other), &[4, 5]),
        (from.event(Event::OwnerRehosted), &[3]),
        (from.event(Event::OwnerRehosted).event(Event::TokensTransferred), &[1, 2, 3, 4, 5]),
        (from.asset(1), &[1, 2, 5]),
        (from.asset(1).account(other), &[5]),
    ] {
        let mut feed = client.follow(follow).await.unwrap();
        for sequence in expected {
            let event = event(&mut feed).await;
            assert_eq!(event.record().effect.sequence, *sequence, "{follow:?}");
            if event.name() == "TokensTransferred" {
                assert_eq!((event.debit_after(), event.credit_after()), (Some(7), Some(8)));
            }
        }
        // Nothing else comes, and that is told.
        let told = feed.next().await.unwrap();
        assert_eq!(told, Told::Progress(Place::after(5)), "{follow:?}");
    }
    drop(client);
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_are_typed() {
    let most = gateway::limits::FEEDS_OF_ONE_MAX;
    let following = Following::start(most + 1).await;
    let frame = &following.frame;
    following.told.pay(10);
    following.told.history().forgotten = 4;
    frame.switches.is_foreign.store(true, Ordering::SeqCst);
    let now = Follow::default();
    let of = |place| now.after(Place::after(place));
    let (agents, mint) = (frame.agent(), frame.identity(Role::Mint, "royal"));
    let south = frame.identity(Role::Registry, "south");
    for (source, follow, expected) in [
        (&agents, of(3), Unfollowed::Gone { first: 5 }),
        (&agents, of(11), Unfollowed::Ahead { last: 10 }),
        (&agents, now.account(5 << 64), Unfollowed::NotFound),
        (&agents, now.event(Event::KeyUsed), Unfollowed::Invalid),
        (&mint, now, Unfollowed::NotFound),
        (&south, now, Unfollowed::Invalid),
        (&south, now.account(agent()), Unfollowed::NotFound),
    ] {
        let client = connect(&following, source).await;
        assert_eq!(refusal(client.follow(follow).await), expected, "{follow:?}");
    }
    assert_eq!(frame.metric("feeds_refused"), 7);
    let of = |name| following.frame.identity(Role::Auditor, name);
    let first = connect(&following, &of("first")).await;
    let second = connect(&following, &of("first")).await;
    let mut feeds = Vec::new();
    for n in 0..most {
        let client = if n % 2 == 0 { &first } else { &second };
        feeds.push(client.follow(now).await.unwrap());
    }
    assert_eq!(refusal(first.follow(now).await), Unfollowed::TooMany);
    let other = connect(&following, &of("second")).await;
    feeds.push(other.follow(now).await.unwrap());
    let reader = connect(&following, &of("third")).await;
    assert_eq!(refusal(reader.follow(now).await), Unfollowed::Full);
    feeds.pop();
    until(|| following.open() == most as u64).await;
    let mut last = reader.follow(now).await.unwrap();
    following.feeds.close();
    assert!(matches!(end(&mut last).await, Error::Unfollowed(Unfollowed::Unavailable)));
    assert_eq!(refusal(reader.follow(now).await), Unfollowed::Unavailable);
    drop((feeds, first, second, other, reader, last));
    following.stop().await;
    let frame = Frame::start();
    let client = frame.connect().await;
    assert_eq!(refusal(client.follow(now).await), Unfollowed::Off);
    drop(client);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_former_host_hears_no_more() {
    let following = Following::start(8).await;
    let north = following.frame.identity(Role::Registry, "north");
    let client = connect(&following, &north).await;
    let follow = Follow::default().account(agent());
    let mut narrow = client.follow(follow.event(Event::TokensTransferred)).await.unwrap();
    let mut wide = client.follow(follow).await.unwrap();
    following.told.execute(moved(agent()));
    following.told.pay(1);
    assert_eq!(event(&mut narrow).await.name(), "TokensTransferred");
    assert_eq!(event(&mut wide).await.name(), "OwnerRehosted");
    assert_eq!(event(&mut wide).await.name(), "TokensTransferred");
    following.frame.switches.is_foreign.store(true, Ordering::SeqCst);
    following.told.execute(moved(agent()));
    following.told.pay(1);
    assert_eq!(event(&mut wide).await.name(), "OwnerRehosted");
    for feed in [&mut narrow, &mut wide] {
        let error = end(feed).await;
        assert!(matches!(error, Error::Unfollowed(Unfollowed::NotFound)), "{error}");
    }
    drop((narrow, wide, client));
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_session_goes_on_where_a_lost_connection_left_it() {
    let following = Following::start(8).await;
    let (now, mut expected) = (Follow::default(), 1..);
    let connector = following.frame.connector(Options::default());
    let session = Session::new(connector);
    let mut feed = session.follow(now);
    let mut next = async |following: &Following, count: usize| {
        // It stands before what happens is made to happen.
        while !matches!(feed.next().await.unwrap(), Told::Progress(_)) {}
        following.told.pay(count);
        let mut seen = 0;
        while seen < count {
            if let Told::Event(event) = feed.next().await.unwrap() {
                assert_eq!(Some(event.record().effect.sequence), expected.next());
                seen += 1;
            }
        }
    };
    next(&following, 100).await;
    for _ in 0..3 {
        session.client().await.unwrap().close();
        next(&following, 100).await;
    }
    drop(session);
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_reads_nothing_holds_up_neither_the_history_nor_others() {
    let following = Following::start(8).await;
    let agents = following.frame.agent();
    let slow = connect(&following, &agents).await;
    let mut stuck = slow.follow(Follow::default()).await.unwrap();
    let client = connect(&following, &agents).await;
    let mut feed = client.follow(Follow::default()).await.unwrap();
    // Several times what a stream takes that nobody reads.
    let total = 40_000;
    for count in 1..=total {
        if count % 1_000 == 1 {
            following.told.pay(1_000);
        }
        assert_eq!(event(&mut feed).await.record().effect.sequence, count);
    }
    assert!(client.request(&transfers(100, 1)).await.unwrap().is_all_ok());
    // And when it reads again nothing is missing.
    for count in 1..=total {
        assert_eq!(event(&mut stuck).await.record().effect.sequence, count);
    }
    drop((stuck, slow, feed, client));
    following.stop().await;
}

/// A raw stream that has greeted and sent `body` as a follow.
async fn raw_follow(
    connection: &quinn::Connection,
    follow: &[u8],
) -> (quinn::SendStream, quinn::RecvStream) {
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    let length = u32::try_from(follow.len()).unwrap();
    let head = Head::new(FrameKind::Follow, length);
    let bytes = [&hello_bytes(), head.as_bytes(), follow].concat();
    assert_eq!(bytes.len(), 2 * HEAD_SIZE + follow.len());
    send.write_all(&bytes).await.unwrap();
    assert_eq!(next_frame(&mut recv).await.unwrap().0, FrameKind::Hello);
    (send, recv)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follow_is_the_one_frame_of_its_stream() {
    let following = Following::start(8).await;
    let (_endpoint, connection) = following.frame.raw().await;
    let now = follow::Follow::default().behind(None);
    // Something behind it.
    let (mut send, mut recv) = raw_follow(&connection, now.as_bytes()).await;
    assert_eq!(next_frame(&mut recv).await.unwrap().0, FrameKind::Progress);
    send.write_all(&request_bytes(1, 0, &transfers(1, 1))).await.unwrap();
    let (_, body) = next_frame(&mut recv).await.unwrap();
    assert_eq!(decode_close(&body).unwrap().0, CloseCode::Protocol);
    // Something before it.
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&hello_bytes()).await.unwrap();
    send.write_all(&request_bytes(1, 0, &transfers(1, 1))).await.unwrap();
    send.write_all(Head::new(FrameKind::Follow, 64).as_bytes()).await.unwrap();
    send.write_all(now.as_bytes()).await.unwrap();
    let mut kinds = Vec::new();
    while let Some((kind, body)) = next_frame(&mut recv).await {
        kinds.push(kind);
        if kind == FrameKind::Close {
            assert_eq!(decode_close(&body).unwrap().0, CloseCode::Protocol);
        }
    }
    assert_eq!(kinds, [FrameKind::Hello, FrameKind::Reply, FrameKind::Close]);
    // One that is too short.
    let (_send, mut recv) = raw_follow(&connection, &now.as_bytes()[..32]).await;
    let (_, body) = next_frame(&mut recv).await.unwrap();
    assert_eq!(decode_close(&body).unwrap().0, CloseCode::Protocol);
    // Who finishes its side ends the feed, and so does a close.
    let (mut send, mut recv) = raw_follow(&connection, now.as_bytes()).await;
    assert_eq!(next_frame(&mut recv).await.unwrap().0, FrameKind::Progress);
    until(|| following.frame.metric("feeds_open") == 1).await;
    send.finish().unwrap();
    assert_eq!(next_frame(&mut recv).await, None);
    until(|| following.frame.metric("feeds_open") == 0).await;
    drop(connection);
    following.stop().await;
}

/// Once a feed that had not begun yet heard neither its client, which had long gone, nor the frame,
/// which ended the connection: it took its seconds, and then told why it had not begun.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_feed_that_has_not_begun_ends_when_either_side_ends_it() {
    let age = |config: &mut gateway::Config| {
        config.connection_age_max = Duration::from_secs(2);
        config.check_interval = Duration::from_millis(10);
    };
    let following = Following::start(8).await;
    following.told.history().is_deaf = true;
    let (_endpoint, connection) = following.frame.raw().await;
    let now = follow::Follow::default().behind(None);
    let (mut send, mut recv) = raw_follow(&connection, now.as_bytes()).await;
    send.reset(0_u32.into()).unwrap();
    assert_eq!(next_frame(&mut recv).await, None);
    let (mut send, mut recv) = raw_follow(&connection, now.as_bytes()).await;
    send.finish().unwrap();
    assert_eq!(next_frame(&mut recv).await, None);
    let (send, mut recv) = raw_follow(&connection, now.as_bytes()).await;
    recv.stop(0_u32.into()).unwrap();
    send.stopped().await.unwrap();
    assert_eq!(following.frame.metric("feeds_refused"), 0);
    following.told.history().is_deaf = false;
    drop(connection);
    following.stop().await;
    let following = Following::with(8, age).await;
    following.told.history().is_deaf = true;
    let (_endpoint, connection) = following.frame.raw().await;
    let (_send, mut recv) = raw_follow(&connection, now.as_bytes()).await;
    let (kind, body) = next_frame(&mut recv).await.unwrap();
    assert_eq!(kind, FrameKind::Close);
    assert_eq!(decode_close(&body).unwrap().0, CloseCode::IdentityEnded);
    following.told.history().is_deaf = false;
    drop(connection);
    following.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_and_an_age_end_a_feed_with_a_reason() {
    let following = Following::start(8).await;
    let client = connect(&following, &following.frame.agent()).await;
    let mut feed = client.follow(Follow::default()).await.unwrap();
    let stopping = tokio::spawn(following.stop());
    let error = end(&mut feed).await;
    assert!(error.is_transient(), "{error}");
    stopping.await.unwrap();
    let age = |config: &mut gateway::Config| {
        config.connection_age_max = Duration::from_millis(300);
        config.check_interval = Duration::from_millis(10);
    };
    let following = Following::with(8, age).await;
    let client = connect(&following, &following.frame.agent()).await;
    let mut feed = client.follow(Follow::default()).await.unwrap();
    match end(&mut feed).await {
        Error::FeedEnded { end } => assert_eq!(end.code(), Some(CloseCode::IdentityEnded)),
        other => panic!("{other}"),
    }
    drop((feed, client));
    following.stop().await;
}
