//! Payments of a file: CSV or JSON lines, with the field names of the HTTPS door. Reads text only;
//! amounts stay text until the scale of their asset is known.
//!
//! Invariant: a file with one bad line is refused as a whole, and the line is named.

use std::borrow::Cow;

use client::{AssetId, CommandId, OwnerId};
use protocol::ids::NATIVE;
use serde::Deserialize;

use crate::cli::values;

/// Most payments of one file, so that a wrong file is refused before it fills the memory.
pub(crate) const PAYMENTS_MAX: usize = 1_000_000;
/// Columns of a CSV file whose first line does not name them.
const COLUMNS: [&str; 3] = ["debit", "credit", "amount"];

/// One payment of the file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Payment {
    /// Line, from 1.
    pub(crate) line: usize,
    pub(crate) id: Option<CommandId>,
    pub(crate) debit: OwnerId,
    pub(crate) credit: OwnerId,
    pub(crate) amount: String,
    pub(crate) asset: AssetId,
    pub(crate) max_rate: u64,
    pub(crate) reference: Option<CommandId>,
    pub(crate) memo: Option<String>,
    pub(crate) user_data: u64,
}

/// A line as it is written.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    #[serde(borrow)]
    id: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    debit: Cow<'a, str>,
    #[serde(borrow, default)]
    credit: Cow<'a, str>,
    #[serde(borrow, default)]
    amount: Cow<'a, str>,
    asset: Option<AssetId>,
    max_rate: Option<u64>,
    #[serde(borrow)]
    reference: Option<Cow<'a, str>>,
    #[serde(borrow)]
    memo: Option<Cow<'a, str>>,
    user_data: Option<u64>,
}

/// Reads every payment of `text`; empty lines and lines that begin with `#` are passed over.
pub(crate) fn parse(text: &str) -> Result<Vec<Payment>, String> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    let lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    let mut payments = Vec::new();
    let mut columns: Option<Vec<String>> = None;
    for (number, line) in lines {
        let payment = if line.starts_with('{') {
            json_line(number, line)
        } else {
            match &columns {
                None if names_columns(line) => {
                    columns = Some(named_columns(number, line)?);
                    continue;
                }
                None => {
                    let columns = columns.insert(COLUMNS.map(str::to_owned).to_vec());
                    csv_line(number, line, columns)
                }
                Some(columns) => csv_line(number, line, columns),
            }
        };
        if payments.len() == PAYMENTS_MAX {
            return Err(format!(
                "line {number}: more than {PAYMENTS_MAX} payments; split the file"
            ));
        }
        payments.push(payment.map_err(|cause| format!("line {number}: {cause}"))?);
    }
    if payments.is_empty() {
        return Err("there is no payment in the file".to_owned());
    }
    Ok(payments)
}

fn json_line(number: usize, line: &str) -> Result<Payment, String> {
    let line: Line<'_> = serde_json::from_str(line).map_err(|cause| cause.to_string())?;
    payment(number, line)
}

fn csv_line(number: usize, line: &str, columns: &[String]) -> Result<Payment, String> {
    let cells = split(line)?;
    if cells.len() != columns.len() {
        let (found, wanted) = (cells.len(), columns.join(","));
        return Err(format!("{found} columns; write {wanted}"));
    }
    let mut read = Line::default();
    for (column, cell) in columns.iter().zip(cells) {
        if cell.is_empty() {
            continue;
        }
        let number =
            || cell.parse::<u64>().map_err(|_| format!("{column}: {cell:?} is not a number"));
        match column.as_str() {
            "debit" | "from" => read.debit = cell.into(),
            "credit" | "to" => read.credit = cell.into(),
            "amount" => read.amount = cell.into(),
            "id" => read.id = Some(cell.into()),
            "reference" => read.reference = Some(cell.into()),
            "memo" => read.memo = Some(cell.into()),
            "asset" => {
                let asset = AssetId::try_from(number()?);
                read.asset = Some(asset.map_err(|cause| format!("asset: {cause}"))?);
            }
            "max_rate" => read.max_rate = Some(number()?),
            _ => read.user_data = Some(number()?),
        }
    }
    payment(number, read)
}

/// A first line without a digit names columns: every payment has an amount.
fn names_columns(line: &str) -> bool {
    !line.contains(|letter: char| letter.is_ascii_digit())
}

fn named_columns(number: usize, line: &str) -> Result<Vec<String>, String> {
    let columns: Vec<_> = line.split(',').map(|name| name.trim().to_ascii_lowercase()).collect();
    for (at, name) in columns.iter().enumerate() {
        let known = matches!(
            name.as_str(),
            "debit"
                | "from"
                | "credit"
                | "to"
                | "amount"
                | "asset"
                | "id"
                | "max_rate"
                | "reference"
                | "memo"
                | "user_data"
        );
        if !known || columns[..at].contains(name) {
            return Err(format!(
                "line {number}: {name:?} is no column, or is there twice; there are debit, credit, \
                 amount, asset, id, max_rate, reference, memo and user_data"
            ));
        }
    }
    Ok(columns)
}

