//! Content negotiation: whether `Accept` (RFC 9110 §12.5.1) allows the one form that an answer has.
//!
//! It chooses nothing, because there is nothing to choose from.

use axum::http::{HeaderMap, header};

/// Whether a caller takes `kind/subtype`: yes without `Accept`; else the most specific range that
/// covers it decides by its weight.
pub(crate) fn allows(headers: &HeaderMap, kind: &str, subtype: &str) -> bool {
    let mut best: Option<(u8, bool)> = None;
    let mut values = headers.get_all(header::ACCEPT).iter().peekable();
    if values.peek().is_none() {
        return true;
    }
    for value in values {
        let Ok(text) = value.to_str() else {
            continue;
        };
        for range in text.split(',') {
            if let Some((specific, wanted)) = judge(range, kind, subtype)
                && best.is_none_or(|(known, _)| specific >= known)
            {
                best = Some((specific, wanted));
            }
        }
    }
    best.is_some_and(|(_, wanted)| wanted)
}

/// How specific a range that covers the type is, and whether its weight is above zero.
fn judge(range: &str, kind: &str, subtype: &str) -> Option<(u8, bool)> {
    let mut parts = range.split(';').map(str::trim);
    let (left, right) = parts.next()?.split_once('/')?;
    let specific = match (left, right) {
        ("*", "*") => 0,
        (left, "*") if left.eq_ignore_ascii_case(kind) => 1,
        (left, right) if left.eq_ignore_ascii_case(kind) && right.eq_ignore_ascii_case(subtype) => {
            2
        }
        _ => return None,
    };
    let weight = parts.find_map(|part| part.strip_prefix(['q', 'Q'])?.strip_prefix('='));
    let is_zero = weight.is_some_and(|text| !text.bytes().any(|byte| matches!(byte, b'1'..=b'9')));
    Some((specific, !is_zero))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_specific_range_decides() {
        let json = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT, text.parse().unwrap());
            allows(&headers, "application", "json")
        };
        assert!(allows(&HeaderMap::new(), "application", "json"));
        for text in [
            "*/*",
            "application/*",
            "application/json",
            "Application/JSON;charset=utf-8",
            "text/html, application/json;q=0.1",
            "text/html;q=0.9,*/*;q=0.1",
            "application/json, */*;q=0",
        ] {
            assert!(json(text), "{text}");
        }
        for text in [
            "text/html",
            "",
            "application/xml, text/*",
            "application/json;q=0",
            "*/*, application/json;q=0.0",
            "*/*;q=0",
            "json",
        ] {
            assert!(!json(text), "{text}");
        }
    }
}
