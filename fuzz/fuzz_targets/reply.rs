//! What a client does with any bytes of a server: frames, then replies, closes and hellos. It must
//! not panic.
#![no_main]

use client::framing::Frames;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let _ = protocol::reply::decode(input);
    let mut frames = Frames::default();
    frames.push(input);
    while let Ok(Some((_, body))) = frames.next_frame() {
        let _ = protocol::reply::decode(&body);
        let _ = protocol::frame::decode_close(&body);
    }
});
