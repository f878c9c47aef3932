//! Every operation of the API, once: the router and its OpenAPI document are both made from this list.

use axum::{extract::DefaultBodyLimit, handler::Handler, routing};

use super::{deletion, doctor, documents, durability, events, export, files, openapi, spaces, turn, whole};
use crate::node::Node;

type Route = routing::MethodRouter<Node>;

/// One method of one path, and what apps are told about it.
pub(super) struct Operation {
    pub(super) method: &'static str,
    /// Below `/api/v1`; what stands in braces is a parameter.
    pub(super) path: &'static str,
    pub(super) summary: &'static str,
    pub(super) route: Route,
    /// Query parameters and headers, by their names among `PARAMETERS` of the document.
    pub(super) parameters: &'static [&'static str],
    pub(super) body: Option<Content>,
    /// Each good answer: its status and content.
    pub(super) answers: Vec<(u16, Option<Content>)>,
    /// The codes of refusals, besides those that every operation may answer with.
    pub(super) refusals: &'static [&'static str],
}

/// What a body is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    /// JSON of a schema of the document.
    Json(&'static str),
    /// The bytes of a file.
    Bytes,
    /// Server-sent events whose data are JSON of a schema.
    Events(&'static str),
}

impl Operation {
    const fn new(method: &'static str, path: &'static str, summary: &'static str, route: Route) -> Self {
        let answers = Vec::new();
        Self { method, path, summary, route, parameters: &[], body: None, answers, refusals: &[] }
    }

    /// Whether everybody who reaches the node may ask: the document holds nothing of anybody.
    pub(super) fn is_open(&self) -> bool {
        self.path == "/openapi.json"
    }

    fn with(mut self, parameters: &'static [&'static str]) -> Self {
        self.parameters = parameters;
        self
    }

    fn takes(mut self, body: Content) -> Self {
        self.body = Some(body);
        self
    }

    fn gives(mut self, status: u16, content: Content) -> Self {
        self.answers.push((status, Some(content)));
        self
    }

    fn gives_nothing(mut self, status: u16) -> Self {
        self.answers.push((status, None));
        self
    }

    fn refuses(mut self, codes: &'static [&'static str]) -> Self {
        self.refusals = codes;
        self
    }

    /// A body of any length: files come and go piece by piece.
    fn unbounded(mut self) -> Self {
        self.route = self.route.layer(DefaultBodyLimit::disable());
        self
    }
}

fn get<T: 'static>(path: &'static str, summary: &'static str, handler: impl Handler<T, Node>) -> Operation {
    Operation::new("get", path, summary, routing::get(handler))
}

fn post<T: 'static>(path: &'static str, summary: &'static str, handler: impl Handler<T, Node>) -> Operation {
    Operation::new("post", path, summary, routing::post(handler))
}

fn put<T: 'static>(path: &'static str, summary: &'static str, handler: impl Handler<T, Node>) -> Operation {
    Operation::new("put", path, summary, routing::put(handler))
}

fn patch<T: 'static>(path: &'static str, summary: &'static str, handler: impl Handler<T, Node>) -> Operation {
    Operation::new("patch", path, summary, routing::patch(handler))
}

fn delete<T: 'static>(
    path: &'static str,
    summary: &'static str,
    handler: impl Handler<T, Node>,
) -> Operation {
    Operation::new("delete", path, summary, routing::delete(handler))
}

const DOCUMENTS: &str = "/spaces/{space}/collections/{collection}/documents";
const DOCUMENT: &str = "/spaces/{space}/collections/{collection}/documents/{id}";
const FILE: &str = "/spaces/{space}/files/{name}";
/// What a change of a document may be refused for.
const CHANGE: &[&str] = &[
    "no-space",
    "ambiguous-space",
    "joining",
    "not-allowed",
    "name",
    "document",
    "version",
    "too-large",
    "disk-full",
    "not-safe-yet",
];
/// What the deletion of a document may be refused for.
const DELETION: &[&str] = &[
    "no-space",
    "ambiguous-space",
    "no-document",
    "joining",
    "not-allowed",
    "name",
    "version",
    "disk-full",
    "not-safe-yet",
];
/// What a look into a space may be refused for.
const LOOK: &[&str] = &["no-space", "ambiguous-space"];

/// All operations.
pub(super) fn operations() -> Vec<Operation> {
    let mut all = spaces();
    all.extend(documents());
    all.extend(files());
    all.extend(whole());
    all
}

fn spaces() -> Vec<Operation> {
    use Content::Json;
    vec![
        get("/spaces", "The spaces of this device", spaces::list).gives(200, Json("Spaces")),
        post("/spaces", "Make a space", spaces::create)
            .takes(Json("NewSpace"))
            .gives(201, Json("SpaceName"))
            .refuses(&["name", "disk-full"]),
        post("/spaces/join", "Join a space by a ticket; its keys arrive later", spaces::join)
            .takes(Json("TicketText"))
            .gives(202, Json("SpaceName"))
            .refuses(&["ticket", "disk-full"]),
        get("/spaces/{space}", "One space", spaces::show).gives(200, Json("Space")).refuses(LOOK),
        delete("/spaces/{space}", "Forget a space on this device", spaces::leave)
            .gives_nothing(204)
            .refuses(&["no-space", "ambiguous-space", "disk-full"]),
        post("/spaces/{space}/invites", "Make a ticket, a secret: whoever has it can join", spaces::invite)
            .takes(Json("Invitation"))
            .gives(201, Json("TicketText"))
            .refuses(&["no-space", "ambiguous-space", "joining", "not-allowed", "disk-full"]),
        get("/spaces/{space}/members", "Who may do what", spaces::members)
            .gives(200, Json("Members"))
            .refuses(&["no-space", "ambiguous-space", "joining"]),
        get("/spaces/{space}/durability", "How many documents are how safe", durability::of_space)
            .gives(200, Json("SpaceDurability"))
            .refuses(LOOK),
        get(
            "/spaces/{space}/turn",
            "STUN and TURN servers for a browser, as an RTCPeerConnection takes them; a secret",
            turn::of_space,
        )
        .gives(200, Json("Turn"))
        .refuses(LOOK),
    ]
}

