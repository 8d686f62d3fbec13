//! Every limit of the client, with its reason.

use std::time::Duration;

/// Bytes asked of the kernel for each direction of the socket: with the usual default of 208 KiB
/// a batch of 1 MiB loses packets on loopback.
pub const SOCKET_BUFFER_SIZE: usize = 4 << 20;
/// Longest packet, where the path carries it (loopback, jumbo frames; 1 452 bytes elsewhere): ten
/// of them, as many as go out in one write, stay below the 64 KiB of the kernel's largest one.
pub const UDP_PAYLOAD_SIZE_MAX: u16 = 6_500;
/// Packets that the frame lets pass before it acknowledges: mostly the acknowledgement then
/// travels with a reply. Fewer than a new connection may send, or it would wait.
pub const PACKETS_UNACKNOWLEDGED: u32 = 8;
/// Bytes that a new connection may send before any of them is acknowledged: ten of the longest
/// packets.
pub const WINDOW_INITIAL: u64 = 10 * UDP_PAYLOAD_SIZE_MAX as u64;
/// Unread reply bytes of one stream.
pub const STREAM_WINDOW: u32 = 2 << 20;
/// Unread reply bytes of the connection.
pub const CONNECTION_WINDOW: u32 = 8 << 20;
/// Request bytes sent and not yet acknowledged by the transport.
pub const SEND_WINDOW: u64 = 8 << 20;
/// Streams of one connection; the frame allows no more.
pub const STREAMS_MAX: u16 = 16;
/// Requests a writer takes from its queue at once.
pub const WRITE_BATCH: usize = 32;
/// Requests that wait for a writer; more wait outside.
pub const WRITE_QUEUE_LEN: usize = 64;
/// Chunks read from a stream at once.
pub const READ_CHUNKS: usize = 16;
/// Send buffers kept for the next requests.
pub const BUFFERS_KEPT: usize = 64;
/// Bytes of send buffers kept for the next requests.
pub const BUFFER_BYTES_KEPT: usize = 64 << 20;
/// How long a silent connection is kept.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for goodbyes to be sent and heard.
pub const GOODBYE_MAX: Duration = Duration::from_millis(500);
/// How often an idle connection shows that it lives.
pub const KEEP_ALIVE: Duration = Duration::from_secs(8);
