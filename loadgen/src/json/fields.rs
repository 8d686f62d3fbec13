//! Writing the members of one JSON object, and owners, ids and amounts as the door writes them.

use std::io::Write as _;

use protocol::limits::{AMOUNT_MAX, SCALE_MAX};
use protocol::system::{self, Class};
use protocol::{Command, OwnerId, amount};

/// Members of the one object of a body.
pub(super) struct Fields<'a> {
    pub(super) out: &'a mut Vec<u8>,
    pub(super) scale: u16,
    pub(super) any: bool,
}

impl Fields<'_> {
    fn name(&mut self, name: &str) {
        self.out.push(if self.any { b',' } else { b'{' });
        self.any = true;
        self.out.push(b'"');
        self.out.extend_from_slice(name.as_bytes());
        self.out.extend_from_slice(b"\":");
    }

    pub(super) fn end(&mut self) {
        self.out.push(b'}');
    }

    pub(super) fn raw(&mut self, name: &str, value: &[u8]) {
        self.name(name);
        self.out.extend_from_slice(value);
    }

    pub(super) fn text(&mut self, name: &str, value: &str) {
        self.name(name);
        serde_json::to_writer(&mut *self.out, value).expect("a text can be written to memory");
    }

    pub(super) fn number(&mut self, name: &str, value: u64) {
        self.name(name);
        write!(self.out, "{value}").expect("memory takes every byte");
    }

    pub(super) fn optional_number(&mut self, name: &str, value: u64) {
        if value != 0 {
            self.number(name, value);
        }
    }

    pub(super) fn asset(&mut self, command: &Command) {
        if command.asset != protocol::ids::NATIVE {
            self.number("asset", u64::from(command.asset));
        }
    }

    pub(super) fn uuid(&mut self, name: &str, id: u128) {
        self.name(name);
        self.out.push(b'"');
        self.out.extend_from_slice(&uuid_text(id));
        self.out.push(b'"');
    }

    pub(super) fn optional_uuid(&mut self, name: &str, id: u128) {
        if id != 0 {
            self.uuid(name, id);
        }
    }

    pub(super) fn owner(&mut self, name: &str, owner: OwnerId) -> Option<()> {
        if !system::is_system(owner) {
            self.uuid(name, owner);
            return Some(());
        }
        self.name(name);
        write!(self.out, "\"{}\"", system_name(owner)?).ok()
    }

    pub(super) fn optional_owner(&mut self, name: &str, owner: OwnerId) -> Option<()> {
        if owner == 0 { Some(()) } else { self.owner(name, owner) }
    }

    /// An amount of at most 39 digits, as the door reads it.
    pub(super) fn amount(&mut self, name: &str, minor: u128) -> Option<()> {
        self.name(name);
        self.out.push(b'"');
        match u64::try_from(minor) {
            Ok(minor) => push_decimal(self.out, minor, self.scale),
            Err(_) => self.out.extend_from_slice(amount::format(minor, self.scale).as_bytes()),
        }
        self.out.push(b'"');
        (minor <= AMOUNT_MAX).then_some(())
    }
}

/// As [`amount::format`], for the amounts of every day.
pub(super) fn push_decimal(out: &mut Vec<u8>, minor: u64, scale: u16) {
    let scale = usize::from(scale.min(SCALE_MAX));
    let mut digits = [b'0'; 48];
    let (mut rest, mut at) = (minor, digits.len());
    let first = digits.len() - (scale + 1);
    while rest > 0 || at > first {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    let (major, fraction) = digits[at..].split_at(48 - at - scale);
    out.extend_from_slice(major);
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction);
    }
}

fn uuid_text(id: u128) -> [u8; 36] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let mut at = 0;
    for (place, byte) in id.to_be_bytes().into_iter().enumerate() {
        if matches!(place, 4 | 6 | 8 | 10) {
            at += 1;
        }
        text[at] = HEX[usize::from(byte >> 4)];
        text[at + 1] = HEX[usize::from(byte & 15)];
        at += 2;
    }
    text
}

pub(super) fn push_uuid(path: &mut String, id: u128) {
    path.push_str(std::str::from_utf8(&uuid_text(id)).expect("hexadecimal digits are text"));
}

pub(super) fn push_account(path: &mut String, command: &Command) -> Option<()> {
    push_owner(path, command.debit)?;
    path.push('/');
    path.push_str(&command.asset.to_string());
    Some(())
}

pub(super) fn push_owner(path: &mut String, owner: OwnerId) -> Option<()> {
    if system::is_system(owner) {
        path.push_str(&system_name(owner)?);
    } else {
        push_uuid(path, owner);
    }
    Some(())
}

fn system_name(owner: OwnerId) -> Option<String> {
    match system::classify(owner)? {
        (Class::FeeCollector, host) => Some(format!("fee_collector:{host}")),
        (Class::Treasury, host) => Some(format!("treasury:{host}")),
        (Class::StakingPool, 0) => Some("staking_pool".to_owned()),
        (Class::GrantPool, 0) => Some("grant_pool".to_owned()),
        _ => None,
    }
}