fn documents() -> Vec<Operation> {
    use Content::Json;
    const WAIT_IF: &[&str] = &["wait", "timeout_ms", "If-Match"];
    vec![
        get(DOCUMENTS, "A page of the documents of a collection, by id", documents::list)
            .with(&["limit", "cursor"])
            .gives(200, Json("Documents"))
            .refuses(LOOK),
        post(DOCUMENTS, "Make a document with a new id", documents::create)
            .with(&["wait", "timeout_ms", "Idempotency-Key"])
            .takes(Json("Value"))
            .gives(200, Json("Changed"))
            .gives(201, Json("Changed"))
            .refuses(CHANGE),
        post(
            "/spaces/{space}/collections/{collection}/documents:batch",
            "Create or replace many documents, all or none",
            documents::batch,
        )
        .takes(Json("Batch"))
        .gives(200, Json("BatchChanged"))
        .refuses(CHANGE),
        get(DOCUMENT, "Read a document", documents::read).gives(200, Json("Document")).refuses(&[
            "no-space",
            "ambiguous-space",
            "no-document",
        ]),
        put(DOCUMENT, "Create or replace a document", documents::replace)
            .with(WAIT_IF)
            .takes(Json("Value"))
            .gives(200, Json("Changed"))
            .gives(201, Json("Changed"))
            .refuses(CHANGE),
        patch(DOCUMENT, "Change fields of a document: a JSON merge patch (RFC 7396)", documents::patch)
            .with(WAIT_IF)
            .takes(Json("Value"))
            .gives(200, Json("Changed"))
            .gives(201, Json("Changed"))
            .refuses(CHANGE),
        delete(DOCUMENT, "Delete a document", documents::remove)
            .with(WAIT_IF)
            .gives(200, Json("Changed"))
            .refuses(DELETION),
        get(
            "/spaces/{space}/collections/{collection}/documents/{id}/durability",
            "How safe the newest change of a document is",
            durability::of_document,
        )
        .gives(200, Json("DocumentDurability"))
        .refuses(&["no-space", "ambiguous-space", "no-document"]),
    ]
}

fn files() -> Vec<Operation> {
    use Content::{Bytes, Json};
    vec![
        get("/spaces/{space}/files", "The files of a space", files::list)
            .gives(200, Json("Files"))
            .refuses(LOOK),
        put(FILE, "Store a file of up to 4 GiB", files::store)
            .with(&["Content-Type"])
            .takes(Bytes)
            .gives(201, Json("Stored"))
            .refuses(&[
                "no-space",
                "ambiguous-space",
                "joining",
                "not-allowed",
                "name",
                "too-large",
                "interrupted",
                "disk-full",
            ])
            .unbounded(),
        get(FILE, "Read a file, or a range of it", files::read)
            .with(&["Range"])
            .gives(200, Bytes)
            .gives(206, Bytes)
            .refuses(&["no-space", "ambiguous-space", "no-file", "range", "unreachable"]),
        delete(FILE, "Remove a file from the space", files::remove).gives_nothing(204).refuses(&[
            "no-space",
            "ambiguous-space",
            "joining",
            "not-allowed",
            "no-file",
            "disk-full",
        ]),
        get(
            "/spaces/{space}/files/{name}/durability",
            "How safe a file is, and who holds its shards",
            durability::of_file,
        )
        .gives(200, Json("FileDurability"))
        .refuses(&["no-space", "ambiguous-space", "no-file"]),
        get(
            "/spaces/{space}/files/{name}/deletion",
            "Who has signed that it deleted its parts of a removed file",
            deletion::of_file,
        )
        .gives(200, Json("FileDeletion"))
        .refuses(&["no-space", "ambiguous-space", "no-file"]),
    ]
}

fn whole() -> Vec<Operation> {
    use Content::{Events, Json};
    vec![
        get("/events", "Changes as they happen", events::stream)
            .with(&["space", "Last-Event-ID"])
            .gives(200, Events("Event"))
            .refuses(LOOK),
        put("/network", "Go online or offline", whole::network)
            .takes(Json("Online"))
            .gives(200, Json("Online")),
        get("/status", "What the node does and whom it is connected to", whole::status)
            .gives(200, Json("Status")),
        get("/doctor", "What works, what does not, and why", doctor::doctor).gives(200, Json("Doctor")),
        get("/identity", "Who this device is", whole::identity).gives(200, Json("Identity")),
        get("/peers", "The peers this node is connected to", doctor::peers)
            .gives(200, Json("Peers"))
            .refuses(&["unreachable"]),
        post("/cache/clear", "Forget cached chunks of files that are safe elsewhere", whole::clear_cache)
            .gives(200, Json("Freed")),
        post("/export", "Write a space in the clear into a directory of this device", export::export)
            .takes(Json("Export"))
            .gives(200, Json("Exported"))
            .refuses(&["no-space", "ambiguous-space", "unreachable", "disk-full"]),
        get("/openapi.json", "This document", openapi::serve).gives(200, Json("OpenApi")),
    ]
}
