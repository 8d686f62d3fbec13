//! What the gateway does with any bytes of an admitted client: framing, then the structure check.
//! The first byte says in what pieces they arrive. It must not panic or keep more than a frame.
#![no_main]

use bytes::Bytes;
use gateway::framing::{Framing, Step};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&size, bytes)) = input.split_first() else {
        return;
    };
    let mut framing = Framing::default();
    let mut pieces = bytes.chunks(usize::from(size) * 8 + 1);
    let mut slots = Vec::new();
    loop {
        match framing.step() {
            Ok(Step::Wait) => match pieces.next() {
                Some(piece) => framing.push(Bytes::copy_from_slice(piece)),
                None => return,
            },
            Ok(Step::Request(head)) => {
                framing.take_slots(&mut slots);
                let _ = protocol::request::check(&head, &slots);
                for entry in protocol::request::Commands::new(&slots).flatten() {
                    let _ = protocol::shape::check(entry.command, entry.data);
                }
            }
            Ok(Step::Hello | Step::Follow(_)) => {}
            Ok(Step::Close) | Err(_) => return,
        }
    }
});
