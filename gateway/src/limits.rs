//! Every limit of the gateway, with its reason. What an operator may change is in
//! [`crate::Config`], which begins with these values.

use std::time::Duration;

use identity::Role;
use protocol::frame::BODY_LEN_MAX;

use crate::limiter::Allotment;

/// Bytes.
const MIB: u64 = 1 << 20;

/// An agent pays for itself: hundreds of payments a second from a few processes are plenty.
pub const AGENT: Allotment =
    Allotment { requests_per_s: 1_000, bytes_per_s: 8 * MIB, in_flight: 256, connections: 16 };
/// A registry sends for all whom it hosts: several times what the frame executes, so that only a
/// mistake meets it.
pub const REGISTRY: Allotment = Allotment {
    requests_per_s: 200_000,
    bytes_per_s: 1_024 * MIB,
    in_flight: 16_384,
    connections: 256,
};
/// Another frame: transfers between the two, in batches.
pub const PEER: Allotment =
    Allotment { requests_per_s: 20_000, bytes_per_s: 256 * MIB, in_flight: 4_096, connections: 64 };
/// A mint issues in bulk, as a registry sends.
pub const MINT: Allotment = REGISTRY;
/// People and scripts that configure.
pub const ADMIN: Allotment =
    Allotment { requests_per_s: 500, bytes_per_s: 4 * MIB, in_flight: 64, connections: 8 };
/// Reads all, page after page.
pub const AUDITOR: Allotment =
    Allotment { requests_per_s: 5_000, bytes_per_s: 8 * MIB, in_flight: 256, connections: 16 };
/// How long an identity may save up what it does not ask for.
pub const BURST: Duration = Duration::from_secs(1);
/// Identities without connections that are remembered because they owe time; when there are more
/// they are all forgotten.
pub const DEPARTED_MAX: usize = 4_096;
/// Identities whose certificates operators are shown: all that may be connected by default, and as
/// many that were.
pub const GUESTS_MAX: usize = 1_024;
/// A place in flight is looked for again after this, should a wake-up ever be lost.
pub const PLACE_PAUSE: Duration = Duration::from_millis(100);
/// Bytes that all clients together may have sent and nobody has taken.
pub const RECEIVE_BUDGET_SIZE: usize = 256 << 20;
/// The smallest window that a connection is served with.
pub const WINDOW_MIN: u32 = 64 << 10;

/// Bidirectional streams of one connection; a batch client needs one, a mixed one a few.
pub const STREAMS_MAX: u32 = 16;
/// Unread request bytes of one stream: two requests of the largest size.
pub const STREAM_WINDOW: u32 = 2 << 20;
/// Unread bytes of a connection whose identity has not been judged yet.
pub const WINDOW_UNKNOWN: u32 = WINDOW_MIN;
/// Unread request bytes of one connection of a registry or a mint, which send in bulk.
pub const WINDOW_BULK: u32 = 8 << 20;
/// Unread request bytes of one connection of anybody else: one request of the largest size.
pub const WINDOW_OTHER: u32 = 1 << 20;
/// Reply bytes sent and not yet acknowledged, of one connection of a registry, a mint or a peer.
pub const SEND_WINDOW: u64 = 4 << 20;
/// The same of anybody else.
pub const SEND_WINDOW_OTHER: u64 = 1 << 20;
/// Bytes of TLS messages that a peer may send ahead.
pub const CRYPTO_BUFFER_SIZE: usize = 16 * 1024;
/// Connections whose first packet waits to be looked at.
pub const INCOMING_MAX: usize = 256;
/// Bytes kept for one of them.
pub const INCOMING_BUFFER_SIZE: u64 = 64 << 10;
/// Bytes kept for all of them.
pub const INCOMING_BUFFERS_SIZE: u64 = 4 << 20;
/// Bytes asked of the kernel for each direction of the socket.
pub const SOCKET_BUFFER_SIZE: usize = 4 << 20;
/// Longest packet, where the path carries it (loopback, jumbo frames; 1 452 bytes elsewhere): ten
/// of them, as many as go out in one write, stay below the 64 KiB of the kernel's largest one.
pub const UDP_PAYLOAD_SIZE_MAX: u16 = 6_500;
/// Packets that the client lets pass before it acknowledges: mostly the acknowledgement then
/// travels with its next request. Fewer than a new connection may send, or it would wait.
pub const PACKETS_UNACKNOWLEDGED: u32 = 8;
/// Bytes that a new connection may send before any of them is acknowledged: ten of the longest
/// packets.
pub const WINDOW_INITIAL: u64 = 10 * UDP_PAYLOAD_SIZE_MAX as u64;
/// Handshakes under way above which unproven addresses must come back with a token.
pub const RETRY_ABOVE_HANDSHAKES: usize = 64;
/// Handshakes under way; more are refused.
pub const HANDSHAKES_MAX: usize = 512;

