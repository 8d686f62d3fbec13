//! Decoders before and after authentication: random and mutated bytes give errors, never a panic,
//! and never more memory than the input explains.

use protocol::frame::{HEAD_SIZE, Head};
use protocol::genesis::{Genesis, Mode};
use protocol::parameter::Parameters;
use protocol::reply::{Outcome, Outcomes, Reply};
use protocol::{Command, CommandId, Request, Status, amount, data, ids, request, shape};
use zerocopy::{FromBytes, IntoBytes};

/// SplitMix64: the same input on every run.
struct Seeded(u64);

impl Seeded {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let bits = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb) ^ (bits >> 31)
    }

    fn bytes(&mut self, len: usize) -> Vec<u8> {
        (0..len).map(|_| self.next() as u8).collect()
    }

    /// `bytes` with a few bits flipped and perhaps its end cut or grown.
    fn mutated(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut bytes = bytes.to_vec();
        for _ in 0..self.next() % 4 {
            let at = self.next() as usize % bytes.len().max(1);
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << (self.next() % 8);
            }
        }
        match self.next() % 4 {
            0 => bytes.truncate(self.next() as usize % (bytes.len() + 1)),
            1 => bytes.extend(self.bytes(17)),
            _ => {}
        }
        bytes
    }
}

fn decode_all(bytes: &[u8]) {
    if let Some(head) = bytes.first_chunk::<HEAD_SIZE>() {
        let _ = Head::parse(head);
    }
    let _ = protocol::frame::decode_close(bytes);
    let _ = Genesis::decode(bytes);
    if let Ok(decoded) = protocol::reply::decode(bytes) {
        assert!(decoded.outcomes.len() <= 8_190);
    }
    let Ok((head, rest)) = Request::read_from_prefix(bytes) else {
        return;
    };
    let slots: Vec<Command> =
        rest.chunks_exact(128).filter_map(|slot| Command::read_from_bytes(slot).ok()).collect();
    let _ = request::check(&head, &slots);
    for entry in request::Commands::new(&slots).flatten() {
        let _ = shape::check(entry.command, entry.data);
        for tag in 0..9 {
            let _ = data::find_text(entry.data, tag);
        }
    }
    if let Ok(text) = core::str::from_utf8(bytes) {
        let _ = amount::parse(text, 6);
        let _ = ids::parse_uuid(text);
    }
}

#[test]
fn random_bytes_are_survived() {
    let mut seeded = Seeded(1);
    for _ in 0..20_000 {
        let len = seeded.next() as usize % 700;
        decode_all(&seeded.bytes(len));
    }
}

#[test]
fn mutations_of_good_input_are_survived() {
    let mut seeded = Seeded(2);
    let good = good_inputs();
    for _ in 0..20_000 {
        let base = &good[seeded.next() as usize % good.len()];
        let bytes = seeded.mutated(base);
        decode_all(&bytes);
    }
}

fn good_inputs() -> Vec<Vec<u8>> {
    let reason = data::encode(&[(data::TAG_REASON, b"opening balance")]);
    let issue = Command { data: 1, ..Command::issue(CommandId::new(1, 1), 1 << 64, 1, 5) };
    let mut request = Request { slots: 3, ..Request::default() }.as_bytes().to_vec();
    request.extend_from_slice(issue.as_bytes());
    request.extend_from_slice(reason.as_slice().as_bytes());
    let transfer = Command::transfer(CommandId::new(1, 2), 1 << 64, 2 << 64, 1, 5);
    request.extend_from_slice(transfer.as_bytes());
    let mut outcomes = Outcomes::with_capacity(4);
    outcomes.clear(1);
    for (sequence, status, rate) in
        [(1, Status::Ok, 5_000), (2, Status::Ok, 6_000), (3, Status::Busy, 0)]
    {
        outcomes.push(Outcome { sequence, status, rate, repeat: false });
    }
    let mut reply = Vec::new();
    outcomes.encode(Reply::default(), &mut reply);
    let genesis = Genesis {
        frame: 1,
        hash_seed: 2,
        mode: Mode::Operator,
        scale: 2,
        name: "EUR".into(),
        trust_domain: "a.b".into(),
        parameters: Parameters::default(),
    };
    let texts = [&b"12.500000"[..], b"018f6f0e-8a10-7000-8000-000000000001"];
    let close = protocol::frame::encode_close(protocol::frame::CloseCode::Limit, "too many");
    [request, reply, genesis.encode(), close].into_iter().chain(texts.map(<[u8]>::to_vec)).collect()
}