fn payment(number: usize, line: Line<'_>) -> Result<Payment, String> {
    let owner = |name: &str, text: &str| {
        values::owner(text).map_err(|cause| format!("{name} {text:?}: {cause}"))
    };
    let id = |text: Option<Cow<'_, str>>| {
        let read =
            text.map(|text| values::command_id(&text).map_err(|why| format!("{text:?}: {why}")));
        read.transpose()
    };
    if line.amount.is_empty() {
        return Err("there is no amount; write it as a text in major units, like 12.50".to_owned());
    }
    Ok(Payment {
        line: number,
        id: id(line.id)?,
        debit: owner("debit", &line.debit)?,
        credit: owner("credit", &line.credit)?,
        amount: line.amount.into_owned(),
        asset: line.asset.unwrap_or(NATIVE),
        max_rate: line.max_rate.unwrap_or(0),
        reference: id(line.reference)?,
        memo: line.memo.map(Cow::into_owned),
        user_data: line.user_data.unwrap_or(0),
    })
}

/// Cells of a CSV line (RFC 4180): a quoted cell may hold commas, and quotes written twice.
fn split(line: &str) -> Result<Vec<String>, String> {
    let mut cells = Vec::new();
    let mut rest = line;
    loop {
        let (cell, after) = match rest.trim_start().strip_prefix('"') {
            Some(quoted) => unquote(quoted)?,
            None => {
                let end = rest.find(',').unwrap_or(rest.len());
                (rest[..end].trim().to_owned(), &rest[end..])
            }
        };
        cells.push(cell);
        match after.strip_prefix(',') {
            Some(next) => rest = next,
            None => return Ok(cells),
        }
    }
}

/// The cell after its opening quote, and what follows its closing one.
fn unquote(quoted: &str) -> Result<(String, &str), String> {
    let mut cell = String::new();
    let mut rest = quoted;
    loop {
        let end = rest.find('"').ok_or("a quoted cell does not end on its line")?;
        cell.push_str(&rest[..end]);
        rest = &rest[end + 1..];
        let Some(more) = rest.strip_prefix('"') else {
            break;
        };
        cell.push('"');
        rest = more;
    }
    let after = rest.trim_start();
    if after.is_empty() || after.starts_with(',') {
        return Ok((cell, after));
    }
    Err("something follows the closing quote of a cell".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "018f6f0e-8a10-7000-8000-000000000001";
    const B: &str = "018f6f0e-8a10-7000-8000-000000000002";

    #[test]
    fn csv_and_json_lines_say_the_same() {
        let csv = format!(
            "debit,credit,amount,memo,id,asset,user_data\n# one\n\n\
             {A},{B},12.5,\"a, \"\"b\"\"\",{A},2,7\n"
        );
        let json = format!(
            "\n{}",
            serde_json::json!({
                "debit": A, "credit": format!("did:theprotocol:{B}"), "amount": "12.5",
                "memo": "a, \"b\"", "id": A, "asset": 2, "user_data": 7
            })
        );
        let (mut csv, mut json) = (parse(&csv).unwrap(), parse(&json).unwrap());
        assert_eq!((csv[0].line, json[0].line), (4, 2));
        (csv[0].line, json[0].line) = (0, 0);
        assert_eq!(csv, json);
        assert_eq!(csv[0].memo.as_deref(), Some("a, \"b\""));
    }

    #[test]
    fn without_a_head_there_are_three_columns() {
        let payments = parse(&format!("{A},{B},1\n{B}, treasury:0 ,2")).unwrap();
        assert_eq!(payments.len(), 2);
        assert_eq!((payments[1].amount.as_str(), payments[1].line), ("2", 2));
        assert_eq!(payments[1].credit, protocol::system::treasury(0));
    }

    #[test]
    fn a_bad_line_is_named() {
        for (text, said) in [
            (String::new(), "no payment"),
            ("from,to,amount\n".to_owned(), "no payment"),
            ("from,to,amount,at\n".to_owned(), "line 1: \"at\""),
            ("from,to,to\n".to_owned(), "line 1: \"to\""),
            (format!("{A},{B}"), "line 1: 2 columns"),
            (format!("{A},{B},1\n{A},{B},1,2"), "line 2: 4 columns"),
            (format!("{A},bob 1,1"), "line 1: credit \"bob 1\""),
            (format!("{A},{B},"), "line 1: there is no amount"),
            (format!("{A},{B},\"1"), "line 1: a quoted cell"),
            (format!("{A},{B},\"1\"2"), "line 1: something follows"),
            (format!("from,to,amount,asset\n{A},{B},1,x"), "line 2: asset"),
            (format!("from,to,amount,asset\n{A},{B},1,4294967296"), "line 2: "),
            (format!(r#"{{"debit":"{A}","credit":"{B}","amount":1}}"#), "line 1: invalid type"),
            (format!(r#"{{"debit":"{A}","credit":"{B}","amount":"1","at":1}}"#), "unknown field"),
            (format!(r#"{{"debit":"{A}","debit":"{A}"}}"#), "duplicate field"),
        ] {
            let error = parse(&text).unwrap_err();
            assert!(error.contains(said), "{text:?}: {error}");
        }
    }
}