/// Connections of the door.
pub const CONNECTIONS_MAX: usize = 1_024;
/// Unanswered requests of one connection; more are not read.
pub const IN_FLIGHT_MAX: u32 = 128;
/// Unanswered requests of one stream; more are not read.
pub const STREAM_IN_FLIGHT_MAX: u32 = 64;
/// Bytes of replies that a connection of a registry, a mint or a peer may be owed, sized by the
/// longest that each can become: bounds what a client that does not read can make the gateway
/// keep.
pub const REPLY_BUDGET_SIZE: usize = 8 << 20;
/// The same of anybody else: the longest reply fits.
pub const REPLY_BUDGET_SIZE_OTHER: usize = 3 << 20;
/// Unit in which the reply budget is counted.
pub const REPLY_UNIT_SIZE: usize = 1 << 10;
/// Chunks read from a stream at once.
pub const READ_CHUNKS: usize = 32;
/// Received pieces shorter than this are copied together, so that a thousand tiny packets do not
/// keep a thousand packet buffers.
pub const COPY_BELOW: usize = 1_024;
/// Slots above which a request is put together in a buffer of its own while it arrives: those that
/// need an envelope of the largest class.
pub const COLLECT_ABOVE: u32 = ring::limits::PAGE_SLOTS;
/// Bytes of a long request that have arrived before it is given such a buffer: a head alone, which
/// costs its sender nothing, does not get one.
pub const COLLECT_FROM: usize = 64 << 10;
/// Such buffers of both doors, 1 MiB each: as many as requests that arrive at the same time.
pub const SHELF_BUFFERS_MAX: usize = 32;
/// Replies routed before their writers are woken.
pub const ROUTE_BATCH: usize = 256;
/// Principals remembered as identified since the start; when full they are identified anew.
pub const IDENTIFIED_MAX: usize = 65_536;

/// Refused commands of one request that the audit log is told one by one.
pub const AUDITED_REFUSALS_MAX: u32 = 16;
/// Bytes of a reason's text in the audit log.
pub const AUDITED_TEXT_LEN_MAX: usize = 256;

/// A handshake takes this long at most.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection of which nothing is heard is dropped after this. The gateway sends no keep-alives
/// over QUIC: a client that wants to stay says so.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How often the gateway asks whether an idle HTTP/2 peer lives.
pub const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// A frame, once begun, is whole within this.
pub const FRAME_TIMEOUT: Duration = Duration::from_secs(10);
/// A stream without a request, and a QUIC connection without a stream, is closed after this.
pub const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(600);
/// A reply makes progress within this, or its stream is closed.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// A QUIC connection that was told to end gets to read what it is owed for this long, however
/// slowly it reads: longer than a reply may stand still. A shutdown has a shorter one of its own.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(15);
/// A connection is closed at this age, so that its identity is judged again.
pub const CONNECTION_AGE_MAX: Duration = Duration::from_secs(3_600);
/// How often the identity of an open connection is judged.
pub const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// How long the last bytes of a stream may take to be acknowledged.
pub const FAREWELL_TIMEOUT: Duration = Duration::from_secs(2);
/// A full ring is tried again after this.
pub const RING_PAUSE: Duration = Duration::from_micros(500);
/// A drained pool is looked at again after this, should a wake-up ever be lost.
pub const POOL_PAUSE: Duration = Duration::from_millis(100);

