//! What the API document promises, held against the code and the written contract.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{Request, header};
use http_body_util::BodyExt;
use protocol::Status;
use serde_json::Value;
use tower::ServiceExt;

use super::operation::Sort;
use super::*;

const CONTRACT: &str = include_str!("../../../docs/http-api.md");

fn document() -> Value {
    openapi::document(&mut operations())
}

/// The statuses of the problems' table, with what its second column says.
fn problem_rows() -> Vec<(Vec<u16>, &'static str)> {
    let (_, table) = CONTRACT.split_once("| status | refusals |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let row = |line: &'static str| {
        let mut columns = line.trim_matches('|').splitn(2, '|');
        let statuses = columns.next().unwrap().split(',');
        let statuses = statuses.map(|status| status.trim().parse().unwrap()).collect();
        (statuses, columns.next().unwrap())
    };
    rows.map(row).collect()
}

#[test]
fn every_refusal_has_the_status_that_the_contract_lists() {
    let rows = problem_rows();
    let named = |name: &str| {
        let quoted = format!("`{name}`");
        rows.iter().find(|(_, text)| text.contains(&quoted)).map(|(statuses, _)| statuses)
    };
    for status in Status::ALL.iter().filter(|status| !status.is_ok()) {
        let class = format!("{}xx", status.number() / 100);
        let of_class = || rows.iter().find(|(_, text)| text.contains(&class));
        let listed = named(status.name()).or_else(|| of_class().map(|(statuses, _)| statuses));
        assert_eq!(listed, Some(&vec![problem::http_status(*status)]), "{status}");
    }
    for own in Own::ALL {
        let listed = named(own.name()).unwrap_or_else(|| panic!("{} is not listed", own.name()));
        assert!(listed.contains(&own.http_status()), "{}", own.name());
        let number = format!("`{}` {}", own.name(), own.number());
        assert!(CONTRACT.contains(&number), "the contract lacks {number}");
    }
}

#[test]
fn every_operation_of_the_contract_is_served_and_the_other_way_round() {
    let (_, table) = CONTRACT.split_once("| method and path | does |").unwrap();
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let mut listed = Vec::new();
    for row in rows {
        let column = row.trim_start_matches('|').split('|').next().unwrap();
        let mut last = String::new();
        for text in column.split('`').skip(1).step_by(2) {
            let text = text.split('?').next().unwrap();
            let text = match text.strip_prefix('…') {
                Some(tail) => format!("{}{tail}", last.rsplit_once('/').unwrap().0),
                None if text.starts_with(['G', 'P']) => text.to_owned(),
                None => format!("{} {text}", last.split(' ').next().unwrap()),
            };
            last.clone_from(&text);
            listed.push(text);
        }
    }
    listed.sort();
    let served = operations();
    let mut served: Vec<String> =
        served.iter().map(|it| format!("{} {}", it.method.to_uppercase(), it.path)).collect();
    served.sort();
    assert_eq!(listed, served);
}

#[test]
fn every_operation_has_an_example_that_its_handler_reads() {
    for operation in operations() {
        let name = format!("{} {}", operation.method, operation.path);
        assert!(!operation.summary.is_empty() && !operation.tag.is_empty(), "{name}");
        let is_json = operation.answer.media_type == "application/json";
        let is_contract = operation.tag == "contract";
        assert_eq!(operation.answer.example.is_some(), is_json && !is_contract, "{name}");
        if operation.method == "get" || operation.sort == Sort::Batch {
            continue;
        }
        let check = operation.check.unwrap_or_else(|| panic!("{name} reads nothing"));
        if let Err(problem) = check(operation.body_example.as_bytes()) {
            panic!("{name}: {}", serde_json::to_string(&problem).unwrap());
        }
    }
}

/// Every value under `schema`'s reference, as far as the document needs it.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let place = schema["$ref"].as_str().and_then(|place| place.strip_prefix('#'));
    place.map_or(schema, |place| document.pointer(place).unwrap_or_else(|| panic!("{place}")))
}

fn each_reference(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match (key.as_str(), value) {
                    ("$ref", Value::String(place)) => found.push(place.clone()),
                    _ => each_reference(value, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| each_reference(value, found)),
        _ => {}
    }
}

