//! `bezant health`: whether the running frame is ready, asked at its admin door; for containers and
//! scripts that have no other HTTP client. It reads and says what the frame says.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use crate::config::Config;
use crate::exit::{Exit, Failure, OrExit as _};

/// Longest wait for each step.
const PATIENCE: Duration = Duration::from_secs(3);
/// The page is a few kilobytes.
const ANSWER_LEN_MAX: u64 = 64 * 1024;

/// Prints the frame's own checks.
pub(crate) fn run(config: &Config) -> Result<(), Failure> {
    let address = config.admin;
    let hint = format!("no frame answers at {address} (listen.admin)");
    let mut stream =
        TcpStream::connect_timeout(&address, PATIENCE).or_exit(Exit::Temporary, &hint)?;
    let mut ask = || {
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        (&stream).take(ANSWER_LEN_MAX).read_to_string(&mut answer)?;
        Ok::<_, std::io::Error>(answer)
    };
    let answer = ask().or_exit(Exit::Temporary, &hint)?;
    let (is_ready, body) = read(&answer).ok_or_else(|| {
        Failure::new(Exit::Temporary, format!("what answers at {address} is no frame"))
    })?;
    if is_ready {
        return say!("{body}");
    }
    Err(Failure::new(Exit::Temporary, format!("not ready: {body}")))
}

/// Whether the answer says ready, and its body.
fn read(answer: &str) -> Option<(bool, &str)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    match head.split(' ').nth(1)? {
        "200" => Some((true, body)),
        "503" => Some((false, body)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_frame_that_is_ready_is() {
        assert_eq!(read("HTTP/1.1 200 OK\r\na: b\r\n\r\n{}"), Some((true, "{}")));
        assert_eq!(read("HTTP/1.1 503 Gone\r\n\r\nwhy"), Some((false, "why")));
        assert_eq!(read("HTTP/1.1 404 Not Found\r\n\r\n"), None);
        assert_eq!(read("SSH-2.0"), None);
    }
}
