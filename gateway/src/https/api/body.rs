//! Reading JSON bodies: the right media type, within the limit, once, with every mistake named.
//!
//! It keeps nothing and knows no operation. Invariant: what it refuses was refused before anything
//! was sequenced.

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{HeaderMap, header};
use bytes::BytesMut;
use http_body_util::BodyExt;
use serde::Deserialize;
use serde_json::error::Category;
use serde_path_to_error::{Path, Segment};

use super::problem::{Own, Problem};
use crate::https::arriving::BodyFault;

/// Longest body of one command.
pub(crate) const BODY_SIZE_MAX: usize = 64 << 10;
/// Longest body of a bulk request.
pub(crate) const BULK_SIZE_MAX: usize = 1 << 20;
/// Longest message about a mistake.
const DETAIL_LEN_MAX: usize = 400;

/// Reads the whole body.
pub(crate) async fn read(
    headers: &HeaderMap,
    mut body: Body,
    size_max: usize,
) -> Result<Bytes, Problem> {
    if !is_json(headers) {
        return Err(Problem::own(Own::UnsupportedMediaType)
            .detail("this operation reads application/json, encoded as UTF-8"));
    }
    let too_large = || {
        Problem::own(Own::BodyTooLarge).detail(format!("the body is more than {size_max} bytes"))
    };
    if body.size_hint().lower() > size_max as u64 {
        return Err(too_large());
    }
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Problem::of_body(BodyFault::of(&error)))?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if first.len() + rest.len() + data.len() > size_max {
            return Err(too_large());
        }
        if first.is_empty() {
            first = data;
        } else {
            rest.extend_from_slice(&data);
        }
    }
    if rest.is_empty() {
        return Ok(first);
    }
    let mut whole = BytesMut::with_capacity(first.len() + rest.len());
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&rest);
    Ok(whole.freeze())
}

/// Whether the content is said to be JSON, and in no other encoding than UTF-8.
fn is_json(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return false;
    };
    if value == "application/json" {
        return true;
    }
    let Ok(text) = value.to_str() else {
        return false;
    };
    let (essence, parameters) = text.split_once(';').unwrap_or((text, "charset=utf-8"));
    let parameter = parameters.trim();
    let charset = parameter.split_once('=').is_some_and(|(name, value)| {
        name.eq_ignore_ascii_case("charset")
            && value.trim_matches('"').eq_ignore_ascii_case("utf-8")
    });
    essence.trim().eq_ignore_ascii_case("application/json") && charset
}

/// Reads `bytes` as one `T`.
pub(crate) fn parse<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Problem> {
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => explained::<T>(bytes, &error),
        Category::Syntax | Category::Eof | Category::Io => {
            Problem::own(Own::InvalidJson).detail(detail(&error.to_string()))
        }
    })
}

/// Reads again, slowly, to learn where the mistake is.
fn explained<'a, T: Deserialize<'a>>(bytes: &'a [u8], error: &serde_json::Error) -> Problem {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let (path, message) = match serde_path_to_error::deserialize::<_, T>(&mut reader) {
        Err(error) => (pointer(error.path()), error.inner().to_string()),
        Ok(_) => (String::new(), error.to_string()),
    };
    let named = message
        .strip_prefix("missing field `")
        .or_else(|| message.strip_prefix("duplicate field `"))
        .or_else(|| message.strip_prefix("unknown field `"))
        .and_then(|rest| rest.split_once('`'));
    let pointer = match named {
        // The path ends at the object, or already names the field.
        Some((name, _)) if !path.ends_with(&format!("/{}", escaped(name))) => {
            format!("{path}/{}", escaped(name))
        }
        _ => path,
    };
    Problem::field(detail_of_pointer(pointer), detail(&message))
}

fn detail_of_pointer(pointer: String) -> String {
    if pointer.len() <= DETAIL_LEN_MAX { pointer } else { String::new() }
}

