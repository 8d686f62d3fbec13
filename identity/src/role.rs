//! Roles, and the path patterns that give them.
//!
//! Refuses to guess: a pattern matches a path segment by segment and exactly;
//! there is no prefix match, no wildcard and no folding of case. A path that two
//! patterns read as different roles has no role.
//! Invariant: an identity of another trust domain is never an agent, a mint or
//! an admin of this frame.

use std::fmt;

use crate::limits::{NAME_LEN_MAX, PATTERNS_MAX};
use crate::principal::parse_uuid;
use crate::spiffe_id::{SpiffeId, TrustDomain, is_name_byte};

/// What an identity may do; the numbers are stable and journaled.
///
/// Number 7 is the frame itself and never comes from a certificate.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
#[repr(u16)]
pub enum Role {
    /// Debits and reads its own account.
    Agent = 1,
    /// Opens, freezes, limits, debits and reads the accounts it hosts.
    Registry = 2,
    /// Another frame: its own protocol steps.
    Peer = 3,
    /// Issues, burns, corrects, lifts the mint halt.
    Mint = 4,
    /// Configuration, assets, peers, credit limits; moves no money.
    Admin = 5,
    /// Reads everything.
    Auditor = 6,
}

impl Role {
    /// Every role in the order of its number.
    pub const ALL: [Self; 6] =
        [Self::Agent, Self::Registry, Self::Peer, Self::Mint, Self::Admin, Self::Auditor];

    /// Returns the stable number.
    #[must_use]
    pub const fn number(self) -> u16 {
        match self {
            Self::Agent => 1,
            Self::Registry => 2,
            Self::Peer => 3,
            Self::Mint => 4,
            Self::Admin => 5,
            Self::Auditor => 6,
        }
    }

    /// Returns the role of a number, if there is one.
    #[must_use]
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.number() == number)
    }

    /// Returns the name used in configuration and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Agent => "agent",
            Self::Registry => "registry",
            Self::Peer => "peer",
            Self::Mint => "mint",
            Self::Admin => "admin",
            Self::Auditor => "auditor",
        }
    }

    /// Returns the role of a name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// Tells whether an identity of a federated trust domain may have the role.
    #[must_use]
    pub const fn crosses_domains(self) -> bool {
        matches!(self, Self::Registry | Self::Peer | Self::Auditor)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The patterns of a listener: which path gives which role.
///
/// A pattern is a path whose segments may end in one placeholder: `<uuid>`,
/// `<name>`, or as the last segment `<name…>` (also `<name...>`), which takes
/// one or more segments.
///
/// ```
/// use identity::{Role, RolePatterns, SpiffeId, TrustDomain};
/// let own = TrustDomain::parse("frame-a.example")?;
/// let id = SpiffeId::parse("spiffe://frame-a.example/service/registry-north")?;
/// assert_eq!(RolePatterns::default().role_of(&id, &own)?, Role::Registry);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RolePatterns {
    own: Vec<Pattern>,
    federated: Vec<Pattern>,
    admitted: Vec<Role>,
}

impl Default for RolePatterns {
    /// The standard paths for the own trust domain; a federated one has peers only.
    fn default() -> Self {
        let own = [
            (Role::Agent, "/agent/<uuid>"),
            (Role::Registry, "/service/registry-<name>"),
            (Role::Registry, "/registry/<name>"),
            (Role::Peer, "/frame/<name…>"),
            (Role::Mint, "/mint/<name>"),
            (Role::Admin, "/admin/<name>"),
            (Role::Auditor, "/auditor/<name>"),
        ];
        Self::new(&own, &[(Role::Peer, "/frame/<name…>")])
            .expect("the standard patterns obey the pattern rules")
    }
}

impl RolePatterns {
    /// Parses the patterns of the own trust domain and those of federated ones.
    ///
    /// # Errors
    /// The first pattern that is malformed, or that would give a federated
    /// identity a role that stays at home.
    pub fn new(own: &[(Role, &str)], federated: &[(Role, &str)]) -> Result<Self, PatternError> {
        if own.len() > PATTERNS_MAX || federated.len() > PATTERNS_MAX {
            return Err(PatternError::TooMany);
        }
        if let Some((role, _)) = federated.iter().find(|(role, _)| !role.crosses_domains()) {
            return Err(PatternError::RoleStaysHome { role: *role });
        }
        let parse = |list: &[(Role, &str)]| -> Result<Vec<Pattern>, PatternError> {
            list.iter().map(|(role, text)| Pattern::parse(*role, text)).collect()
        };
        Ok(Self { own: parse(own)?, federated: parse(federated)?, admitted: Role::ALL.to_vec() })
    }

    /// Narrows the patterns to a listener that admits only `roles`.
    #[must_use]
    pub fn admitting(mut self, roles: &[Role]) -> Self {
        self.admitted.retain(|role| roles.contains(role));
        self
    }

    /// Finds the one role of an identity; `own` is the frame's trust domain.
    ///
    /// # Errors
    /// No pattern matches, two disagree, or the listener does not admit the role.
    pub fn role_of(&self, id: &SpiffeId, own: &TrustDomain) -> Result<Role, RoleError> {
        let patterns = if id.trust_domain() == own { &self.own } else { &self.federated };
        let mut found = None;
        for pattern in patterns.iter().filter(|pattern| pattern.matches(id)) {
            match found {
                Some(role) if role != pattern.role => return Err(RoleError::Ambiguous),
                _ => found = Some(pattern.role),
            }
        }
        let role = found.ok_or(RoleError::NoRole)?;
        if !self.admitted.contains(&role) {
            return Err(RoleError::NotAdmitted { role });
        }
        Ok(role)
    }
}

