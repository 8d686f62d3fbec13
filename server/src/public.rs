//! The public door: plain HTTP with one page about the supply, for everybody and without a
//! certificate.
//!
//! It asks the frame nothing: what it tells is on the board, renewed once a second, and it runs on
//! a thread of its own, so that visitors take no time from those who pay. It takes no commands and
//! speaks no TLS. Invariant: connections, their time and their requests a second are bounded, of
//! all together and of each address.

mod board;
mod pace;
mod page;
mod shares;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::http::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep, sleep_until, timeout};

pub(crate) use board::Board;
use pace::Pace;
use shares::{Share, Shares};

use crate::exit::{Exit, Failure, OrExit as _};

/// Visitors at once, each of whom keeps one connection; more wait to be accepted.
pub(crate) const CONNECTIONS_MAX: usize = 1_024;
/// Of them from one address: a proxy in front has enough, and no three addresses take them all.
const SHARE_MAX: usize = CONNECTIONS_MAX / 4;
/// Requests a second of all visitors together: one of each, and the files of those who come.
const REQUESTS_PER_S: u32 = 2_048;
/// Of them of one address.
const SHARE_PER_S: u32 = REQUESTS_PER_S / 4;
/// A request's head is whole, and a visitor has asked again, within this.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection is told to end at this age, however much it has left to read.
const AGE_MAX: Duration = Duration::from_secs(60);
/// How long it may take to end.
const FAREWELL: Duration = Duration::from_secs(5);
/// Head of a request.
const HEAD_SIZE_MAX: usize = 8 << 10;
/// Headers of a request.
const HEADERS_MAX: usize = 64;
/// After a failure to accept, e.g. for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What every connection needs.
struct Door {
    board: Arc<Board>,
    pace: Pace,
}

/// Binds the door and serves it on a thread of its own; returns the bound address.
pub(crate) fn start(address: SocketAddr, board: Arc<Board>) -> Result<SocketAddr, Failure> {
    let here = format!("cannot listen on {address} (listen.public)");
    let listener = std::net::TcpListener::bind(address).or_exit(Exit::Io, &here)?;
    listener.set_nonblocking(true).or_exit(Exit::Io, &here)?;
    let bound = listener.local_addr().or_exit(Exit::Io, "the public door has no address")?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .or_exit(Exit::Io, "cannot start the runtime of the public door")?;
    let serve = move || runtime.block_on(accept(listener, board));
    std::thread::Builder::new()
        .name("public".into())
        .spawn(serve)
        .or_exit(Exit::Io, "cannot start the thread of the public door")?;
    Ok(bound)
}

async fn accept(listener: std::net::TcpListener, board: Arc<Board>) {
    let listener = match TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::error!(%error, "the public door cannot be served");
            return;
        }
    };
    let door = Arc::new(Door { board, pace: Pace::new(REQUESTS_PER_S, Instant::now()) });
    let shares = Shares::new(SHARE_MAX, SHARE_PER_S);
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await;
        let place = place.expect("nobody closes the semaphore");
        match listener.accept().await {
            // Who has its share is not told: that would take a place.
            Ok((socket, remote)) => {
                if let Some(share) = shares.enter(remote.ip(), Instant::now()) {
                    tokio::spawn(serve(socket, Arc::clone(&door), share, place));
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the public door cannot accept");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Serves a connection until it ends; its place is free again then.
async fn serve(socket: TcpStream, door: Arc<Door>, share: Share, _place: OwnedSemaphorePermit) {
    // Answers are written whole: nothing is gained by waiting for more.
    let _ = socket.set_nodelay(true);
    let share = Arc::new(share);
    let service = service_fn(move |request| answer(Arc::clone(&door), Arc::clone(&share), request));
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .half_close(false)
        .max_headers(HEADERS_MAX)
        .max_header_size(HEAD_SIZE_MAX)
        .max_buf_size(2 * HEAD_SIZE_MAX)
        .header_read_timeout(HEAD_TIMEOUT);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(socket), service));
    // How a visitor leaves is nobody's business.
    if timeout(AGE_MAX, connection.as_mut()).await.is_err() {
        connection.as_mut().graceful_shutdown();
        let _ = timeout(FAREWELL, connection).await;
    }
}

async fn answer(
    door: Arc<Door>,
    share: Arc<Share>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    let now = Instant::now();
    // One's own first, so that who asks too much takes no turn from others.
    let turns = share.pace().turn(now).and_then(|own| Some(own.max(door.pace.turn(now)?)));
    let Some(turn) = turns else {
        return Ok(page::busy());
    };
    sleep_until(turn).await;
    Ok(page::answer(&door.board, request.method(), request.uri().path(), request.headers()))
}
