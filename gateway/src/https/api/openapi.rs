//! The API document: OpenAPI 3.1, made from the operations that the router is made from.
//!
//! It describes nothing that is not served. Invariant: every answer that an operation can give is
//! in it, refusals included.

use std::collections::BTreeMap;

use protocol::command::reason;
use serde_json::{Map, Value, json};

use super::operation::{Content, Operation, Parameter, Sort};
use super::problem::Problem;
use super::values::{Id, Owner};

/// The document.
pub(crate) fn document(operations: &mut [Operation]) -> Value {
    let mut schemas = BTreeMap::new();
    if let Some(first) = operations.first_mut() {
        // The parameters of paths name these.
        first.schema_of::<Id>();
        first.schema_of::<Owner>();
        first.schema_of::<Problem>();
        first.schema_of::<super::frame::ParameterName>();
    }
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations.iter() {
        for (name, schema) in &operation.schemas {
            let schema = serde_json::to_value(schema).expect("schemas are JSON");
            schemas.insert(name.clone(), closed(schema));
        }
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        path[operation.method] = described(operation);
    }
    for corrects in ["IssueRequest", "BurnRequest"] {
        if let Some(schema) = schemas.get_mut(corrects) {
            schema["if"] = json!({
                "properties": {"code": {"enum": ["correction", reason::CORRECTION]}},
                "required": ["code"],
            });
            schema["then"] = json!({"required": ["reason"]});
        }
    }
    if let Some(schema) = schemas.get_mut("CaptureRequest") {
        // Without an amount everything is captured, so that nothing is left to keep.
        schema["if"] = json!({"properties": {"keep": {"const": true}}, "required": ["keep"]});
        schema["then"] = json!({"required": ["amount"]});
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Bezant",
            "version": env!("CARGO_PKG_VERSION"),
            "description": INTRODUCTION,
            "license": {"name": "AGPL-3.0-only", "identifier": "AGPL-3.0-only"},
        },
        "servers": [{"url": "/"}],
        "security": [{"svid": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": problems(),
            "headers": headers(),
            "securitySchemes": {
                "svid": {"type": "mutualTLS", "description": "An X.509-SVID (SPIFFE)."},
            },
        },
    })
}

const INTRODUCTION: &str = "Everything that the frame can do, over HTTP/1.1 and HTTP/2. Who the \
    caller is comes from its certificate alone. Amounts are decimal strings in major units. Every \
    write has an id in its body, or an Idempotency-Key, and takes effect at most once; an answer \
    that did not come is unknown: send the same request again.";

/// An object takes no fields but those that it names.
fn closed(mut schema: Value) -> Value {
    if let Some(object) = schema.as_object_mut() {
        if object.contains_key("properties") {
            object.insert("additionalProperties".to_owned(), Value::Bool(false));
        }
        for value in object.values_mut() {
            *value = closed(value.take());
        }
    } else if let Some(list) = schema.as_array_mut() {
        for value in list {
            *value = closed(value.take());
        }
    }
    schema
}