/// An HTTP request waits this long for room in the pool, in the ring, and in what its connection
/// may be owed.
pub const CALL_PATIENCE: Duration = Duration::from_secs(1);
/// An HTTP request waits this long for what the settled history knows of its key.
pub const HISTORY_TIMEOUT: Duration = Duration::from_secs(2);
/// Questions about keys that one identity may have asked at once, a small part of those that wait
/// for the settled history; more wait.
pub const HISTORY_QUESTIONS_MAX: usize = 128;
/// Walks through entries that one identity may have under way at once; more wait.
pub const HISTORY_WALKS_MAX: usize = 4;
/// Walks of all identities together that are told from the journal; agents have half of them.
pub const JOURNAL_WALKS_MAX: usize = 256;
/// A walk waits this long for one answer of the settled history.
pub const HISTORY_READ_TIMEOUT: Duration = Duration::from_secs(5);
/// A walk waits this long for what is not settled yet to be settled, before it asks the journal:
/// some of the usual intervals.
pub const HISTORY_SETTLE_PATIENCE: Duration = Duration::from_millis(500);
/// How often it looks meanwhile.
pub const HISTORY_SETTLE_PAUSE: Duration = Duration::from_millis(10);
/// What a walk is told from the journal is complete after this long without more.
pub const HISTORY_QUIET: Duration = Duration::from_millis(20);
/// A page that has come this far in time ends there, whatever it holds.
pub const HISTORY_PAGE_PATIENCE: Duration = Duration::from_secs(5);
/// Sums of one answer.
pub const TOTALS_MAX: usize = 1_000;
/// Entries that are asked for at once to be added up, 160 bytes each.
pub const TOTALS_STEP: u32 = 8_192;
/// Feeds of settled batches, of all identities together.
pub const BATCH_FEEDS_MAX: usize = 32;
/// Feeds of settled batches of one identity.
pub const BATCH_FEEDS_OF_ONE_MAX: usize = 4;
/// Batches that such a feed reads at once.
pub const BATCHES_AT_ONCE: u32 = 64;
/// How often it looks whether something was settled: as often as that happens.
pub const BATCHES_PAUSE: Duration = Duration::from_millis(100);
/// How long it leaves SQL alone at most, while SQL does not answer: each time twice as long.
pub const BATCHES_PAUSE_MAX: Duration = Duration::from_secs(10);
/// A walk that has not come anywhere, or not to where it has to go, is given up after this.
pub const HISTORY_WALK_TIMEOUT: Duration = Duration::from_secs(40);
/// An HTTP request waits this long for its reply.
pub const REPLY_TIMEOUT: Duration = Duration::from_secs(10);
/// Head of an HTTP/1.1 request, and header list of an HTTP/2 one.
pub const HTTP_HEAD_SIZE_MAX: usize = 16 << 10;
/// Headers of an HTTP/1.1 request.
pub const HTTP_HEADERS_MAX: usize = 100;
/// The head of a request, once begun, is whole within this.
pub const HTTP_HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// An HTTP request and its answer, altogether.
pub const HTTP_CALL_TIMEOUT: Duration = Duration::from_secs(60);
/// Streams of an HTTP/2 connection.
pub const HTTP2_STREAMS_MAX: u32 = 64;
/// Streams that a client has reset and nobody has looked at; more end the connection.
pub const HTTP2_RESETS_PENDING_MAX: usize = 20;
/// Streams that were reset for a client's errors; more end the connection.
pub const HTTP2_RESETS_MAX: usize = 256;
/// Unread bytes of an HTTP/2 stream: one request of the largest size.
pub const HTTP2_STREAM_WINDOW: u32 = 1 << 20;
/// Longest frame of HTTP/2.
pub const HTTP2_FRAME_SIZE_MAX: u32 = 64 << 10;
/// Bytes of answers that an HTTP/2 stream keeps for a client that reads slowly.
pub const HTTP2_SEND_BUFFER_SIZE: usize = 64 << 10;
/// Bytes that an HTTP/1.1 connection reads ahead.
pub const HTTP1_BUFFER_SIZE: usize = 256 << 10;
/// Answers are handed to the transport in pieces of this size.
pub const HTTP_PIECE_SIZE: usize = 64 << 10;
/// Bytes of a body that its connection's window answers for; more are counted by themselves.
pub const HTTP_BODY_FREE: usize = 16 << 10;
/// Steps in which bodies take from the receive budget.
pub const HTTP_BODY_STEP: usize = 64 << 10;
/// Bytes thrown away after the last answer, so that the client gets to read it.
pub const DISCARD_SIZE_MAX: usize = 2 << 20;
/// TCP connections that wait to be accepted.
pub const BACKLOG: i32 = 1_024;
/// After a failure to accept, e.g. for want of descriptors.
pub const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// Before its end a connection announces it: a tenth of its life, and at least and at most this.
pub const NOTICE_MIN: Duration = Duration::from_secs(3);
/// See [`NOTICE_MIN`].
pub const NOTICE_MAX: Duration = Duration::from_secs(30);