#[derive(Clone, Debug)]
struct Pattern {
    role: Role,
    segments: Vec<Segment>,
}

#[derive(Clone, Debug)]
enum Segment {
    Literal(Box<str>),
    Name { prefix: Box<str> },
    Uuid,
    Rest,
}

impl Pattern {
    fn parse(role: Role, text: &str) -> Result<Self, PatternError> {
        let inner = text.strip_prefix('/').ok_or(PatternError::NoLeadingSlash { role })?;
        let segments = inner
            .split('/')
            .map(|part| Segment::parse(role, part))
            .collect::<Result<Vec<_>, _>>()?;
        let last = segments.len() - 1;
        if segments[..last].iter().any(|segment| matches!(segment, Segment::Rest)) {
            return Err(PatternError::RestNotLast { role });
        }
        let uuids = segments.iter().filter(|segment| matches!(segment, Segment::Uuid)).count();
        // The principal of an agent is its UUID, so the path must hold exactly one, at its end.
        let ends_in_uuid = matches!(segments[last], Segment::Uuid);
        let fits = if role == Role::Agent { uuids == 1 && ends_in_uuid } else { uuids == 0 };
        if !fits {
            return Err(PatternError::UuidPlace { role });
        }
        Ok(Self { role, segments })
    }

    fn matches(&self, id: &SpiffeId) -> bool {
        let mut parts = id.segments();
        for segment in &self.segments {
            let Some(part) = parts.next() else {
                return false;
            };
            let fits = match segment {
                Segment::Literal(literal) => part == &**literal,
                Segment::Name { prefix } => part.strip_prefix(&**prefix).is_some_and(is_name),
                Segment::Uuid => parse_uuid(part).is_some(),
                Segment::Rest => return is_name(part) && parts.all(is_name),
            };
            if !fits {
                return false;
            }
        }
        parts.next().is_none()
    }
}

impl Segment {
    fn parse(role: Role, part: &str) -> Result<Self, PatternError> {
        match part {
            "<uuid>" => return Ok(Self::Uuid),
            "<name…>" | "<name...>" => return Ok(Self::Rest),
            _ => {}
        }
        let (literal, placeholder) = match part.strip_suffix("<name>") {
            Some(prefix) => (prefix, true),
            None => (part, false),
        };
        let dots = matches!(literal, "." | "..") || (literal.is_empty() && !placeholder);
        if dots || !literal.bytes().all(is_name_byte) {
            return Err(PatternError::BadSegment { role });
        }
        Ok(if placeholder {
            Self::Name { prefix: literal.into() }
        } else {
            Self::Literal(literal.into())
        })
    }
}

/// Tells whether a text is a role name: `[A-Za-z0-9._-]{1,64}`, not `.` or `..`.
pub(crate) fn is_name(text: &str) -> bool {
    (1..=NAME_LEN_MAX).contains(&text.len())
        && text.bytes().all(is_name_byte)
        && text != "."
        && text != ".."
}

/// Why an identity has no role at a listener.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RoleError {
    /// No pattern matches the path.
    #[error("no role pattern matches the path of the SPIFFE ID; check its spelling and case")]
    NoRole,
    /// Two patterns give different roles.
    #[error("two role patterns give the SPIFFE ID different roles; make the patterns disjoint")]
    Ambiguous,
    /// The listener does not serve the role.
    #[error("this listener does not admit the role {role}; use the listener meant for it")]
    NotAdmitted {
        /// The role that was found.
        role: Role,
    },
}

impl RoleError {
    /// Returns the stable name of the cause, for audit records.
    #[must_use]
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoRole => "role-none",
            Self::Ambiguous => "role-ambiguous",
            Self::NotAdmitted { .. } => "role-not-admitted",
        }
    }
}

/// Why a role pattern is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// More patterns than [`PATTERNS_MAX`].
    #[error("too many role patterns; give at most 64 per list")]
    TooMany,
    /// The text does not start with `/`.
    #[error("a pattern of role {role} does not begin with a slash; write the whole path")]
    NoLeadingSlash {
        /// Role of the pattern.
        role: Role,
    },
    /// A segment is empty or holds a character outside `[A-Za-z0-9._-]`.
    #[error("a pattern of role {role} has a malformed segment; use A-Z a-z 0-9 . - _ only")]
    BadSegment {
        /// Role of the pattern.
        role: Role,
    },
    /// `<name…>` before the end.
    #[error("a pattern of role {role} has <name…> before its last segment; move it to the end")]
    RestNotLast {
        /// Role of the pattern.
        role: Role,
    },
    /// `<uuid>` missing from an agent's pattern, or present in another's.
    #[error(
        "the pattern of role {role} misplaces <uuid>; an agent's path ends in it, no other has it"
    )]
    UuidPlace {
        /// Role of the pattern.
        role: Role,
    },
    /// A federated pattern names a role that stays in the own trust domain.
    #[error("role {role} cannot be given to a federated trust domain; remove the pattern")]
    RoleStaysHome {
        /// Role of the pattern.
        role: Role,
    },
}