#[test]
fn the_document_is_whole_and_closed() {
    let document = document();
    let mut references = Vec::new();
    each_reference(&document, &mut references);
    for place in references {
        let pointer = place.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{place}");
    }
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        if schema.get("properties").is_some() {
            assert_eq!(schema["type"], "object", "{name}");
            assert_eq!(schema["additionalProperties"], false, "{name}");
        }
    }
    let mut ids = BTreeMap::new();
    for methods in document["paths"].as_object().unwrap().values() {
        for operation in methods.as_object().unwrap().values() {
            *ids.entry(operation["operationId"].to_string()).or_insert(0) += 1;
        }
    }
    assert!(ids.values().all(|&count| count == 1), "{ids:?}");
}

/// Whether `value` has exactly the fields that its schema names, all the way down.
fn assert_fits(document: &Value, schema: &Value, value: &Value, place: &str) {
    let schema = resolved(document, schema);
    if let Some(choices) = schema["oneOf"].as_array() {
        let of_kind = |choice: &&Value| {
            let choice = resolved(document, choice);
            let required = choice["required"].as_array().map_or(&[][..], Vec::as_slice);
            required.iter().all(|name| value.get(name.as_str().unwrap()).is_some())
        };
        if value.is_object() {
            assert!(choices.iter().any(|choice| of_kind(&choice)), "{place}: {value}");
        }
        return;
    }
    match value {
        Value::Object(object) => {
            let none = serde_json::Map::new();
            let fields = schema["properties"].as_object().unwrap_or(&none);
            for (name, value) in object {
                let field = fields.get(name).unwrap_or_else(|| panic!("{place}: {name}"));
                assert_fits(document, field, value, &format!("{place}/{name}"));
            }
            for name in schema["required"].as_array().map_or(&[][..], Vec::as_slice) {
                assert!(object.contains_key(name.as_str().unwrap()), "{place} lacks {name}");
            }
        }
        Value::Array(list) => {
            for value in list {
                assert_fits(document, &schema["items"], value, place);
            }
        }
        Value::String(_) => assert_eq!(schema["type"], "string", "{place}"),
        Value::Number(_) => assert_eq!(schema["type"], "integer", "{place}"),
        Value::Bool(_) => assert_eq!(schema["type"], "boolean", "{place}"),
        Value::Null => panic!("{place} is null"),
    }
}

#[test]
fn examples_fit_their_schemas() {
    let document = document();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let responses = operation["responses"].as_object().unwrap().values();
            let contents = responses.filter_map(|response| response["content"].as_object());
            let contents = contents.chain(operation["requestBody"]["content"].as_object());
            for content in contents.flat_map(|contents| contents.values()) {
                let Some(example) = content.get("example") else {
                    continue;
                };
                assert_fits(&document, &content["schema"], example, &format!("{method} {path}"));
            }
        }
    }
}

#[test]
fn the_page_has_every_operation_and_every_problem_and_no_script() {
    let document = document();
    let page = page::page(&document);
    assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"));
    for operation in operations() {
        assert!(page.contains(&format!("{} {}", operation.method.to_uppercase(), operation.path)));
    }
    for status in Status::ALL.iter().filter(|status| !status.is_ok()) {
        assert!(page.contains(&format!("id=\"{status}\"")), "{status}");
    }
}

#[test]
fn equal_refusals_are_equal_bytes() {
    let shown = |status, sequence| {
        let problem = Problem::refused(status).of(values::Id(1), sequence);
        serde_json::to_string(&problem).unwrap()
    };
    for status in Status::ALL.iter().copied().filter(|status| !status.is_ok()) {
        // A repeat of what is remembered has the first one's sequence.
        let is_equal = shown(status, 7) == shown(status, 8);
        assert_eq!(is_equal, !status.is_remembered(), "{status}");
    }
}

#[test]
fn whoever_may_come_again_is_told_when() {
    let engine = Status::ALL.iter().filter(|status| !status.is_ok());
    let engine = engine.map(|status| Problem::refused(*status));
    for problem in engine.chain(Own::ALL.iter().map(|own| Problem::own(*own))) {
        let (name, status) = (problem.name(), problem.http_status());
        let response = axum::response::IntoResponse::into_response(problem);
        let is_told = response.headers().contains_key(header::RETRY_AFTER);
        assert_eq!(is_told, matches!(status, 429 | 503 | 507), "{name}");
        assert_eq!(response.headers()[header::CONTENT_TYPE], problem::MEDIA_TYPE);
    }
}