/// The path as a JSON pointer (RFC 6901).
fn pointer(path: &Path) -> String {
    path.iter().fold(String::new(), |mut pointer, segment| {
        match segment {
            Segment::Seq { index } => pointer.push_str(&format!("/{index}")),
            Segment::Map { key } | Segment::Enum { variant: key } => {
                pointer.push('/');
                pointer.push_str(&escaped(key));
            }
            Segment::Unknown => {}
        }
        pointer
    })
}

fn escaped(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}

fn detail(message: &str) -> String {
    let end =
        (0..=message.len().min(DETAIL_LEN_MAX)).rev().find(|&end| message.is_char_boundary(end));
    message.get(..end.unwrap_or(0)).unwrap_or("").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::https::api::values::{Id, Small, present};

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Outer {
        id: Id,
        #[serde(default, deserialize_with = "present")]
        asset: Option<Small>,
        #[serde(default)]
        list: Vec<Inner>,
    }

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    #[expect(dead_code, reason = "only whether it can be read matters")]
    struct Inner {
        #[serde(rename = "a/b~c")]
        odd: Id,
    }

    const ID: &str = "\"01900000-0000-7000-8000-00000000000a\"";

    fn refusal(json: &str) -> (String, Option<String>, String) {
        let problem = parse::<Outer>(json.as_bytes()).unwrap_err();
        let shown: serde_json::Value = serde_json::to_value(&problem).unwrap();
        let text = |key: &str| shown[key].as_str().map(str::to_owned);
        (text("title").unwrap(), text("pointer"), text("detail").unwrap())
    }

    #[test]
    fn every_mistake_is_named_with_its_place() {
        let of = |json: String| {
            let (title, pointer, detail) = refusal(&json);
            assert_eq!(title, "field_invalid", "{json}: {detail}");
            pointer.unwrap()
        };
        assert_eq!(of("{}".into()), "/id");
        assert_eq!(of("{\"id\":5}".into()), "/id");
        assert_eq!(of("{\"id\":null}".into()), "/id");
        assert_eq!(of(format!("{{\"id\":{ID},\"asset\":null}}")), "/asset");
        assert_eq!(of(format!("{{\"id\":{ID},\"asset\":-1}}")), "/asset");
        assert_eq!(of(format!("{{\"id\":{ID},\"asset\":1,\"asset\":1}}")), "/asset");
        assert_eq!(of(format!("{{\"id\":{ID},\"no\":1}}")), "/no");
        assert_eq!(of(format!("{{\"id\":{ID},\"list\":[{{\"a/b~c\":1}}]}}")), "/list/0/a~1b~0c");
        assert_eq!(of(format!("{{\"id\":{ID},\"list\":[{{}}]}}")), "/list/0/a~1b~0c");
        assert_eq!(of("[]".into()), "");
    }

    #[test]
    fn what_is_no_json_is_told_apart_from_wrong_fields() {
        for json in ["", "{", "{\"id\":}", "nope", "{\"id\":1}x", "\u{feff}{}"] {
            assert!(matches!(refusal(json).0.as_str(), "invalid_json" | "field_invalid"), "{json}");
        }
        assert_eq!(refusal("{").0, "invalid_json");
        assert_eq!(refusal("").0, "invalid_json");
        let problem = parse::<Outer>(b"{\"id\":\"\xff\"}").unwrap_err();
        assert_eq!(problem.name(), "invalid_json");
    }

    #[test]
    fn a_long_unknown_field_does_not_come_back_whole() {
        let json = format!("{{\"{}\":1}}", "x".repeat(10_000));
        let (_, pointer, detail) = refusal(&json);
        assert!(detail.len() <= DETAIL_LEN_MAX && pointer.unwrap().len() <= DETAIL_LEN_MAX);
    }

    #[test]
    fn only_json_in_utf_8_is_read() {
        let is = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, value.parse().unwrap());
            is_json(&headers)
        };
        assert!(is("application/json") && is("application/json; charset=utf-8"));
        assert!(is("Application/JSON;charset=\"UTF-8\""));
        for other in [
            "text/json",
            "application/jsonx",
            "application/json; charset=latin1",
            "application/json; x=y",
            "application/problem+json",
        ] {
            assert!(!is(other), "{other}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