/// Feeds of all identities together, unless it is set otherwise.
pub const FEEDS_MAX: usize = 1_024;
/// Feeds of one identity.
pub const FEEDS_OF_ONE_MAX: usize = 16;
/// Feeds of one agent, which follows nobody but itself: one, and one that takes its place.
pub const FEEDS_OF_AGENT_MAX: usize = 2;
/// One in so many feeds, and journal walks, is kept for those who follow everybody: admins and
/// auditors.
pub const FEEDS_KEPT_PART: usize = 8;
/// Bytes of the latest history that are kept for all of them, unless it is set otherwise.
pub const FEED_TAIL_SIZE: usize = 64 << 20;
/// Effects that a feed is given at once, 160 bytes each.
pub const FEED_BLOCK_MAX: usize = 64;
/// Such blocks that wait for a feed that is told from the journal.
pub const FEED_QUEUE_BLOCKS: usize = 4;
/// Texts of a block each that wait for the connection of a feed.
pub const FEED_TEXTS: usize = 1;
/// A feed says something at least this often, so that both sides know that the other is there.
pub const FEED_QUIET: Duration = Duration::from_secs(10);
/// After the last of some events a feed says this soon how far the history is complete.
pub const FEED_SETTLE: Duration = Duration::from_secs(1);
/// A registry that follows an owner is told effects this long before it is asked anew whether it
/// still hosts the owner.
pub const FEED_JUDGED_FOR: Duration = Duration::from_secs(1);
/// The same while the frame is too busy to answer; then the feed ends.
pub const FEED_UNJUDGED_MAX: Duration = Duration::from_secs(10);
/// A feed whose client takes nothing for this long is ended.
pub const FEED_WRITE_TIMEOUT: Duration = Duration::from_secs(60);
/// Longest message that a WebSocket reads: a client has nothing to say.
pub const SOCKET_MESSAGE_MAX: usize = 4 << 10;
/// Bytes that a WebSocket gathers before it writes them.
pub const SOCKET_BUFFER_OUT: usize = 16 << 10;
/// Bytes that a WebSocket keeps of what it is to write: more than the longest message.
pub const SOCKET_BUFFER_MAX: usize = 64 << 10;
/// Frames of a client, pings mostly, between two pings of this side.
pub const SOCKET_HEARD_MAX: u32 = 64;
/// Pings that a client leaves unanswered before it counts as gone.
pub const SOCKET_UNANSWERED_MAX: u32 = 3;
/// What nobody follows any more is told for this much longer, for those who come back.
pub const FEED_LINGER: Duration = Duration::from_secs(30);
/// A feed begins within this, or is refused.
pub const FEED_JOIN_TIMEOUT: Duration = Duration::from_secs(5);
/// Effects that are put into the tail at once, while whoever reads it waits: a tenth of a
/// millisecond or so.
pub const FEED_CARRY_MAX: usize = 1_024;
/// Those who take nothing of what they are told from the journal hold others up this long, all of
/// them together. One that takes earns as much at most.
pub const FEED_ROUND_PATIENCE: Duration = Duration::from_millis(500);
/// What one earns with each effect that it takes: whoever takes 10 000 in a second is waited for.
pub const FEED_EFFECT_PATIENCE: Duration = Duration::from_micros(100);
/// Shortest and longest time between two replays of the journal for one identity, unless both are
/// set otherwise; in between, as long as the last one took, so that one alone cannot have the frame
/// replay for more than half of the time.
pub const FEED_REPLAY_PAUSES: (Duration, Duration) =
    (Duration::from_secs(1), Duration::from_secs(30));