#[test]
fn the_pointer_of_a_refusal_is_a_field_of_the_operation() {
    let document = document();
    let fields = |path: &str, method: &str| {
        let place = "/requestBody/content/application~1json/schema".to_owned();
        let operation = &document["paths"][path][method];
        let schema = resolved(&document, operation.pointer(&place).unwrap());
        schema["properties"].as_object().unwrap().clone()
    };
    use protocol::{Command, CommandId, Kind};
    for (kind, path, method) in [
        (Kind::Open, "/v1/accounts", "post"),
        (Kind::Freeze, "/v1/accounts/{owner}/{asset}/freeze", "post"),
        (Kind::Close, "/v1/accounts/{owner}/{asset}/close", "post"),
        (Kind::Limits, "/v1/accounts/{owner}/{asset}/limits", "put"),
        (Kind::Rehost, "/v1/owners/{owner}/rehost", "post"),
        (Kind::AgentOnly, "/v1/owners/{owner}/agent-only", "put"),
        (Kind::Transfer, "/v1/transfers", "post"),
        (Kind::Hold, "/v1/holds", "post"),
        (Kind::Capture, "/v1/holds/{debit}/{asset}/{hold}/capture", "post"),
        (Kind::Release, "/v1/holds/{debit}/{asset}/{hold}/release", "post"),
        (Kind::SystemTransfer, "/v1/system-transfers", "post"),
        (Kind::Issue, "/v1/issues", "post"),
        (Kind::Burn, "/v1/burns", "post"),
        (Kind::Configure, "/v1/parameters/{name}", "put"),
        (Kind::Asset, "/v1/assets", "post"),
        (Kind::HaltMint, "/v1/mint/halt", "post"),
    ] {
        let fields = fields(path, method);
        for status in Status::ALL.iter().copied() {
            let problem = write::refusal(status, &Command::new(kind, CommandId(1)));
            let shown = serde_json::to_value(&problem).unwrap();
            let Some(pointer) = shown["pointer"].as_str() else {
                continue;
            };
            let field = pointer.strip_prefix('/').unwrap();
            // Statuses that the kind never has may name fields that it lacks.
            let is_of_kind = fields.contains_key(field) || !has(kind, status);
            assert!(is_of_kind, "{kind:?} {status}: {pointer}");
        }
    }
}

/// Whether `docs/rules.md` §6 lets a kind be refused so; what every kind has is true of all.
fn has(kind: protocol::Kind, status: Status) -> bool {
    use protocol::Kind as K;
    match status {
        Status::AssetExists => kind == K::Asset,
        Status::HostRefuses => kind == K::Rehost,
        Status::KeepNotAllowed => kind == K::Capture,
        Status::ExpiryBounds => kind == K::Hold,
        Status::FeeAboveLimit => matches!(kind, K::Transfer | K::Hold | K::Capture),
        Status::CapacityShrinks => kind == K::Configure,
        Status::CreditCap => kind == K::Limits,
        Status::SameAccount => matches!(kind, K::Transfer | K::Hold | K::Close),
        _ => true,
    }
}

async fn asked(method: &str, path: &str, headers: &[(&str, &str)]) -> (u16, String, Value) {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let router = router().fallback(no_route).method_not_allowed_fallback(no_method);
    let response = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status().as_u16();
    let allow = response.headers().get(header::ALLOW);
    let allow = allow.map_or("", |allow| allow.to_str().unwrap()).to_owned();
    let body = response.into_body().collect().await.unwrap().to_bytes();
    (status, allow, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn what_is_not_served_is_a_problem() {
    let (status, _, problem) = asked("GET", "/v1/nothing", &[]).await;
    assert_eq!((status, problem["title"].as_str()), (404, Some("route_not_found")));
    let (status, allow, problem) = asked("DELETE", "/v1/parameters/fee.base", &[]).await;
    assert_eq!((status, problem["title"].as_str()), (405, Some("method_not_allowed")));
    assert!(allow.contains("GET") && allow.contains("PUT"), "{allow}");
    let (status, allow, _) = asked("OPTIONS", "/v1/transfers", &[]).await;
    assert_eq!((status, allow.as_str()), (405, "POST"));
}

#[tokio::test]
async fn the_contract_is_served_once() {
    let (status, _, document) = asked("GET", "/openapi.json", &[]).await;
    assert_eq!((status, document["openapi"].as_str()), (200, Some("3.1.0")));
    let (status, _, problem) = asked("GET", "/openapi.json", &[("accept", "text/html")]).await;
    assert_eq!((status, problem["title"].as_str()), (406, Some("not_acceptable")));
    assert_eq!(asked("GET", "/docs", &[("accept", "text/html")]).await.0, 200);
    let (status, _, problem) = asked("GET", "/docs?x=1", &[]).await;
    assert_eq!((status, problem["title"].as_str()), (400, Some("query_invalid")));
    assert_eq!(asked("GET", "/openapi.json", &[("if-none-match", "*")]).await.0, 304);
}
