//! Payments from a file: `from,to,amount[,at]` a line, owners as UUIDs, amounts in major units,
//! `at` in seconds after the start. A head line with those names may come first.

use std::fmt;

use protocol::OwnerId;
use protocol::amount::{self, AmountError};
use protocol::ids::parse_uuid;

/// One payment of the file.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Payment {
    /// Debited owner.
    pub from: OwnerId,
    /// Credited owner.
    pub to: OwnerId,
    /// Minor units.
    pub amount: u128,
    /// Milliseconds after the start; in the order of the file if there is none.
    pub at_ms: Option<u64>,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PaymentError {
    /// Line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub cause: Cause,
}

/// What is wrong with a line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// Not three or four columns.
    Columns(usize),
    /// A column that should be a UUID.
    Owner(String),
    /// The amount.
    Amount(AmountError),
    /// The time.
    At(String),
}

impl fmt::Display for PaymentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: ", self.line)?;
        match &self.cause {
            Cause::Columns(count) => write!(f, "{count} columns; write from,to,amount[,at]"),
            Cause::Owner(text) => write!(f, "{text:?} is not a UUID"),
            Cause::Amount(error) => error.fmt(f),
            Cause::At(text) => write!(f, "{text:?} is not a number of seconds"),
        }
    }
}

impl std::error::Error for PaymentError {}

/// Reads every payment of `text`; empty lines and lines that begin with `#` are passed over.
///
/// # Errors
///
/// The first line that is not a payment.
pub fn parse(text: &str, scale: u16) -> Result<Vec<Payment>, PaymentError> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    lines
        .filter(|(line, text)| {
            let is_head = *line == 1 && text.to_ascii_lowercase().starts_with("from,");
            !text.is_empty() && !text.starts_with('#') && !is_head
        })
        .map(|(line, text)| payment(text, scale).map_err(|cause| PaymentError { line, cause }))
        .collect()
}

fn payment(text: &str, scale: u16) -> Result<Payment, Cause> {
    let columns: Vec<&str> = text.split(',').map(str::trim).collect();
    let (from, to, value, at) = match *columns {
        [from, to, value] => (from, to, value, None),
        [from, to, value, at] => (from, to, value, Some(at)),
        _ => return Err(Cause::Columns(columns.len())),
    };
    let owner = |text: &str| parse_uuid(text).ok_or_else(|| Cause::Owner(text.to_owned()));
    let at_ms = match at {
        None | Some("") => None,
        Some(text) => {
            let seconds: f64 = text.parse().map_err(|_| Cause::At(text.to_owned()))?;
            if !(0.0..1e9).contains(&seconds) {
                return Err(Cause::At(text.to_owned()));
            }
            Some((seconds * 1_000.0) as u64)
        }
    };
    let amount = amount::parse(value, scale).map_err(Cause::Amount)?;
    Ok(Payment { from: owner(from)?, to: owner(to)?, amount, at_ms })
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "018f6f0e-8a10-7000-8000-000000000001";
    const B: &str = "018f6f0e-8a10-7000-8000-000000000002";

    #[test]
    fn lines_are_read_and_mistakes_are_named() {
        let text = format!("from,to,amount,at\n# a comment\n{A},{B},12.5\n\n{B},{A},1,0.25\n");
        let payments = parse(&text, 6).unwrap();
        assert_eq!(payments.len(), 2);
        assert_eq!(payments[0].amount, 12_500_000);
        assert_eq!(payments[1].at_ms, Some(250));
        for (line, cause) in [
            (format!("{A},{B}"), Cause::Columns(2)),
            (format!("{A},bob,1"), Cause::Owner("bob".into())),
            (format!("{A},{B},-1"), Cause::Amount(AmountError::Character { at: 0 })),
            (format!("{A},{B},1,soon"), Cause::At("soon".into())),
            (format!("{A},{B},1,-1"), Cause::At("-1".into())),
        ] {
            assert_eq!(parse(&line, 6), Err(PaymentError { line: 1, cause }));
        }
    }
}
