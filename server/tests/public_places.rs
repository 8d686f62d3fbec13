//! The places of the public door: one address has its share of them, and with all of them taken a
//! visitor waits until one is free.

use std::net::{Ipv4Addr, SocketAddr};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::books;
use crate::frame::{Frame, PATIENCE, page, until};

const PLACES: usize = 1_024;
const SHARE: usize = PLACES / 4;
const ASK: &[u8] = b"GET /supply.json HTTP/1.1\r\nHost: frame\r\nConnection: close\r\n\r\n";

/// The last number of an address of this machine, of which Linux has many.
async fn from(address: u8, door: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::new(127, 0, 0, address), 0).into()).unwrap();
    socket.connect(door).await.unwrap()
}

async fn many(count: usize, address: u8, door: SocketAddr) -> Vec<TcpStream> {
    let mut streams = Vec::with_capacity(count);
    for _ in 0..count {
        streams.push(from(address, door).await);
    }
    streams
}

/// Whether the door answers on this connection, rather than to end it.
async fn is_answered(stream: &mut TcpStream) -> bool {
    if stream.write_all(ASK).await.is_err() {
        return false;
    }
    let mut heard = Vec::new();
    // How it ends is no matter when it was answered.
    let _ = timeout(PATIENCE, stream.read_to_end(&mut heard)).await.unwrap();
    heard.starts_with(b"HTTP/1.1 200 ")
}

fn frame() -> Frame {
    let limit = getrlimit(Resource::Nofile);
    // The frame inherits it.
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).unwrap();
    let mut frame = Frame::with(&[], &["listen.public=127.0.0.1:0"]);
    frame.start();
    until("the engine was asked", || page(frame.public(), "/supply.json", "*/*").0 == 200);
    frame
}

#[test]
fn one_address_does_not_take_the_page_from_others() {
    let mut frame = frame();
    books::run(async {
        let door = frame.public();
        let mut greedy = many(SHARE + 20, 2, door).await;
        let mut answered = 0;
        assert!(is_answered(&mut from(1, door).await).await, "another address has its own share");
        for stream in &mut greedy {
            answered += usize::from(is_answered(stream).await);
        }
        assert!((1..=SHARE).contains(&answered), "{answered} of {}", greedy.len());
    });
    frame.stop();
}

#[test]
fn with_all_places_taken_a_visitor_waits_for_one() {
    let mut frame = frame();
    books::run(async {
        let door = frame.public();
        let mut silent = Vec::with_capacity(PLACES);
        for address in 2..6 {
            silent.extend(many(SHARE, address, door).await);
        }
        assert!(is_answered(&mut from(1, door).await).await, "in the end");
        // Who says nothing is sent away after a while, and that has made the place.
        let is_over =
            |stream: TcpStream| matches!(stream.into_std().unwrap().peek(&mut [0]), Ok(0));
        assert!(silent.into_iter().any(is_over));
    });
    frame.stop();
}
