//! A running `bezant serve`, started for a chore and gone when dropped.
//!
//! It knows only what the process prints: the line that names the doors.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

/// The running frame.
pub(crate) struct Server {
    process: Child,
    /// Address of its QUIC door.
    pub(crate) quic: String,
    /// Address of its HTTPS door.
    pub(crate) https: String,
    /// Address of its admin door.
    pub(crate) admin: String,
}

impl Server {
    /// Starts `serve` and waits until it says where its doors are.
    pub(crate) fn start(serve: &mut Command) -> Result<Self, String> {
        let started = serve.stdout(Stdio::piped()).spawn();
        let process = started.map_err(|e| format!("the frame does not start: {e}"))?;
        let (quic, https, admin) = Default::default();
        let mut server = Self { process, quic, https, admin };
        let stdout = server.process.stdout.take().ok_or("the frame has no output")?;
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            let said = |door| line.split(' ').find_map(|word| word.strip_prefix(door));
            if let (Some(quic), Some(https)) = (said("quic="), said("https=")) {
                (server.quic, server.https) = (quic.to_owned(), https.to_owned());
                server.admin = said("admin=").unwrap_or_default().to_owned();
                return Ok(server);
            }
        }
        Err("the frame ended instead of listening".to_owned())
    }

    /// Number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// An error if it has ended.
    pub(crate) fn serves(&mut self) -> Result<(), String> {
        match self.process.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(format!("the frame has ended: {status}")),
            Err(error) => Err(error.to_string()),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
