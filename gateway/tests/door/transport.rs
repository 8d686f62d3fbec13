//! The transport before and beside anybody's identity: proof of addresses, amplification, other
//! versions, noise, and connections that try to move.

use std::net::UdpSocket;
use std::sync::Arc;
use std::time::Duration;

use gateway::Retry;
use quinn::crypto::rustls::QuicClientConfig;
use ring::PoolConfig;

use crate::support::*;

/// A silence after which nothing more is expected on loopback.
const SILENCE: Duration = Duration::from_millis(400);

/// The first packet of a client in earnest, caught on its way to nobody.
fn first_packet(frame: &Frame) -> Vec<u8> {
    let nobody = UdpSocket::bind("127.0.0.1:0").unwrap();
    nobody.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let endpoint = quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap();
    let connecting = endpoint.connect_with(config(frame), nobody.local_addr().unwrap(), "frame");
    let mut packet = vec![0; 2_048];
    let length = tokio::task::block_in_place(|| nobody.recv(&mut packet)).unwrap();
    drop(connecting);
    packet.truncate(length);
    packet
}

fn config(frame: &Frame) -> quinn::ClientConfig {
    let tls = identity::client_config(&frame.agent(), expected(), &[client::ALPN]);
    quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls).unwrap()))
}

/// Sends `packet` from an address that never answers; bytes that come back until it is silent.
fn answered(frame: &Frame, packet: &[u8]) -> Vec<Vec<u8>> {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    socket.send_to(packet, frame.addr).unwrap();
    let mut answers = Vec::new();
    let mut buffer = [0; 2_048];
    tokio::task::block_in_place(|| {
        while let Ok(length) = socket.recv(&mut buffer) {
            answers.push(buffer[..length].to_vec());
        }
    });
    answers
}

fn sum(answers: &[Vec<u8>]) -> usize {
    answers.iter().map(Vec::len).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unproven_address_gets_one_small_packet() {
    let frame = Frame::start();
    let packet = first_packet(&frame);
    assert!(packet.len() >= 1_200);
    let answers = answered(&frame, &packet);
    assert_eq!(answers.len(), 1, "a retry, and nothing again");
    assert!(sum(&answers) < 200, "{}", sum(&answers));
    assert_eq!(answers[0][0] & 0xf0, 0xf0, "a long header of the type retry");
    assert_eq!(frame.metric("quic_retries"), 1);
    assert_eq!(frame.metric("connections_accepted"), 0);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_retry_at_most_three_times_the_bytes_come_back() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.retry = Retry::UnderLoad;
        config.handshake_timeout = Duration::from_secs(1);
    });
    let packet = first_packet(&frame);
    let answers = answered(&frame, &packet);
    let (sent, came) = (packet.len(), sum(&answers));
    assert!(came > 0 && came <= 3 * sent, "{sent} bytes brought {came}");
    until(|| frame.metric("refused_timeout") == 1).await;
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_is_told_which_one_is_spoken() {
    let frame = Frame::start();
    for version in [0x6b33_43cf_u32, 0x1a2a_3a4a, 0xff00_001d, 2] {
        let mut packet = first_packet(&frame);
        packet[1..5].copy_from_slice(&version.to_be_bytes());
        let answers = answered(&frame, &packet);
        assert!(sum(&answers) <= 64, "{version:#x} brought {}", sum(&answers));
        for answer in answers {
            assert_eq!(answer[1..5], [0; 4], "a version negotiation");
            assert!(answer.windows(4).any(|bytes| bytes == 1_u32.to_be_bytes()));
        }
    }
    let client = frame.connect().await;
    assert!(client.request(&transfers(1, 1)).await.unwrap().is_all_ok());
    drop(client);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn noise_is_not_answered_and_harms_nobody() {
    let frame = Frame::start();
    let client = frame.connect().await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let first = first_packet(&frame);
    for _ in 0..2_000 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let noise: Vec<u8> = match state % 3 {
            0 => (0..state % 1_300).map(|at| (state >> (at % 56)).to_le_bytes()[0]).collect(),
            1 => first[..usize::try_from(state % 1_200).unwrap()].to_vec(),
            _ => {
                let mut bad = first.clone();
                let at = usize::try_from(state % 1_200).unwrap();
                bad[at] ^= 0x55;
                bad
            }
        };
        socket.send_to(&noise, frame.addr).unwrap();
    }
    assert!(client.request(&transfers(1, 1)).await.unwrap().is_all_ok());
    assert_eq!(frame.metric("connections_accepted"), 1);
    drop(client);
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_does_not_move() {
    let frame = Frame::with(PoolConfig::default(), |config| {
        config.idle_timeout = Duration::from_millis(600);
    });
    let (endpoint, connection) = frame.raw().await;
    let (mut send, mut recv) = connection.open_bi().await.unwrap();
    send.write_all(&hello_bytes()).await.unwrap();
    assert!(next_frame(&mut recv).await.is_some());
    endpoint.rebind(UdpSocket::bind("127.0.0.1:0").unwrap()).unwrap();
    send.write_all(&request_bytes(1, 0, &transfers(1, 1))).await.unwrap();
    assert!(next_frame(&mut recv).await.is_none(), "nothing is served at the new address");
    let ended = connection.closed().await;
    let is_lost = matches!(ended, quinn::ConnectionError::TimedOut | quinn::ConnectionError::Reset);
    assert!(is_lost, "{ended:?}");
    assert!(frame.seen().is_empty());
    frame.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_streams_and_datagrams_have_no_room() {
    let frame = Frame::start();
    let (_endpoint, connection) = frame.raw().await;
    assert!(connection.max_datagram_size().is_none());
    let opened = tokio::time::timeout(Duration::from_millis(100), connection.open_uni()).await;
    assert!(opened.is_err(), "a unidirectional stream was granted");
    drop(connection);
    frame.stop().await;
}
