//! The genesis record: everything a frame is born with that can change an outcome.
//!
//! | at | field | type |
//! |---|---|---|
//! | 0 | frame | u128 |
//! | 16 | hash_seed | u128, random, keys every table |
//! | 32 | mode | u16: 1 frame, 2 operator |
//! | 34 | scale | u16 of asset 1 |
//! | 36 | parameters | u16, how many follow |
//! | 38 | name_len | u16 |
//! | 40 | trust_domain_len | u16 |
//! | 42 | – | 6 × 0 |
//! | 48 | – | 16 × 0 |
//! | 64 | parameters | 32 bytes each: number u16, 14 × 0, value u128 |
//! | | name of asset 1, trust domain | UTF-8, then zero to a multiple of 16 |

use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

use crate::limits::{NAME_LEN_MAX, SCALE_MAX};
use crate::parameter::{Parameter, Parameters};

/// Version of the money rules that this code executes; a newer one is refused.
pub const RULES: u32 = 1;

/// Who may mint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[non_exhaustive]
pub enum Mode {
    /// The identity with the mint role.
    Frame = 1,
    /// Nobody: units come from the parent frame.
    Operator = 2,
}

/// What a frame is born with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// Random id of the frame.
    pub frame: u128,
    /// Keys every hash table, so that nobody outside can aim at a bucket.
    pub hash_seed: u128,
    /// Who may mint.
    pub mode: Mode,
    /// Digits after the point of asset 1.
    pub scale: u16,
    /// Name of asset 1.
    pub name: String,
    /// SPIFFE trust domain.
    pub trust_domain: String,
    /// Parameters.
    pub parameters: Parameters,
}

/// Why bytes are not a genesis record, or a genesis cannot be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GenesisError {
    /// Shorter or longer than its lengths say, or unused bytes are not zero.
    Malformed,
    /// No mode has this number.
    Mode(u16),
    /// More decimal digits than an asset may have.
    Scale(u16),
    /// Name or trust domain is empty, too long or not UTF-8.
    Text,
    /// A parameter outside its bounds.
    Parameter(Parameter),
    /// A parameter that this version does not know.
    UnknownParameter(u16),
}

impl fmt::Display for GenesisError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed => f.write_str("the genesis record is damaged or of another format"),
            Self::Mode(mode) => write!(f, "mode {mode} is not known; 1 is frame, 2 is operator"),
            Self::Scale(scale) => {
                write!(f, "a scale of {scale} digits is too fine; use at most {SCALE_MAX}")
            }
            Self::Text => write!(
                f,
                "asset name and trust domain must be UTF-8 of 1 to {NAME_LEN_MAX} and 255 bytes"
            ),
            Self::Parameter(parameter) => {
                let bounds = parameter.bounds();
                write!(
                    f,
                    "{} must lie in {}..={} and fit the other parameters",
                    parameter.name(),
                    bounds.min,
                    bounds.max
                )
            }
            Self::UnknownParameter(number) => {
                write!(f, "parameter {number} is not known; this journal needs a newer version")
            }
        }
    }
}

impl core::error::Error for GenesisError {}

impl Genesis {
    /// Checks everything that decoding checks.
    ///
    /// # Errors
    ///
    /// The first field that cannot be.
    pub fn validate(&self) -> Result<(), GenesisError> {
        if self.scale > SCALE_MAX {
            return Err(GenesisError::Scale(self.scale));
        }
        let fits = |text: &str, max| (1..=max).contains(&text.len());
        if !fits(&self.name, NAME_LEN_MAX) || !fits(&self.trust_domain, 255) {
            return Err(GenesisError::Text);
        }
        self.parameters.validate().map_err(GenesisError::Parameter)
    }

