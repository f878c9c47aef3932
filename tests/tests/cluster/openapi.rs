//! The OpenAPI document, held against a real node: every path is there, and answers as described.

use std::{collections::BTreeSet, path::Path};

use cosmic_loadtest::{api::App, process::Process};
use reqwest::{Client, Method, RequestBuilder, Response, header};
use serde_json::{Value, json};

use super::ground::Ground;

const SPACE: &str = "{space}";
const DOCUMENTS: &str = "/spaces/{space}/collections/{collection}/documents";
const DOCUMENT: &str = "/spaces/{space}/collections/{collection}/documents/{id}";
const BATCH: &str = "/spaces/{space}/collections/{collection}/documents:batch";
const FILE: &str = "/spaces/{space}/files/{name}";
/// Whatever stands behind a path parameter, as far as it is not the space.
const NAMES: [(&str, &str); 3] = [("{collection}", "notes"), ("{id}", "first"), ("{name}", "page.txt")];

/// A node alone, and its document.
struct Walk {
    app: App,
    base: String,
    document: Value,
    walked: BTreeSet<(String, String)>,
}

impl Walk {
    async fn begin(node: &Process) -> Self {
        let base = format!("http://{}/api/v1", node.run().http);
        // The document is for everybody who reaches the node.
        let text = reqwest::get(format!("{base}/openapi.json")).await.unwrap().text().await.unwrap();
        let document = serde_json::from_str(&text).unwrap();
        Self { app: App::new(node), base, document, walked: BTreeSet::new() }
    }

    fn operation(&self, method: &str, path: &str) -> &Value {
        let operation = &self.document["paths"][path][method];
        assert!(operation.is_object(), "the document has no {method} {path}");
        operation
    }

    /// Sends a request and holds the answer against the document.
    async fn take(
        &mut self,
        (method, path): (&str, &str),
        (space, query): (&str, &str),
        build: impl FnOnce(RequestBuilder) -> RequestBuilder,
    ) -> Value {
        self.walked.insert((method.to_owned(), path.to_owned()));
        let place = format!("{}{query}", fill(path, space));
        let verb: Method = method.to_uppercase().parse().unwrap();
        let request = build(self.app.request(verb, place.trim_start_matches('/')));
        let answer = request.send().await.unwrap();
        assert!(answer.status().is_success(), "{method} {place}: {}", answer.text().await.unwrap());
        self.hold(method, path, answer).await
    }

    async fn hold(&self, method: &str, path: &str, answer: Response) -> Value {
        let status = answer.status().as_u16().to_string();
        let responses = &self.operation(method, path)["responses"];
        let response =
            responses.get(&status).unwrap_or_else(|| panic!("{method} {path}: {status} is not described"));
        let kind = answer.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
        let Some(content) = response.get("content").and_then(Value::as_object) else {
            assert_eq!(answer.text().await.unwrap(), "", "{method} {path}: nothing was described");
            return Value::Null;
        };
        let (described, media) = content.iter().next().unwrap();
        if described == "application/octet-stream" {
            return answer.text().await.unwrap().into();
        }
        assert_eq!(kind.as_deref(), Some(described.as_str()), "{method} {path}");
        let text = if described == "text/event-stream" {
            first_event(answer).await
        } else {
            answer.text().await.unwrap()
        };
        let value = serde_json::from_str(&text).unwrap();
        self.fits(&media["schema"], &value, &format!("{method} {path} {status}"));
        value
    }

