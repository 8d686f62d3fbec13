//! Thousands of streams of nonsense: no panic, no leak, and honest clients are served.

use client::Client;
use tokio::task::JoinSet;

use crate::support::*;

/// xorshift64*: the test repeats.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> usize {
        usize::try_from(self.next() % bound).unwrap()
    }
}

fn nonsense(random: &mut Random) -> Vec<u8> {
    let mut bytes = hello_bytes();
    match random.below(4) {
        0 => bytes.clear(),
        1 => {}
        _ => bytes.extend(request_bytes(1, 0, &transfers(3, random.next() % 1_000 + 1))),
    }
    if random.below(2) == 0 {
        bytes.extend((0..random.below(400)).map(|_| random.next().to_le_bytes()[0]));
    }
    for _ in 0..random.below(5) {
        if !bytes.is_empty() {
            let at = random.below(bytes.len() as u64);
            bytes[at] = random.next().to_le_bytes()[0];
        }
    }
    bytes
}

async fn babble(connection: quinn::Connection, seed: u64, streams: usize) {
    let mut random = Random(seed);
    for _ in 0..streams {
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        // The other side may have had enough at any moment.
        let _ = send.write_all(&nonsense(&mut random)).await;
        match random.below(3) {
            0 => drop(send.reset(7_u32.into())),
            1 => drop(recv.stop(7_u32.into())),
            _ => {
                let _ = send.finish();
                let _ = recv.read_to_end(1 << 20).await;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nonsense_harms_nobody() {
    let frame = Frame::start();
    let honest: Client = frame.connect().await;
    let mut babblers = JoinSet::new();
    let mut endpoints = Vec::new();
    for seed in 1..=8 {
        let (endpoint, connection) = frame.raw().await;
        endpoints.push(endpoint);
        babblers.spawn(babble(connection, seed * 7_919, 400));
    }
    for salt in 1..=50 {
        let reply = honest.request(&transfers(20, 5_000 + salt)).await.unwrap();
        assert!(reply.is_all_ok());
    }
    babblers.join_all().await;
    until(|| frame.metric("quic_streams") > 2_000).await;
    assert!(frame.metric("quic_protocol_errors") > 100);
    assert!(honest.request(&transfers(20, 9_000)).await.unwrap().is_all_ok());
    drop((endpoints, honest));
    frame.stop().await;
}
