//! A TCP proxy that cuts a connection exactly at COMMIT.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering};
use std::thread;

use crate::cluster::Socket;

/// Where the next COMMIT is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cut {
    /// The server never sees it.
    Before = 1,
    /// The server has committed, the client never hears of it.
    After = 2,
}

/// A running proxy; its threads end with their connections.
pub(crate) struct Proxy {
    port: u16,
    state: Arc<State>,
}

struct State {
    armed: AtomicU8,
    cuts: AtomicU32,
}

impl Proxy {
    pub(crate) fn start(target: Socket) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State { armed: AtomicU8::new(0), cuts: AtomicU32::new(0) });
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming() {
                let (client, server) = (client.unwrap(), connect(&target));
                let state = shared.clone();
                thread::spawn(move || serve(client, server, &state));
            }
        });
        Self { port, state }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn arm(&self, cut: Cut) {
        self.state.armed.store(cut as u8, Ordering::SeqCst);
    }

    pub(crate) fn cuts(&self) -> u32 {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

fn connect(target: &Socket) -> TcpStream {
    match target {
        Socket::Tcp(host, port) => TcpStream::connect((host.as_str(), *port)).unwrap(),
        // Reading, writing and shutting down are the same for both kinds of stream.
        Socket::Unix(path) => TcpStream::from(OwnedFd::from(UnixStream::connect(path).unwrap())),
    }
}

fn serve(mut client: TcpStream, mut server: TcpStream, state: &State) {
    let (mut answers, mut back) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let answering = thread::spawn(move || {
        let mut block = [0; 1 << 16];
        while let Ok(len @ 1..) = answers.read(&mut block) {
            if back.write_all(&block[..len]).is_err() {
                break;
            }
        }
        let _ = back.shutdown(Shutdown::Both);
    });
    let mut block = [0; 1 << 16];
    while let Ok(len @ 1..) = client.read(&mut block) {
        let request = &block[..len];
        // The client sends COMMIT alone, after every earlier answer.
        if request == b"Q\0\0\0\x0bCOMMIT\0" {
            let armed = state.armed.swap(0, Ordering::SeqCst);
            if armed != 0 {
                // From here on the client hears nothing more.
                client.shutdown(Shutdown::Both).unwrap();
                if armed == Cut::After as u8 {
                    server.write_all(request).unwrap();
                    // Terminate: the server ends the session only after the commit.
                    server.write_all(b"X\0\0\0\x04").unwrap();
                    let mut rest = Vec::new();
                    let _ = server.read_to_end(&mut rest);
                }
                state.cuts.fetch_add(1, Ordering::SeqCst);
                break;
            }
        }
        if server.write_all(request).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
    answering.join().unwrap();
}
