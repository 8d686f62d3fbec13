//! The framing against whole, cut, mutated and random input.

use super::*;
use protocol::frame::{BODY_LEN_MAX, CloseCode, encode_close};
use protocol::request::{StructureError, check};
use protocol::{CommandId, reply};

/// xorshift64*: the tests repeat.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

fn hello() -> Vec<u8> {
    Head::new(FrameKind::Hello, 0).as_bytes().to_vec()
}

fn request(number: u64, slots: &[Command]) -> Vec<u8> {
    let head = Request { request: number, slots: slots.len() as u32, ..Request::default() };
    let length = REQUEST_SIZE + size_of_val(slots);
    let mut bytes = Head::new(FrameKind::Request, length as u32).as_bytes().to_vec();
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(slots.as_bytes());
    bytes
}

fn transfers(count: u64) -> Vec<Command> {
    (0..count).map(|at| Command::transfer(CommandId(u128::from(at) + 1), 10, 20, 1, 5)).collect()
}

#[derive(Debug, Default, PartialEq)]
struct Seen {
    hellos: usize,
    requests: Vec<(u64, Vec<Command>)>,
    follows: Vec<Follow>,
    closes: usize,
}

/// Feeds `bytes` in pieces as `cut` says and collects what comes out.
fn feed(bytes: &[u8], cut: impl FnMut() -> usize) -> Result<Seen, Misframed> {
    feed_from(&Arc::default(), bytes, cut)
}

fn feed_from(
    shelf: &Arc<Shelf>,
    bytes: &[u8],
    mut cut: impl FnMut() -> usize,
) -> Result<Seen, Misframed> {
    let mut framing = Framing::new(Arc::clone(shelf));
    let mut seen = Seen::default();
    let mut rest = bytes;
    loop {
        match framing.step()? {
            Step::Wait if rest.is_empty() => return Ok(seen),
            Step::Wait => {
                let (piece, after) = rest.split_at(cut().clamp(1, rest.len()));
                framing.push(Bytes::copy_from_slice(piece));
                assert!(framing.unread() <= BODY_LEN_MAX + HEAD_SIZE + piece.len());
                rest = after;
            }
            Step::Hello => seen.hellos += 1,
            Step::Request(head) => {
                let only = framing.only_slot();
                let mut slots = Vec::new();
                framing.take_slots(&mut slots);
                assert_eq!(only.as_slice(), if slots.len() == 1 { &slots[..] } else { &[] });
                assert_eq!(slots.len(), head.slots as usize);
                seen.requests.push((head.request, slots));
            }
            Step::Follow(follow) => seen.follows.push(follow),
            Step::Close => seen.closes += 1,
        }
    }
}

#[test]
fn requests_come_out_whole_wherever_the_bytes_are_cut() {
    let mut bytes = hello();
    let batches = [transfers(1), transfers(40), transfers(8_190), transfers(3)];
    for (at, slots) in batches.iter().enumerate() {
        bytes.extend(request(at as u64, slots));
    }
    bytes.extend(encode_close(CloseCode::ShuttingDown, "bye"));
    let mut random = Random(7);
    for size in [1, 127, 128, 1_452, 4_096, 70_000, 3 << 20] {
        let seen = feed(&bytes, || 1 + random.below(size)).unwrap();
        assert_eq!((seen.hellos, seen.closes), (1, 1));
        assert_eq!(seen.requests.len(), batches.len());
        for (at, (number, slots)) in seen.requests.iter().enumerate() {
            assert_eq!((*number, slots), (at as u64, &batches[at]));
        }
    }
}

#[test]
fn without_a_free_buffer_a_long_request_waits_in_pieces() {
    let shelf = Arc::<Shelf>::default();
    let bytes = [hello(), request(1, &transfers(8_190)), request(2, &transfers(1_025))].concat();
    let expected = feed(&bytes, || 1_452).unwrap();
    let all: Vec<_> = std::iter::from_fn(|| shelf.take()).collect();
    assert_eq!(feed_from(&shelf, &bytes, || 1_452).unwrap(), expected);
    drop(all);
    assert_eq!(feed_from(&shelf, &bytes, || 1_452).unwrap(), expected);
}

#[test]
fn a_long_request_is_judged_and_begun_before_it_is_whole() {
    let shelf = Arc::<Shelf>::default();
    let mut framing = Framing::new(Arc::clone(&shelf));
    let mut bytes = [hello(), request(1, &transfers(8_190))].concat();
    framing.push(bytes[..HEAD_SIZE + 200_000].to_vec().into());
    assert_eq!(framing.step(), Ok(Step::Hello));
    assert_eq!(framing.step(), Ok(Step::Wait));
    assert!(framing.unread() < COMMAND_SIZE, "what has arrived is in its slots");
    assert!(!framing.is_between_frames());
    let others: Vec<_> = std::iter::from_fn(|| shelf.take()).collect();
    assert_eq!(others.len(), crate::limits::SHELF_BUFFERS_MAX - 1);
    drop(framing);
    assert!(shelf.take().is_some(), "half a request gives its buffer back");
    bytes[2 * HEAD_SIZE + 48] ^= 1;
    let mut framing = Framing::new(shelf);
    framing.push(bytes[..HEAD_SIZE + 200_000].to_vec().into());
    assert_eq!(framing.step(), Ok(Step::Hello));
    assert!(matches!(framing.step(), Err(Misframed::Slots { held: 8_190, .. })));
}

