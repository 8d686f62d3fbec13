//! The API document for people: one page of HTML, made from the document itself.
//!
//! It has no script, asks no other host for anything, and shows nothing that the document lacks.

use std::fmt::Write as _;

use protocol::Status;
use serde_json::Value;

use super::problem::{Own, http_status};

/// What a browser may do with the page.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'self'; base-uri 'none'; \
                                 form-action 'none'; frame-ancestors 'none'";

/// Its style sheet.
pub(crate) const STYLE: &str = "\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;\
color:#1a1a1a;background:#fff}\n\
h1,h2,h3{line-height:1.2}\nh3{margin-top:2.5rem;border-top:1px solid #ccc;padding-top:1rem}\n\
code,pre{font:14px/1.4 ui-monospace,monospace;background:#f4f4f2}\n\
pre{padding:.75rem;overflow-x:auto}\ntable{border-collapse:collapse;width:100%}\n\
th,td{text-align:left;vertical-align:top;padding:.25rem .75rem .25rem 0;\
border-bottom:1px solid #ddd}\ntr:target{background:#fff3c4}\n\
@media(prefers-color-scheme:dark){body{color:#e8e8e6;background:#181818}\
code,pre{background:#262626}a{color:#8ab4f8}tr:target{background:#4a3f10}}\n";

/// The page.
pub(crate) fn page(document: &Value) -> String {
    let mut html = String::with_capacity(128 << 10);
    let title = text(&document["info"]["title"]);
    let _ = write!(
        html,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{title} API</title>\n\
         <link rel=\"stylesheet\" href=\"/docs.css\">\n</head>\n<body>\n<h1>{title} API {}</h1>\n\
         <p>{}</p>\n<p>The same for programs: <a href=\"/openapi.json\">/openapi.json</a>.</p>\n",
        text(&document["info"]["version"]),
        text(&document["info"]["description"]),
    );
    let operations = operations(document);
    html.push_str("<h2>Operations</h2>\n<table>\n");
    for (path, method, operation) in &operations {
        let _ = writeln!(
            html,
            "<tr><td><a href=\"#{}\"><code>{} {}</code></a></td><td>{}</td></tr>",
            text(&operation["operationId"]),
            method.to_uppercase(),
            escape(path),
            text(&operation["summary"]),
        );
    }
    html.push_str("</table>\n");
    for (path, method, operation) in &operations {
        put_operation(&mut html, document, (path, method), operation);
    }
    put_problems(&mut html);
    html.push_str("</body>\n</html>\n");
    html
}

fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let mut operations = Vec::new();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            operations.push((path.as_str(), method.as_str(), operation));
        }
    }
    operations
}

fn put_operation(
    html: &mut String,
    document: &Value,
    (path, method): (&str, &str),
    operation: &Value,
) {
    let _ = writeln!(
        html,
        "<h3 id=\"{}\">{}</h3>\n<p><code>{} {}</code></p>\n<p>{}</p>",
        text(&operation["operationId"]),
        text(&operation["summary"]),
        method.to_uppercase(),
        escape(path),
        text(&operation["description"]),
    );
    let parameters = operation["parameters"].as_array().map_or(&[][..], Vec::as_slice);
    if !parameters.is_empty() {
        html.push_str("<table>\n<tr><th>parameter</th><th>in</th><th></th></tr>\n");
        for parameter in parameters {
            let _ = writeln!(
                html,
                "<tr><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
                text(&parameter["name"]),
                text(&parameter["in"]),
                text(&parameter["description"]),
            );
        }
        html.push_str("</table>\n");
    }
    for (_, content) in operation["requestBody"]["content"].as_object().into_iter().flatten() {
        put_fields(html, document, content);
        put_example(html, "Request", content);
    }
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        for (_, content) in response["content"].as_object().into_iter().flatten() {
            put_example(html, &format!("Answer {status}"), content);
        }
    }
    let statuses = operation["responses"].as_object().into_iter().flatten();
    let statuses: Vec<&str> = statuses.map(|(status, _)| status.as_str()).collect();
    let _ = writeln!(html, "<p>Answers: {}.</p>", escape(&statuses.join(", ")));
}

/// The fields of a body, with what their schemas say of them.
fn put_fields(html: &mut String, document: &Value, content: &Value) {
    let schema = resolved(document, &content["schema"]);
    let required = schema["required"].as_array().map_or(&[][..], Vec::as_slice);
    let fields = schema["properties"].as_object();
    if fields.is_none() {
        return;
    }
    html.push_str("<table>\n<tr><th>field</th><th></th><th></th></tr>\n");
    for (name, field) in fields.into_iter().flatten() {
        let target = resolved(document, field);
        let description = [field, target].into_iter().find_map(|it| it["description"].as_str());
        let need =
            if required.iter().any(|other| other == name.as_str()) { "required" } else { "" };
        let _ = writeln!(
            html,
            "<tr><td><code>{}</code></td><td>{need}</td><td>{}</td></tr>",
            escape(name),
            escape(description.unwrap_or_default()),
        );
    }
    html.push_str("</table>\n");
}

/// What a reference stands for; also one that a description goes with.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let inner = schema["allOf"].get(0).or_else(|| schema["oneOf"].get(0)).unwrap_or(schema);
    let place = inner["$ref"].as_str().and_then(|place| place.strip_prefix('#'));
    place.and_then(|place| document.pointer(place)).unwrap_or(schema)
}

fn put_example(html: &mut String, title: &str, content: &Value) {
    if let Some(example) = content.get("example") {
        let pretty = serde_json::to_string_pretty(example).unwrap_or_default();
        let _ = writeln!(html, "<p>{}:</p>\n<pre>{}</pre>", escape(title), escape(&pretty));
    }
}

fn put_problems(html: &mut String) {
    html.push_str(
        "<h2>Problems</h2>\n<table>\n<tr><th>title</th><th>number</th><th>status</th>\
         <th>means</th><th>what to do</th></tr>\n",
    );
    for status in Status::ALL.iter().filter(|status| !status.is_ok()) {
        let (name, number) = (status.name(), status.number());
        let row = (name, number, http_status(*status), status.meaning(), status.cure());
        put_problem(html, row);
    }
    for own in Own::ALL {
        let row = (own.name(), own.number(), own.http_status(), own.meaning(), own.cure());
        put_problem(html, row);
    }
    html.push_str("</table>\n");
}

fn put_problem(html: &mut String, row: (&str, u16, u16, &str, &str)) {
    let (name, number, status, meaning, cure) = row;
    let _ = writeln!(
        html,
        "<tr id=\"{name}\"><td><code>{name}</code></td><td>{number}</td><td>{status}</td>\
         <td>{}</td><td>{}</td></tr>",
        escape(meaning),
        escape(cure),
    );
}

fn text(value: &Value) -> String {
    escape(value.as_str().unwrap_or_default())
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    escaped
}
