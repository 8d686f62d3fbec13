//! Traces for whoever collects them: where they go, and in a build with the feature `otlp` how.
//!
//! Nothing of the frame waits for a collector. Invariant: what is sent leaves the machine only by
//! the hand of a collector that runs on it, since it is sent in the clear.

#[cfg(not(feature = "otlp"))]
mod absent;
#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod parent;
#[cfg(feature = "otlp")]
mod post;
#[cfg(feature = "otlp")]
mod standing;

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use axum::http::Uri;

#[cfg(not(feature = "otlp"))]
pub(crate) use self::absent::{Export, FOLLOW, start};
#[cfg(feature = "otlp")]
pub(crate) use self::export::{Export, FOLLOW, start};

/// Whether this build can export.
pub(crate) const IS_BUILT_IN: bool = cfg!(feature = "otlp");
/// Where a collector takes traces, below its own path.
const TRACES: &str = "/v1/traces";

/// Where traces go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Collector {
    address: SocketAddr,
    path: String,
}

impl fmt::Display for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}{}", self.address, self.path)
    }
}

/// Why traces cannot go where they should.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    /// The build lacks the feature.
    #[error(
        "this build exports no traces; build one that does: cargo build --release --features otlp"
    )]
    NotBuiltIn,
    /// It is no URL, or of another kind.
    #[error("must be a URL like http://127.0.0.1:4318")]
    NoUrl,
    /// It wants TLS.
    #[error(
        "traces go in the clear, and only on this machine: let a collector here send them on by \
         TLS, and name it, as http://127.0.0.1:4318"
    )]
    Tls,
    /// It is elsewhere.
    #[error("must be on this machine: localhost, 127.0.0.1 or [::1]")]
    Elsewhere,
    /// Nobody said which port.
    #[error("must name a port from 1 to 65535; collectors have 4318")]
    NoPort,
    /// It has parts that are of no use, and may be secret.
    #[error("must have no user, password or query")]
    Superfluous,
}

impl Collector {
    /// Reads a setting; nothing when it is empty.
    pub(crate) fn read(text: &str, is_built_in: bool) -> Result<Option<Self>, Unusable> {
        if text.is_empty() {
            return Ok(None);
        }
        if !is_built_in {
            return Err(Unusable::NotBuiltIn);
        }
        let url: Uri = text.parse().map_err(|_| Unusable::NoUrl)?;
        match url.scheme_str() {
            Some("http") => {}
            Some("https") => return Err(Unusable::Tls),
            _ => return Err(Unusable::NoUrl),
        }
        let authority = url.authority().ok_or(Unusable::NoUrl)?;
        if authority.as_str().contains('@') || url.query().is_some() || text.contains('#') {
            return Err(Unusable::Superfluous);
        }
        // Brackets are the URL's.
        let host = authority.host().trim_matches(['[', ']']);
        let ip = match host {
            "localhost" => Some(IpAddr::from(Ipv4Addr::LOCALHOST)),
            _ => host.parse::<IpAddr>().ok().filter(IpAddr::is_loopback),
        };
        let ip = ip.ok_or(Unusable::Elsewhere)?;
        let port = authority.port_u16().filter(|port| *port > 0).ok_or(Unusable::NoPort)?;
        let path = format!("{}{TRACES}", url.path().trim_end_matches('/'));
        Ok(Some(Self { address: SocketAddr::new(ip, port), path }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<String, Unusable> {
        let collector = Collector::read(text, true)?;
        Ok(collector.map_or_else(String::new, |collector| collector.to_string()))
    }

    #[test]
    fn a_collector_is_on_this_machine() {
        for (text, url) in [
            ("", ""),
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://localhost:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("http://[::1]:9/otlp/", "http://[::1]:9/otlp/v1/traces"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(url), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused_with_what_to_do() {
        for (text, unusable) in [
            ("127.0.0.1:4318", Unusable::NoUrl),
            ("/v1/traces", Unusable::NoUrl),
            ("grpc://127.0.0.1:4317", Unusable::NoUrl),
            ("http://", Unusable::NoUrl),
            ("https://127.0.0.1:4318", Unusable::Tls),
            ("http://collector.example:4318", Unusable::Elsewhere),
            ("http://192.0.2.1:4318", Unusable::Elsewhere),
            ("http://0.0.0.0:4318", Unusable::Elsewhere),
            ("http://127.0.0.1", Unusable::NoPort),
            ("http://127.0.0.1:0", Unusable::NoPort),
            ("http://127.0.0.1:four", Unusable::NoPort),
            ("http://user:canary@127.0.0.1:4318", Unusable::Superfluous),
            ("http://127.0.0.1:4318?token=canary", Unusable::Superfluous),
            ("http://127.0.0.1:4318#traces", Unusable::Superfluous),
        ] {
            assert_eq!(read(text), Err(unusable), "{text}");
        }
    }

    #[test]
    fn a_build_without_the_feature_says_how_to_get_it() {
        assert_eq!(Collector::read("", false), Ok(None));
        let refused = Collector::read("http://127.0.0.1:4318", false).unwrap_err();
        assert_eq!(refused, Unusable::NotBuiltIn);
        assert!(refused.to_string().contains("--features otlp"));
    }
}