#[test]
fn broken_framing_is_named() {
    let whole = |bytes: &[u8]| feed(bytes, || usize::MAX).unwrap_err();
    assert_eq!(whole(&request(1, &transfers(1))), Misframed::NotGreeted);
    assert_eq!(whole(&[hello(), hello()].concat()), Misframed::Greeting);
    let full_hello = Head::new(FrameKind::Hello, 64);
    assert_eq!(whole(full_hello.as_bytes()), Misframed::Greeting);
    let reply = Head::new(FrameKind::Reply, 64);
    let kind = FrameError::Kind(3);
    assert_eq!(whole(&[hello(), reply.as_bytes().to_vec()].concat()), kind.into());
    for length in [0, 63, 65, 64 + 127, 64 + 129] {
        let odd = Head::new(FrameKind::Request, length).as_bytes().to_vec();
        let error = whole(&[hello(), odd].concat());
        assert_eq!(error, FrameError::Length(length).into());
    }
    let oversize = Head::new(FrameKind::Request, BODY_LEN_MAX as u32 + 1);
    let error = whole(&[hello(), oversize.as_bytes().to_vec()].concat());
    assert_eq!(error, FrameError::Length(BODY_LEN_MAX as u32 + 1).into());
    let mut miscounted = request(1, &transfers(2));
    miscounted[HEAD_SIZE + 48] = 3;
    let error = whole(&[hello(), miscounted].concat());
    assert_eq!(error, Misframed::Slots { said: 3, held: 2 });
}

fn follow(follow: Follow) -> Vec<u8> {
    [Head::new(FrameKind::Follow, FOLLOW_SIZE as u32).as_bytes(), follow.as_bytes()].concat()
}

#[test]
fn a_follow_stands_behind_a_hello_and_alone() {
    let wanted = Follow { account: 7, sequence: 42, leg: 1, ..Follow::default() };
    let goodbye = encode_close(CloseCode::ShuttingDown, "bye");
    let bytes = [hello(), follow(wanted), goodbye].concat();
    for size in [1, 16, 33, 1_452] {
        let seen = feed(&bytes, || size).unwrap();
        assert_eq!((seen.follows, seen.closes), (vec![wanted], 1));
    }
    let whole = |parts: &[Vec<u8>]| feed(&parts.concat(), || usize::MAX).unwrap_err();
    assert_eq!(whole(&[follow(wanted)]), Misframed::NotGreeted);
    let requested = [hello(), request(1, &transfers(1)), follow(wanted)];
    assert_eq!(whole(&requested), Misframed::Following);
    assert_eq!(whole(&[hello(), follow(wanted), follow(wanted)]), Misframed::Following);
    let request = request(1, &transfers(1));
    assert_eq!(whole(&[hello(), follow(wanted), request]), Misframed::Following);
    for length in [0, 63] {
        let odd = Head::new(FrameKind::Follow, length).as_bytes().to_vec();
        assert_eq!(whole(&[hello(), odd]), FrameError::Length(length).into());
    }
}

#[test]
fn a_frame_without_slots_is_left_to_the_structure_check() {
    let bytes = [hello(), request(1, &[])].concat();
    let seen = feed(&bytes, || usize::MAX).unwrap();
    assert_eq!(seen.requests, [(1, Vec::new())]);
    assert_eq!(check(&Request::default(), &[]), Err(StructureError::Empty));
}

/// What the gateway does with any bytes a client may send, and a client with any bytes at all.
fn decode_everything(bytes: &[u8], random: &mut Random) {
    if let Ok(seen) = feed(bytes, || 1 + random.below(2_000)) {
        for (number, slots) in seen.requests {
            let head = Request { request: number, ..Request::default() };
            let _ = check(&head, &slots);
        }
    }
    let _ = reply::decode(bytes);
}

#[test]
fn random_and_mutated_input_never_panics() {
    let mut random = Random(0x5eed);
    let good = [hello(), request(1, &transfers(5)), request(2, &transfers(2))].concat();
    for _ in 0..20_000 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(6) {
            let at = random.below(bytes.len());
            match random.below(4) {
                0 => bytes[at] = random.next() as u8,
                1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes.truncate(at.max(1)),
                _ => bytes.insert(at, random.next() as u8),
            }
        }
        decode_everything(&bytes, &mut random);
        let noise: Vec<u8> = (0..random.below(300)).map(|_| random.next() as u8).collect();
        decode_everything(&noise, &mut random);
        decode_everything(&[hello(), noise].concat(), &mut random);
    }
}