fn described(operation: &Operation) -> Value {
    let mut parameters: Vec<Value> = operation.parameters.iter().map(parameter).collect();
    if operation.sort == Sort::Write {
        parameters.push(header_parameter(
            "Idempotency-Key",
            "Makes the write take effect once for ever. Needs the settled history.",
            json!({"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}),
            "order-17",
        ));
    }
    if operation.has_etag {
        parameters.push(header_parameter(
            "If-None-Match",
            "ETags that the caller knows; 304 if the answer has one of them.",
            json!({"type": "string"}),
            "\"5d41402abc4b2a76b9719d911017c592\"",
        ));
    }
    let mut described = json!({
        "operationId": operation_id(operation),
        "tags": [operation.tag],
        "summary": operation.summary,
        "description": operation.description,
        "parameters": parameters,
        "responses": responses(operation),
    });
    if let Some(body) = &operation.body {
        described["requestBody"] = json!({"required": true, "content": content(body)});
    }
    described
}

fn operation_id(operation: &Operation) -> String {
    let mut id = operation.method.to_owned();
    for part in operation.path.split(['/', '-', '.']).filter(|part| !part.is_empty()) {
        id.push('_');
        id.push_str(part.trim_matches(['{', '}']));
    }
    id
}

fn parameter(parameter: &Parameter) -> Value {
    json!({
        "name": parameter.name, "in": parameter.place, "required": parameter.is_required,
        "description": parameter.description, "schema": parameter.schema,
        "example": parameter.example,
    })
}

fn header_parameter(name: &str, description: &str, schema: Value, example: &str) -> Value {
    json!({
        "name": name, "in": "header", "required": false, "description": description,
        "schema": schema, "example": example,
    })
}

fn content(content: &Content) -> Value {
    let mut described = Map::new();
    if let Some(schema) = &content.schema {
        let place = format!("#/components/schemas/{schema}");
        described.insert("schema".to_owned(), json!({"$ref": place}));
    }
    if let Some(example) = &content.example {
        described.insert("example".to_owned(), example.clone());
    }
    json!({content.media_type: described})
}

fn responses(operation: &Operation) -> Value {
    let mut names = vec!["Bezant-Request-Id", "Cache-Control"];
    if !matches!(operation.sort, Sort::Free | Sort::Shown | Sort::Feed | Sort::Socket | Sort::Batch)
    {
        names.extend(["Bezant-Sequence", "Bezant-Epoch", "Bezant-Time", "Server-Timing"]);
    }
    if matches!(operation.sort, Sort::Write | Sort::Bulk) {
        names.push("Idempotency-Replayed");
    }
    if operation.has_etag {
        names.push("ETag");
    }
    let mut responses = Map::new();
    let mut success = json!({
        "description": operation.summary,
        "headers": header_references(&names),
    });
    if operation.sort != Sort::Socket {
        success["content"] = content(&operation.answer);
    }
    responses.insert(operation.status.to_string(), success);
    if operation.has_etag {
        let unchanged = json!({"description": "Unchanged", "headers": header_references(&names)});
        responses.insert("304".to_owned(), unchanged);
    }
    for status in refusals(operation) {
        let place = format!("#/components/responses/{}", response_name(*status));
        responses.insert(status.to_string(), json!({"$ref": place}));
    }
    Value::Object(responses)
}

/// The statuses with which an operation can be refused.
pub(crate) fn refusals(operation: &Operation) -> &'static [u16] {
    match operation.sort {
        Sort::Write => &[400, 404, 406, 408, 409, 413, 415, 422, 429, 501, 503, 507],
        Sort::DryRun => &[400, 404, 406, 408, 409, 413, 415, 422, 429, 503, 507],
        Sort::Batch => &[400, 408, 413, 415, 429, 503],
        Sort::Bulk => &[400, 404, 406, 408, 413, 415, 422, 429, 503, 507],
        Sort::Read | Sort::Shown => &[400, 404, 406, 408, 429, 503],
        Sort::History => &[400, 404, 406, 408, 410, 429, 501, 503],
        Sort::Feed => &[400, 404, 406, 408, 410, 429, 501, 503],
        Sort::Socket => &[400, 403, 404, 406, 408, 410, 426, 429, 501, 503],
        Sort::Free => &[400, 406, 408, 429, 503],
    }
}

const PROBLEMS: [(u16, &str, &str); 15] = [
    (400, "BadRequest", "The request cannot be read; correct it"),
    (403, "Forbidden", "Not from a page of another origin"),
    (404, "NotFound", "Not there, or not the caller's"),
    (406, "NotAcceptable", "Accept excludes the only form of the answer"),
    (408, "Timeout", "No answer in time; what became of it is unknown"),
    (409, "Conflict", "The state of an account or of the frame forbids it"),
    (410, "Gone", "No longer kept"),
    (413, "TooLarge", "The body is too large"),
    (415, "UnsupportedMediaType", "The body has another media type"),
    (422, "Refused", "The command was refused"),
    (426, "UpgradeRequired", "The operation is a WebSocket"),
    (429, "TooMany", "More than the caller may do now"),
    (501, "NotServed", "Not in this frame: keys without a settled history, history, feeds"),
    (503, "Unavailable", "Not now; send the same request again"),
    (507, "Full", "A table, or the journal, is full"),
];

fn response_name(status: u16) -> &'static str {
    PROBLEMS.iter().find(|(known, ..)| *known == status).map_or("", |(_, name, _)| name)
}

fn problems() -> Value {
    let mut described = Map::new();
    for (status, name, description) in PROBLEMS {
        let mut names = vec!["Bezant-Request-Id", "Cache-Control"];
        if matches!(status, 429 | 503 | 507) {
            names.push("Retry-After");
        }
        let problem = json!({
            "description": description,
            "headers": header_references(&names),
            "content": {super::problem::MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/Problem"},
            }},
        });
        described.insert(name.to_owned(), problem);
    }
    Value::Object(described)
}

fn header_references(names: &[&str]) -> Value {
    let reference =
        |name: &&str| ((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    Value::Object(names.iter().map(reference).collect())
}

fn headers() -> Value {
    let number = json!({"type": "integer", "minimum": 0});
    let text = json!({"type": "string"});
    json!({
        "Bezant-Request-Id": {"description": "Number of the request at this gateway.",
                              "schema": text},
        "Bezant-Sequence": {"description": "Sequence of the command; of a read, the executed \
                                            sequence that it saw.", "schema": number},
        "Bezant-Epoch": {"description": "Epoch of the answering engine.", "schema": number},
        "Bezant-Time": {"description": "Journal time of the record, Unix milliseconds.",
                        "schema": number},
        "Server-Timing": {"description": "Milliseconds since the request was read.",
                          "schema": text},
        "Idempotency-Replayed": {"description": "The answer is that of an earlier request.",
                                 "schema": {"type": "string", "enum": ["true"]}},
        "ETag": {"description": "Names this state of the answer.", "schema": text},
        "Cache-Control": {"description": "Answers are not stored.",
                          "schema": {"type": "string", "enum": ["no-store"]}},
        "Retry-After": {"description": "Seconds to wait.",
                        "schema": {"type": "integer", "minimum": 1}},
    })
}
