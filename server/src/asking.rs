//! One question to the admin door of a running frame, for subcommands that need no more of HTTP
//! than that. The door is on this machine's loopback; what it says is the caller's to judge.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use crate::exit::{Exit, Failure, OrExit as _};

/// Longest time for a question and its whole answer.
const PATIENCE: Duration = Duration::from_secs(3);
/// The largest page, `/metrics`, has some 100 kilobytes.
const ANSWER_LEN_MAX: usize = 4 << 20;

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
    let said = ask(address, path, PATIENCE).or_exit(Exit::Temporary, &hint)?;
    read(&said).ok_or_else(|| {
        Failure::new(Exit::Temporary, format!("what answers at {address} is no frame"))
    })
}

fn ask(address: SocketAddr, path: &str, patience: Duration) -> io::Result<String> {
    let end = Instant::now() + patience;
    let mut stream = TcpStream::connect_timeout(&address, patience)?;
    stream.set_write_timeout(Some(patience))?;
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
    let mut said = Vec::new();
    let mut part = [0; 16 << 10];
    loop {
        // Whoever says a little now and then does not hold us up either.
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(io::Error::from(ErrorKind::TimedOut));
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut part) {
            Ok(0) => break,
            Ok(len) => said.extend_from_slice(&part[..len]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
        if said.len() > ANSWER_LEN_MAX {
            return Err(io::Error::from(ErrorKind::InvalidData));
        }
    }
    String::from_utf8(said).map_err(|_| io::Error::from(ErrorKind::InvalidData))
}

fn read(said: &str) -> Option<Answer> {
    let (head, body) = said.split_once("\r\n\r\n")?;
    let (version, rest) = head.split_once(' ')?;
    let code = rest.get(..3)?.parse().ok()?;
    version.starts_with("HTTP/1.").then(|| Answer { code, body: body.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::thread;

    use super::*;

    /// Says so many bytes, one now and then.
    fn drop_by_drop(bytes: usize) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // Unread, the question would end the connection before the answer is.
            let _ = stream.read(&mut [0; 256]).unwrap();
            for _ in 0..bytes {
                // Whoever has asked may be gone.
                if stream.write_all(b" ").is_err() {
                    break;
                }
                thread::sleep(Duration::from_millis(10));
            }
        });
        address
    }

    #[test]
    fn patience_is_for_the_whole_answer() {
        let patience = Duration::from_millis(300);
        let endless = ask(drop_by_drop(usize::MAX), "/", patience).unwrap_err();
        let is_late = matches!(endless.kind(), ErrorKind::TimedOut | ErrorKind::WouldBlock);
        assert!(is_late, "{endless}");
        assert_eq!(ask(drop_by_drop(3), "/", PATIENCE).unwrap(), "   ");
    }

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