    /// The payload of the genesis record.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1_024);
        bytes.extend_from_slice(&self.frame.to_le_bytes());
        bytes.extend_from_slice(&self.hash_seed.to_le_bytes());
        let count = Parameter::ALL.len();
        let lengths = [count, self.name.len(), self.trust_domain.len()];
        for number in [self.mode as u16, self.scale] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        for length in lengths {
            let length = u16::try_from(length).expect("validated texts are short");
            bytes.extend_from_slice(&length.to_le_bytes());
        }
        bytes.resize(64, 0);
        for parameter in Parameter::ALL {
            bytes.extend_from_slice(&parameter.number().to_le_bytes());
            bytes.extend_from_slice(&[0; 14]);
            bytes.extend_from_slice(&self.parameters.value(parameter).to_le_bytes());
        }
        bytes.extend_from_slice(self.name.as_bytes());
        bytes.extend_from_slice(self.trust_domain.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(16), 0);
        bytes
    }

    /// Reads the payload of a genesis record.
    ///
    /// # Errors
    ///
    /// What makes it unreadable or impossible.
    pub fn decode(bytes: &[u8]) -> Result<Self, GenesisError> {
        let (head, rest) = bytes.split_first_chunk::<64>().ok_or(GenesisError::Malformed)?;
        let wide = |at| u128::from_le_bytes(take(head, at));
        let short = |at| u16::from_le_bytes(take(head, at));
        if head.iter().skip(42).any(|&byte| byte != 0) {
            return Err(GenesisError::Malformed);
        }
        let mode = match short(32) {
            1 => Mode::Frame,
            2 => Mode::Operator,
            other => return Err(GenesisError::Mode(other)),
        };
        let parameters_len = usize::from(short(36)) * 32;
        let (entries, rest) =
            rest.split_at_checked(parameters_len).ok_or(GenesisError::Malformed)?;
        let parameters = decode_parameters(entries)?;
        let (name, rest) =
            rest.split_at_checked(usize::from(short(38))).ok_or(GenesisError::Malformed)?;
        let (trust_domain, padding) =
            rest.split_at_checked(usize::from(short(40))).ok_or(GenesisError::Malformed)?;
        if padding.len() >= 16 || padding.iter().any(|&byte| byte != 0) {
            return Err(GenesisError::Malformed);
        }
        let text = |bytes: &[u8]| {
            core::str::from_utf8(bytes).map(String::from).map_err(|_| GenesisError::Text)
        };
        let genesis = Self {
            frame: wide(0),
            hash_seed: wide(16),
            mode,
            scale: short(34),
            name: text(name)?,
            trust_domain: text(trust_domain)?,
            parameters,
        };
        genesis.validate()?;
        Ok(genesis)
    }
}

fn take<const N: usize>(head: &[u8; 64], at: usize) -> [u8; N] {
    let mut field = [0; N];
    for (target, source) in field.iter_mut().zip(head.iter().skip(at)) {
        *target = *source;
    }
    field
}

fn decode_parameters(entries: &[u8]) -> Result<Parameters, GenesisError> {
    let mut parameters = Parameters::default();
    for entry in entries.chunks_exact(32) {
        let (number, rest) = entry.split_first_chunk().ok_or(GenesisError::Malformed)?;
        let (zero, value) = rest.split_last_chunk().ok_or(GenesisError::Malformed)?;
        if zero.iter().any(|&byte| byte != 0) {
            return Err(GenesisError::Malformed);
        }
        let number = u16::from_le_bytes(*number);
        let parameter =
            Parameter::from_number(number).ok_or(GenesisError::UnknownParameter(number))?;
        parameters = parameters.with(parameter, u128::from_le_bytes(*value));
    }
    Ok(parameters)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn genesis() -> Genesis {
        Genesis {
            frame: 0x11,
            hash_seed: 0x22,
            mode: Mode::Frame,
            scale: 6,
            name: "AVT".into(),
            trust_domain: "frame.test".into(),
            parameters: Parameters::default().with(Parameter::FeeBase, 7_000),
        }
    }

    #[test]
    fn it_reads_back_as_written() {
        let bytes = genesis().encode();
        assert_eq!(bytes.len() % 16, 0);
        assert_eq!(Genesis::decode(&bytes), Ok(genesis()));
    }

    #[test]
    fn every_cut_and_flipped_byte_is_an_error_or_another_genesis() {
        let bytes = genesis().encode();
        for len in 0..bytes.len() {
            assert!(
                Genesis::decode(&bytes[..len])
                    .map_or(true, |read| read != genesis() || len + 16 > bytes.len())
            );
        }
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0x80;
            assert_ne!(Genesis::decode(&damaged), Ok(genesis()), "byte {at}");
        }
    }

    #[test]
    fn what_cannot_be_says_why() {
        let with = |change: fn(&mut Genesis)| {
            let mut genesis = genesis();
            change(&mut genesis);
            genesis.validate()
        };
        assert_eq!(with(|genesis| genesis.scale = 19), Err(GenesisError::Scale(19)));
        assert_eq!(with(|genesis| genesis.name.clear()), Err(GenesisError::Text));
        assert_eq!(
            with(|genesis| genesis.parameters = genesis.parameters.with(Parameter::FeeBase, 1)),
            Err(GenesisError::Parameter(Parameter::FeeBase))
        );
    }
}
