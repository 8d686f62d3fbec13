//! Packets through real sockets on loopback: all of them arrive, once, whole, and in order.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use quinn::udp::BATCH_SIZE;
use tokio::time::timeout;

use super::*;

/// A reserved port (tcpmux), at which nothing listens for datagrams.
const PORT_OF_NOBODY: u16 = 1;

fn bound() -> std::net::UdpSocket {
    let socket = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

/// A socket of which the runtime knows already that it can be written to.
async fn open() -> Arc<Socket> {
    let socket = Socket::new(bound()).unwrap();
    socket.shared.writable().await.unwrap();
    socket
}

fn to(destination: SocketAddr, contents: &[u8]) -> Transmit<'_> {
    Transmit { destination, ecn: None, contents, segment_size: None, src_ip: None }
}

/// Everything that one call of the socket finds, cut into packets.
async fn receive(socket: &Socket) -> Vec<Vec<u8>> {
    let mut memory = vec![0; BATCH_SIZE << 16];
    let mut buffers: Vec<_> = memory.chunks_mut(1 << 16).map(IoSliceMut::new).collect();
    let mut meta = [RecvMeta::default(); BATCH_SIZE];
    let count = poll_fn(|context| socket.poll_recv(context, &mut buffers, &mut meta)).await;
    let found = meta.iter().zip(&buffers).take(count.unwrap());
    found.flat_map(|(meta, bytes)| bytes[..meta.len].chunks(meta.stride).map(Vec::from)).collect()
}

async fn receive_many(socket: &Socket, count: usize) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    while packets.len() < count {
        packets.extend(receive(socket).await);
    }
    packets
}

#[tokio::test]
async fn packets_of_one_length_arrive_in_order_and_the_socket_is_heard_again() {
    let (sender, receiver) = (open().await, open().await);
    let destination = receiver.local_addr().unwrap();
    for round in 0..3_u8 {
        let packets: Vec<_> = (0..200_u8).map(|number| vec![number ^ round; 300]).collect();
        for packet in &packets {
            sender.try_send(&to(destination, packet)).unwrap();
        }
        assert_eq!(receive_many(&receiver, packets.len()).await, packets);
    }
}

#[tokio::test]
async fn every_length_and_every_peer_gets_its_own() {
    let sender = open().await;
    let receivers: Vec<_> = (0..12).map(|_| Socket::new(bound()).unwrap()).collect();
    for len in [40_u8, 41, 40, 42, 39] {
        for (number, receiver) in (0_u8..).zip(&receivers) {
            let packet = vec![number; len.into()];
            sender.try_send(&to(receiver.local_addr().unwrap(), &packet)).unwrap();
            assert!(sender.shared.queue().len() <= GROUPS_MAX);
        }
    }
    for (number, receiver) in (0_u8..).zip(&receivers) {
        let mut packets = receive_many(receiver, 5).await;
        packets.sort();
        assert_eq!(packets, [39_usize, 40, 40, 41, 42].map(|len| vec![number; len]));
    }
}

#[tokio::test]
async fn a_long_packet_does_not_overtake_a_short_one() {
    let (sender, receiver) = (open().await, bound());
    let destination = receiver.local_addr().unwrap();
    sender.try_send(&to(destination, &[1; 50])).unwrap();
    let long = [2; 2 * SHORT_MAX];
    sender.try_send(&Transmit { segment_size: Some(SHORT_MAX), ..to(destination, &long) }).unwrap();
    sender.try_send(&to(destination, &[3; SHORT_MAX + 1])).unwrap();
    let mut buffer = [0; 2_000];
    for expected in [(50, 1), (SHORT_MAX, 2), (SHORT_MAX, 2), (SHORT_MAX + 1, 3)] {
        let len = receiver.recv(&mut buffer).unwrap();
        assert_eq!((len, buffer[0]), expected);
    }
}

#[tokio::test]
async fn what_waits_is_sent_when_the_socket_is_dropped() {
    let (sender, receiver) = (open().await, bound());
    sender.try_send(&to(receiver.local_addr().unwrap(), b"farewell")).unwrap();
    drop(sender);
    let mut buffer = [0; 100];
    let len = receiver.recv(&mut buffer).unwrap();
    assert_eq!(&buffer[..len], b"farewell");
}

#[tokio::test]
async fn a_socket_that_took_no_more_says_when_it_does_again() {
    let socket = open().await;
    let mut poller = Arc::clone(&socket).create_io_poller();
    socket.shared.is_blocked.store(true, Ordering::Relaxed);
    poll_fn(|context| poller.as_mut().poll_writable(context)).await.unwrap();
    assert!(!socket.shared.is_blocked.load(Ordering::Relaxed));
    poll_fn(|context| poller.as_mut().poll_writable(context)).await.unwrap();
}

/// The kernel tells a connected socket that nobody listened when it next asks for packets.
#[tokio::test]
async fn a_failure_to_receive_does_not_end_the_socket() {
    let socket = open().await;
    let io = &socket.shared.io;
    io.connect((Ipv4Addr::LOCALHOST, PORT_OF_NOBODY)).await.unwrap();
    io.try_send(b"nobody hears this").unwrap();
    timeout(Duration::from_secs(10), io.ready(Interest::ERROR)).await.unwrap().unwrap();
    let peer = bound();
    io.connect(peer.local_addr().unwrap()).await.unwrap();
    peer.send_to(b"somebody", socket.local_addr().unwrap()).unwrap();
    assert_eq!(receive(&socket).await, [b"somebody"]);
    assert!(io.take_error().unwrap().is_none(), "the failure was met");
}