/// Sequences after which one who is told from the journal hears that there was nothing for it.
pub const FEED_PROGRESS_SEQUENCES: u64 = 1 << 16;

/// What one connection may be sent and owed, by what its role has to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outgoing {
    /// Bytes of replies that it may be owed.
    pub reply_budget_size: usize,
    /// Bytes that a QUIC connection keeps until they are acknowledged.
    pub send_window: u64,
}

/// What a connection of `role` may be sent and owed.
#[must_use]
pub const fn outgoing(role: Role) -> Outgoing {
    match role {
        Role::Registry | Role::Mint | Role::Peer => {
            Outgoing { reply_budget_size: REPLY_BUDGET_SIZE, send_window: SEND_WINDOW }
        }
        Role::Agent | Role::Admin | Role::Auditor => {
            Outgoing { reply_budget_size: REPLY_BUDGET_SIZE_OTHER, send_window: SEND_WINDOW_OTHER }
        }
    }
}

/// What clients can make the gateway keep, in bytes, beside the pool of the ring: handshakes under
/// way, the receive budget, long requests that are put together, and what `connections` clients of
/// `role` that read nothing are owed.
#[must_use]
pub fn memory_max(connections: usize, role: Role, receive_budget_size: usize) -> usize {
    let Outgoing { reply_budget_size, send_window } = outgoing(role);
    let https = HTTP2_STREAMS_MAX as usize * HTTP2_SEND_BUFFER_SIZE;
    let sent = usize::try_from(send_window).unwrap_or(usize::MAX).max(https);
    // Both doors count handshakes of their own.
    let shaking = 2 * HANDSHAKES_MAX * (WINDOW_UNKNOWN as usize + CRYPTO_BUFFER_SIZE);
    let incoming = usize::try_from(INCOMING_BUFFERS_SIZE).unwrap_or(usize::MAX);
    let shelf = SHELF_BUFFERS_MAX * BODY_LEN_MAX;
    shaking + incoming + shelf + receive_budget_size + connections * (reply_budget_size + sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_in_the_handbook_is_what_the_limits_add_up_to() {
        let handbook = include_str!("../../docs/security.md");
        let mib = |bytes: usize| bytes.div_ceil(1 << 20);
        for (connections, role) in [(512, Role::Agent), (512, Role::Registry), (64, Role::Registry)]
        {
            let most = mib(memory_max(connections, role, RECEIVE_BUDGET_SIZE));
            let row = format!("| {connections} of the role `{}` | {most} MiB |", role.name());
            assert!(handbook.contains(&row), "docs/security.md lacks: {row}");
        }
    }
}