    /// The part of JSON Schema that the document uses.
    fn fits(&self, schema: &Value, value: &Value, place: &str) {
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let target = self.document.pointer(reference.trim_start_matches('#')).unwrap();
            return self.fits(target, value, &format!("{place} ({reference})"));
        }
        if let Some(allowed) = schema.get("enum").and_then(Value::as_array) {
            assert!(allowed.contains(value), "{place}: {value} is none of {allowed:?}");
        }
        let kinds: Vec<&str> = match &schema["type"] {
            Value::String(kind) => vec![kind],
            Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        assert!(kinds.is_empty() || kinds.contains(&kind_of(value)), "{place}: {value} is not {kinds:?}");
        for (number, item) in value.as_array().into_iter().flatten().enumerate() {
            self.fits(&schema["items"], item, &format!("{place}[{number}]"));
        }
        let Some(fields) = value.as_object() else { return };
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            assert!(fields.contains_key(name), "{place}: {name} is missing in {value}");
        }
        for (name, field) in fields {
            let place = format!("{place}.{name}");
            match (schema["properties"].get(name), &schema["additionalProperties"]) {
                (Some(schema), _) => self.fits(schema, field, &place),
                (None, Value::Bool(false)) => panic!("{place} is not described"),
                (None, others) => self.fits(others, field, &place),
            }
        }
    }

    fn all(&self) -> BTreeSet<(String, String)> {
        let paths = self.document["paths"].as_object().unwrap();
        paths
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()))
            })
            .collect()
    }

    /// A refusal is a problem, and its code stands in the description of its status.
    async fn refused(&self, (method, path): (&str, &str), answer: Response, code: &str) {
        let status = answer.status().as_u16().to_string();
        let problem = self.hold(method, path, answer).await;
        assert_eq!(problem["code"], code, "{method} {path}: {problem}");
        let described = &self.operation(method, path)["responses"][&status]["description"];
        assert!(described.as_str().unwrap().contains(&format!("`{code}`")), "{method} {path}: {described}");
    }

    fn request(&self, method: &str, path: &str, space: &str) -> RequestBuilder {
        let verb: Method = method.to_uppercase().parse().unwrap();
        self.app.request(verb, fill(path, space).trim_start_matches('/'))
    }
}

