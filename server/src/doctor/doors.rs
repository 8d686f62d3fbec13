//! The doors: free before a start, and held while the frame runs.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, UdpSocket};

use super::Finding;
use crate::config::Config;

pub(super) fn examine(config: &Config, running: bool) -> Vec<Finding> {
    let udp = UdpSocket::bind(config.quic).map(drop);
    let tcp = |address: SocketAddr| TcpListener::bind(address).map(drop);
    let mut findings = vec![
        judge("listen.quic", config.quic, udp, running),
        judge("listen.https", config.https, tcp(config.https), running),
        judge("listen.admin", config.admin, tcp(config.admin), running),
    ];
    let public = config.public.map(|at| judge("listen.public", at, tcp(at), running));
    findings.extend(public);
    findings
}

fn judge(
    check: &'static str,
    address: SocketAddr,
    bound: io::Result<()>,
    running: bool,
) -> Finding {
    let other = || format!("ss -lntup shows who holds it; else set {check}");
    match bound {
        _ if address.port() == 0 => Finding::ok(check, format!("{address}: any free port")),
        Ok(()) if running => {
            let cure = "it was started with other settings: give this command the same";
            Finding::warn(check, format!("{address}: the running frame is not there"), cure)
        }
        Ok(()) => Finding::ok(check, format!("{address} is free")),
        Err(error) if running && error.kind() == ErrorKind::AddrInUse => {
            Finding::ok(check, format!("{address} is held, by the running frame as it seems"))
        }
        Err(error) if error.kind() == ErrorKind::AddrInUse => {
            Finding::fail(check, format!("{address}: {error}"), other())
        }
        Err(error) => {
            let cure = match error.kind() {
                ErrorKind::PermissionDenied => "use a port from 1024 on".to_owned(),
                ErrorKind::AddrNotAvailable => "use an address of this machine".to_owned(),
                _ => other(),
            };
            Finding::fail(check, format!("{address}: {error}"), cure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_door_is_free_before_a_start_and_held_after_it() {
        let address = SocketAddr::from(([127, 0, 0, 1], 7_400));
        let check = |bound: Result<(), ErrorKind>, running| {
            judge("listen.quic", address, bound.map_err(Into::into), running).verdict
        };
        assert_eq!(check(Ok(()), false), Verdict::Ok);
        assert_eq!(check(Err(ErrorKind::AddrInUse), true), Verdict::Ok);
        assert_eq!(check(Ok(()), true), Verdict::Warn);
        assert_eq!(check(Err(ErrorKind::AddrInUse), false), Verdict::Fail);
        assert_eq!(check(Err(ErrorKind::PermissionDenied), false), Verdict::Fail);
        assert_eq!(check(Err(ErrorKind::AddrNotAvailable), true), Verdict::Fail);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        assert_eq!(judge("listen.quic", any, Ok(()), true).verdict, Verdict::Ok);
    }
}
