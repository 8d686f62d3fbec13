//! What can go wrong between a caller and a frame. Refusals of single commands are not errors:
//! they are outcomes in the reply.
//!
//! Invariant: an outcome that is not known is never reported as a failure; see
//! [`Error::is_unknown`].

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use protocol::Status;
use protocol::follow::Unfollowed;
use protocol::frame::{CloseCode, FrameError};
use protocol::reply::ReplyError;
use protocol::request::StructureError;
use quinn::ConnectionError;

/// Why a call failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The local socket could not be set up.
    #[error("the local UDP socket cannot be set up: {0}")]
    Socket(#[source] Arc<io::Error>),
    /// The address cannot be connected to.
    #[error("the address cannot be used: {0}")]
    Address(#[from] quinn::ConnectError),
    /// The server is not the one that was expected; nothing was sent to it.
    #[error(
        "the server was not trusted: {reason}; check the address, bundle and expected identity"
    )]
    Server {
        /// What the rules said.
        reason: Box<str>,
    },
    /// The frame did not let this identity in.
    #[error("the frame refused the connection: {end}")]
    Refused {
        /// How it ended.
        end: End,
    },
    /// Connecting took too long.
    #[error("the frame did not greet within {after:?}; check the address and that it is up")]
    ConnectTimeout {
        /// How long was waited.
        after: Duration,
    },
    /// Another frame answered.
    #[error("frame {found:032x} answered instead of {expected:032x}; check the address")]
    Frame {
        /// The id that was asked for.
        expected: u128,
        /// The id that the server named.
        found: u128,
    },
    /// The request could not be read by any frame; nothing was sent.
    #[error("nothing was sent: {0}")]
    Structure(#[from] StructureError),
    /// The connection was over before the request was sent.
    #[error("nothing was sent, the connection is over: {end}; connect again")]
    Closed {
        /// How it ended.
        end: End,
    },
    /// The connection ended before the reply came: the outcome is not known.
    #[error("the connection ended before the reply: {end}; send the same ids again")]
    Lost {
        /// How it ended.
        end: End,
    },
    /// The reply did not come in time: the outcome is not known.
    #[error("no reply within {after:?}; send the same ids again")]
    Unanswered {
        /// How long was waited.
        after: Duration,
    },
    /// Every attempt until the deadline was cut off: the outcome is not known.
    #[error("unknown outcome after {attempts} attempts in {after:?}: {cause}")]
    Unknown {
        /// Attempts that may have reached the frame, and those that did not.
        attempts: u32,
        /// How long was tried.
        after: Duration,
        /// The last failure.
        cause: Box<Self>,
    },
    /// No attempt until the deadline could send anything: nothing was executed.
    #[error("nothing was sent in {attempts} attempts in {after:?}: {cause}")]
    Unavailable {
        /// Attempts.
        attempts: u32,
        /// How long was tried.
        after: Duration,
        /// The last failure.
        cause: Box<Self>,
    },
    /// The frame does not let this identity follow that, or no longer.
    #[error("cannot follow: {0}")]
    Unfollowed(Unfollowed),
    /// The stream of a feed ended without the frame's word on the feed.
    #[error("the feed ended: {end}; follow again behind the last place")]
    FeedEnded {
        /// How it ended.
        end: End,
    },
    /// A read was refused.
    #[error("the read was refused: {0} ({cure})", cure = .0.cure())]
    Read(Status),
}

impl Error {
    /// Whether commands may have been executed although no reply came. Send them again with the
    /// same ids, or ask for their outcomes; never with new ids.
    #[must_use]
    pub const fn is_unknown(&self) -> bool {
        matches!(self, Self::Lost { .. } | Self::Unanswered { .. } | Self::Unknown { .. })
    }

    /// Whether another attempt may help without a change of configuration.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unanswered { .. } | Self::ConnectTimeout { .. } => true,
            // Whatever else ended the old connection, a new one may do better.
            Self::Closed { end } | Self::Lost { end } | Self::FeedEnded { end } => {
                !matches!(end.code(), Some(CloseCode::Protocol | CloseCode::Unauthorised))
            }
            Self::Refused { end } => end.is_transient(),
            Self::Unfollowed(reason) => reason.is_passing(),
            _ => false,
        }
    }
}

/// How a connection ended.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum End {
    /// The frame said why.
    Told {
        /// Its reason.
        code: CloseCode,
        /// Its words.
        text: Box<str>,
    },
    /// The frame's words could not be read.
    Misframed(FrameError),
    /// A reply could not be read.
    Misread(ReplyError),
    /// The frame sent what no frame sends here.
    Unexpected(&'static str),
    /// The transport ended.
    Transport(ConnectionError),
    /// This side closed it.
    Here,
}

impl End {
    /// Whether connecting again may help.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Told { code, .. } => {
                !matches!(code, CloseCode::Unauthorised | CloseCode::Protocol)
            }
            Self::Transport(ConnectionError::ConnectionClosed(close)) => {
                // TLS alerts are verdicts on the identity; they do not change by themselves.
                !(0x100..0x200).contains(&u64::from(close.error_code))
            }
            Self::Transport(_) => true,
            Self::Misframed(_) | Self::Misread(_) | Self::Unexpected(_) | Self::Here => false,
        }
    }

    /// The frame's reason, if it gave one.
    #[must_use]
    pub const fn code(&self) -> Option<CloseCode> {
        match self {
            Self::Told { code, .. } => Some(*code),
            _ => None,
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Told { code, text } => write!(f, "{text} ({code:?})"),
            Self::Misframed(cause) => write!(f, "{cause}"),
            Self::Misread(cause) => write!(f, "{cause}"),
            Self::Unexpected(what) => f.write_str(what),
            Self::Transport(cause) => write!(f, "{cause}"),
            Self::Here => f.write_str("closed by this side"),
        }
    }
}

impl From<ConnectionError> for End {
    /// Reads the frame's reason out of an application close.
    fn from(cause: ConnectionError) -> Self {
        match cause {
            ConnectionError::ApplicationClosed(close) => {
                let code = u16::try_from(u64::from(close.error_code));
                match code.ok().and_then(CloseCode::from_number) {
                    Some(code) => {
                        Self::Told { code, text: String::from_utf8_lossy(&close.reason).into() }
                    }
                    None => Self::Transport(ConnectionError::ApplicationClosed(close)),
                }
            }
            ConnectionError::LocallyClosed => Self::Here,
            other => Self::Transport(other),
        }
    }
}