fn fill(path: &str, space: &str) -> String {
    let path = path.replace(SPACE, space);
    NAMES.iter().fold(path, |path, (parameter, name)| path.replace(parameter, name))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

/// The data of the first event of a stream.
async fn first_event(mut answer: Response) -> String {
    let mut text = String::new();
    loop {
        let mut whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        if let Some(data) = whole.find_map(|line| line.strip_prefix("data:")) {
            return data.trim().to_owned();
        }
        text.push_str(std::str::from_utf8(&answer.chunk().await.unwrap().unwrap()).unwrap());
    }
}

async fn alone(directory: &Path) -> Process {
    let listen = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    Process::start("cosmic-node", &directory.join("node"), &listen).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_the_document_answers_as_described() {
    let directory = Ground::new();
    let node = alone(directory.path()).await;
    let mut walk = Walk::begin(&node).await;
    let plain = |request: RequestBuilder| request;

    let made =
        walk.take(("post", "/spaces"), ("", ""), |request| request.json(&json!({ "name": "A" }))).await;
    let space = made["space"].as_str().unwrap().to_owned();
    let here = |query: &'static str| (space.as_str(), query);
    let value = json!({ "title": "one", "deep": { "list": [1, "two", null] } });
    let wait = "?wait=local&timeout_ms=1000";
    let made = walk
        .take(("post", DOCUMENTS), here(wait), |request| request.header("Idempotency-Key", "k").json(&value))
        .await;
    let again = walk
        .take(("post", DOCUMENTS), here(""), |request| request.header("Idempotency-Key", "k").json(&value))
        .await;
    assert_eq!(made["id"], again["id"]);
    walk.take(("put", DOCUMENT), here(wait), |request| request.json(&value)).await;
    let read = walk.take(("get", DOCUMENT), here(""), plain).await;
    let tag = format!("\"{}\"", read["version"].as_str().unwrap());
    walk.take(("patch", DOCUMENT), here(wait), |request| {
        request.header(header::IF_MATCH, tag).json(&json!({ "title": "two" }))
    })
    .await;
    let batch = json!([{ "id": "second", "value": value }, { "value": value }]);
    walk.take(("post", BATCH), here(""), |request| request.json(&batch)).await;
    let page = walk.take(("get", DOCUMENTS), here("?limit=1"), plain).await;
    let rest = format!("?limit=1000&cursor={}", page["cursor"].as_str().unwrap());
    let rest = walk.take(("get", DOCUMENTS), (&space, &rest), plain).await;
    assert_eq!(rest["documents"].as_array().unwrap().len(), 3);

    walk.take(("put", FILE), here(""), |request| {
        request.header(header::CONTENT_TYPE, "text/plain").body("0123")
    })
    .await;
    assert_eq!(walk.take(("get", FILE), here(""), plain).await, "0123");
    let part = |request: RequestBuilder| request.header(header::RANGE, "bytes=1-2");
    assert_eq!(walk.take(("get", FILE), here(""), part).await, "12");
    walk.take(("get", "/spaces/{space}/files"), here(""), plain).await;
    walk.take(("get", "/spaces/{space}/files/{name}/durability"), here(""), plain).await;
    let durability = "/spaces/{space}/collections/{collection}/documents/{id}/durability";
    walk.take(("get", durability), here(""), plain).await;
    walk.take(("get", "/spaces/{space}/durability"), here(""), plain).await;
    let from_the_start = |request: RequestBuilder| request.header("Last-Event-ID", "0");
    let of_space = format!("?space={space}");
    walk.take(("get", "/events"), (&space, &of_space), from_the_start).await;

    walk.take(("get", "/spaces"), here(""), plain).await;
    walk.take(("get", "/spaces/{space}"), here(""), plain).await;
    walk.take(("get", "/spaces/{space}/members"), here(""), plain).await;
    let alone = walk.take(("get", "/spaces/{space}/turn"), here(""), plain).await;
    assert_eq!(alone["iceServers"], json!([]));
    let invitation = json!({ "role": "viewer", "expires_secs": 60 });
    let ticket =
        walk.take(("post", "/spaces/{space}/invites"), here(""), |request| request.json(&invitation)).await;
    for path in ["/status", "/doctor", "/identity", "/peers", "/openapi.json"] {
        walk.take(("get", path), here(""), plain).await;
    }
    walk.take(("put", "/network"), here(""), |request| request.json(&json!({ "online": false }))).await;
    walk.take(("post", "/cache/clear"), here(""), plain).await;
    let export = json!({ "space": space, "directory": directory.path().join("export") });
    walk.take(("post", "/export"), here(""), |request| request.json(&export)).await;

    walk.take(("delete", FILE), here(""), plain).await;
    walk.take(("get", "/spaces/{space}/files/{name}/deletion"), here(""), plain).await;
    walk.take(("delete", DOCUMENT), here(wait), plain).await;
    walk.take(("delete", "/spaces/{space}"), here(""), plain).await;
    walk.take(("post", "/spaces/join"), here(""), |request| request.json(&ticket)).await;
    assert_eq!(walk.walked, walk.all(), "what was walked is what is described");
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn every_path_of_the_document_refuses_as_described() {
    let directory = Ground::new();
    let node = alone(directory.path()).await;
    let walk = Walk::begin(&node).await;
    let space = walk.app.create_space("A").await.unwrap();
    let all = walk.all();
    for (method, path) in &all {
        let at = (method.as_str(), path.as_str());
        let operation = walk.operation(method, path).clone();
        if operation.get("security").is_none() {
            let verb: Method = method.to_uppercase().parse().unwrap();
            let url = format!("{}{}", walk.base, fill(path, &space));
            let answer = Client::new().request(verb, url).send().await.unwrap();
            walk.refused(at, answer, "unauthorized").await;
        }
        let takes_json = operation.pointer("/requestBody/content/application~1json").is_some();
        if takes_json {
            let answer = walk.request(method, path, &space).header(header::CONTENT_TYPE, "application/json");
            walk.refused(at, answer.body("{").send().await.unwrap(), "request").await;
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            if parameter["in"] == "query" && parameter["name"] != "cursor" && parameter["name"] != "space" {
                let query = [(parameter["name"].as_str().unwrap(), "nonsense")];
                let answer = walk.request(method, path, &space).query(&query).json(&json!({}));
                walk.refused(at, answer.send().await.unwrap(), "request").await;
            }
        }
        if path.contains(SPACE) {
            let body = if path == BATCH { json!([]) } else { json!({}) };
            let answer = walk.request(method, path, "nowhere").json(&body).send().await.unwrap();
            walk.refused(at, answer, "no-space").await;
        }
        let missing = match path.as_str() {
            DOCUMENT if method == "get" || method == "delete" => Some("no-document"),
            FILE if method != "put" => Some("no-file"),
            _ => None,
        };
        if let Some(code) = missing {
            walk.refused(at, walk.request(method, path, &space).send().await.unwrap(), code).await;
        }
    }
    walk.app.upload(&space, "page.txt", "0123").await.unwrap();
    let beyond = walk.request("get", FILE, &space).header(header::RANGE, "bytes=9-");
    walk.refused(("get", FILE), beyond.send().await.unwrap(), "range").await;
    let join = walk.request("post", "/spaces/join", "").json(&json!({ "ticket": "stolen" }));
    walk.refused(("post", "/spaces/join"), join.send().await.unwrap(), "ticket").await;
    for (path, method, code) in [("nothing", Method::GET, "no-route"), ("status", Method::DELETE, "method")] {
        let answer = walk.app.request(method, path).send().await.unwrap();
        assert_eq!(answer.headers()[header::CONTENT_TYPE], "application/problem+json");
        let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(problem["code"], code);
    }
    node.stop().await.unwrap();
}
