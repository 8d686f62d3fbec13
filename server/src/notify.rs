//! Telling the service manager how the frame is: the protocol of systemd's `sd_notify`, one
//! datagram a message.
//!
//! It refuses to matter: nobody waits for the manager for longer than a second, and a frame without
//! one runs the same.
//! Invariant: [`ALIVE`] is said only by whoever has just seen the frame make progress.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

/// The doors are open.
pub(crate) const READY: &str = "READY=1\nSTATUS=serving";
/// The frame lives; said often enough for any watchdog of a few seconds or more.
pub(crate) const ALIVE: &str = "WATCHDOG=1";
/// What was taken is being finished.
pub(crate) const STOPPING: &str = "STOPPING=1\nSTATUS=finishing what was taken";

/// A manager whose queue is full, as of a machine that starts, is waited for this long: nobody says
/// [`READY`] a second time.
const PATIENCE: Duration = Duration::from_secs(1);

/// Name of the variable that holds the manager's socket.
const SOCKET: &str = "NOTIFY_SOCKET";

/// The service manager, if there is one.
pub(crate) struct Manager(Option<(UnixDatagram, SocketAddr)>);

impl Manager {
    /// The one that started this process, as its environment says.
    pub(crate) fn from_environment() -> Self {
        let Some(name) = std::env::var_os(SOCKET).filter(|name| !name.is_empty()) else {
            return Self(None);
        };
        Self::at(&name).unwrap_or_else(|error| {
            tracing::warn!(%error, socket = ?name, "the service manager cannot be told anything");
            Self(None)
        })
    }

    /// A path, or after an `@` a name without a file.
    fn at(name: &OsStr) -> io::Result<Self> {
        let address = match name.as_bytes().strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(OsString::from(name))?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_write_timeout(Some(PATIENCE))?;
        Ok(Self(Some((socket, address))))
    }

    /// Says `message`, whoever listens.
    pub(crate) fn tell(&self, message: &str) {
        let Some((socket, address)) = &self.0 else {
            return;
        };
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            if message == ALIVE {
                // It is said again, and its own watchdog tells the manager.
                tracing::debug!(%error, message, "the service manager was not told");
            } else {
                tracing::warn!(%error, message, "the service manager was not told");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 256];
        let len = socket.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..len].to_vec()).unwrap()
    }

    #[test]
    fn a_manager_is_told_by_path_and_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        Manager::at(path.as_os_str()).unwrap().tell(READY);
        assert!(heard(&socket).starts_with("READY=1\n"));

        let name = format!("bezant-notify-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(name.as_bytes()).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let manager = Manager::at(OsStr::new(&format!("@{name}"))).unwrap();
        manager.tell(ALIVE);
        assert_eq!(heard(&socket), "WATCHDOG=1");
    }

    #[test]
    fn nobody_who_listens_is_no_error() {
        Manager(None).tell(READY);
        let dir = tempfile::tempdir().unwrap();
        Manager::at(dir.path().join("nowhere").as_os_str()).unwrap().tell(READY);
        assert!(Manager::at(OsStr::new(&"x".repeat(300))).is_err());
    }

    #[test]
    fn a_manager_that_does_not_read_holds_nobody_up() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let _socket = UnixDatagram::bind(&path).unwrap();
        let manager = Manager::at(path.as_os_str()).unwrap();
        let Some((socket, address)) = &manager.0 else { unreachable!("it was made above") };
        socket.set_nonblocking(true).unwrap();
        while socket.send_to_addr(b"", address).is_ok() {}
        socket.set_nonblocking(false).unwrap();
        manager.tell(ALIVE);
    }
}
