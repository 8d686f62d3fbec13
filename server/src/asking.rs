//! One question to the admin door of a running frame, for subcommands that need no more of HTTP
//! than that. The door is on this machine's loopback; what it says is the caller's to judge.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::exit::{Exit, Failure, OrExit as _};

/// Longest wait for each step.
const PATIENCE: Duration = Duration::from_secs(3);
/// The largest page, `/metrics`, has some 100 kilobytes.
const ANSWER_LEN_MAX: u64 = 4 << 20;

/// What a page said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// Status code.
    pub(crate) code: u16,
    /// The page.
    pub(crate) body: String,
}

/// Asks for `path` at `address`.
pub(crate) fn admin_door(address: SocketAddr, path: &str) -> Result<Answer, Failure> {
    let hint = format!("no frame answers at {address} (listen.admin)");
    let said = ask(address, path).or_exit(Exit::Temporary, &hint)?;
    read(&said).ok_or_else(|| {
        Failure::new(Exit::Temporary, format!("what answers at {address} is no frame"))
    })
}

fn ask(address: SocketAddr, path: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut said = String::new();
    stream.take(ANSWER_LEN_MAX).read_to_string(&mut said)?;
    Ok(said)
}

fn read(said: &str) -> Option<Answer> {
    let (head, body) = said.split_once("\r\n\r\n")?;
    let (version, rest) = head.split_once(' ')?;
    let code = rest.get(..3)?.parse().ok()?;
    version.starts_with("HTTP/1.").then(|| Answer { code, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_is_an_answer() {
        let answer = |code, body: &str| Some(Answer { code, body: body.to_owned() });
        assert_eq!(read("HTTP/1.1 200 OK\r\na: b\r\n\r\n{}"), answer(200, "{}"));
        assert_eq!(read("HTTP/1.1 503 Gone\r\n\r\nwhy"), answer(503, "why"));
        assert_eq!(read("HTTP/1.1 ok\r\n\r\n"), None);
        assert_eq!(read("SSH-2.0 200 \r\n\r\n"), None);
        assert_eq!(read("HTTP/1.1 200 OK\r\n"), None);
    }
}
