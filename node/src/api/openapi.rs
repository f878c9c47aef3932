//! The OpenAPI 3.1 document of the API, made from the list of its routes.

use axum::{Json, http::StatusCode};
use serde_json::{Map, Value, json};

use super::{
    problems,
    routes::{Content, Operation, operations},
};

mod schemas;
#[cfg(test)]
mod tests;

pub(super) async fn serve() -> Json<Value> {
    Json(document())
}

/// The document. A program learns from it every path, parameter, body and answer of the API.
#[must_use]
pub fn document() -> Value {
    let mut paths: Map<String, Value> = Map::new();
    for operation in operations() {
        let path = paths.entry(operation.path).or_insert_with(|| json!({}));
        if let Value::Object(methods) = path {
            methods.insert(operation.method.to_owned(), describe(&operation));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "CosmicSync node",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "What apps on a device say to its node. Address and token stand in run.json in the node's data directory.",
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/api/v1" }],
        "security": [{ "bearer": [] }, { "key": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "bearer": { "type": "http", "scheme": "bearer" },
                "key": { "type": "apiKey", "in": "header", "name": "X-API-Key" },
            },
            "schemas": schemas::all(),
        },
    })
}

fn describe(operation: &Operation) -> Value {
    let mut described = json!({
        "operationId": operation_id(operation),
        "summary": operation.summary,
        "responses": responses(operation),
    });
    let parameters: Vec<Value> = path_parameters(operation.path)
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
        .chain(operation.parameters.iter().filter_map(|name| parameter(name)))
        .collect();
    if let Value::Object(fields) = &mut described {
        if !parameters.is_empty() {
            fields.insert("parameters".to_owned(), parameters.into());
        }
        if let Some(body) = operation.body {
            fields.insert("requestBody".to_owned(), json!({ "required": true, "content": content(body) }));
        }
        if operation.is_open() {
            fields.insert("security".to_owned(), json!([]));
        }
    }
    described
}

/// `get spaces/{space}/files` becomes `get_spaces_space_files`.
fn operation_id(operation: &Operation) -> String {
    let words = operation.path.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    [operation.method].into_iter().chain(words).collect::<Vec<_>>().join("_")
}

fn path_parameters(path: &str) -> impl Iterator<Item = &str> {
    path.split('{').skip(1).filter_map(|rest| rest.split_once('}').map(|(name, _rest)| name))
}

fn responses(operation: &Operation) -> Value {
    let mut responses: Map<String, Value> = Map::new();
    for (status, body) in &operation.answers {
        let reason = StatusCode::from_u16(*status).ok().and_then(|status| status.canonical_reason());
        let mut response = json!({ "description": reason.unwrap_or("Done") });
        if let (Some(body), Value::Object(fields)) = (body, &mut response) {
            fields.insert("content".to_owned(), content(*body));
        }
        responses.insert(status.to_string(), response);
    }
    for problem in problems::ALL {
        let always = problem.always && !(operation.is_open() && problem.code == "unauthorized");
        if !always && !operation.refusals.contains(&problem.code) {
            continue;
        }
        let told = format!("`{}`: {}", problem.code, problem.title);
        let response = responses.entry(problem.status.as_u16().to_string()).or_insert_with(|| {
            json!({ "description": "", "content": {
                "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } },
            } })
        });
        if let Some(Value::String(description)) = response.get_mut("description") {
            let separator = if description.is_empty() { "" } else { "; " };
            *description = format!("{description}{separator}{told}");
        }
    }
    Value::Object(responses)
}

fn content(content: Content) -> Value {
    let reference = |name: &str| json!({ "$ref": format!("#/components/schemas/{name}") });
    match content {
        Content::Json(name) => json!({ "application/json": { "schema": reference(name) } }),
        Content::Bytes => json!({ "application/octet-stream": {} }),
        // OpenAPI 3.1 has no word for a stream of events: the schema is that of the data of each.
        Content::Events(name) => json!({ "text/event-stream": { "schema": reference(name) } }),
    }
}

/// A query parameter or header; none if nobody wrote down what it is, which a test refuses.
fn parameter(name: &str) -> Option<Value> {
    let (place, schema, description) = match name {
        "limit" => (
            "query",
            json!({ "type": "integer", "minimum": 1, "maximum": super::documents::PAGE_MAX, "default": super::documents::PAGE }),
            "Documents of a page",
        ),
        "cursor" => ("query", json!({ "type": "string" }), "The cursor of the page before"),
        "wait" => (
            "query",
            json!({ "$ref": "#/components/schemas/Level" }),
            "Answer when the change is this safe; documents are `replicated` at best",
        ),
        "timeout_ms" => (
            "query",
            json!({ "type": "integer", "minimum": 0, "default": super::documents::PATIENCE_MS }),
            "How long to wait; the change stands either way",
        ),
        "space" => ("query", json!({ "type": "string" }), "Only changes of this space"),
        "If-Match" => {
            ("header", json!({ "type": "string" }), "Refuse the change unless the document has this ETag")
        }
        "Idempotency-Key" => {
            ("header", json!({ "type": "string" }), "The same key makes the same document, not another")
        }
        "Last-Event-ID" => {
            ("header", json!({ "type": "string" }), "Go on after this event; without it with what comes next")
        }
        "Content-Type" => ("header", json!({ "type": "string" }), "The media type, kept with the file"),
        "Range" => ("header", json!({ "type": "string" }), "One range of bytes, such as `bytes=0-1023`"),
        _ => return None,
    };
    Some(json!({ "name": name, "in": place, "schema": schema, "description": description }))
}
