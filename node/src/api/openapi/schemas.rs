//! The shapes of bodies and answers, as JSON Schema. A cluster test holds every answer of a real node against them.

use cosmic_space::rights::Role;
use serde_json::{Map, Value, json};

/// All schemas by name.
pub(super) fn all() -> Value {
    let mut all = Map::new();
    for (name, schema) in spaces().into_iter().chain(turn()).chain(documents()).chain(files()).chain(whole())
    {
        all.insert(name.to_owned(), schema);
    }
    Value::Object(all)
}

/// An object that has all of these fields and no other.
fn object(fields: &[(&str, Value)]) -> Value {
    let mut object = request(fields, &[]);
    if let Value::Object(object) = &mut object {
        object.insert("additionalProperties".to_owned(), false.into());
    }
    object
}

/// An object of a request, in which some of the fields may be missing.
fn request(fields: &[(&str, Value)], optional: &[&str]) -> Value {
    let names = fields.iter().map(|(name, _schema)| *name);
    let required: Vec<&str> = names.filter(|name| !optional.contains(name)).collect();
    let properties: Map<String, Value> =
        fields.iter().map(|(name, schema)| ((*name).to_owned(), schema.clone())).collect();
    json!({ "type": "object", "required": required, "properties": properties })
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn text_or_null() -> Value {
    json!({ "type": ["string", "null"] })
}

fn truth() -> Value {
    json!({ "type": "boolean" })
}

fn count() -> Value {
    json!({ "type": "integer", "minimum": 0 })
}

fn list(items: &Value) -> Value {
    json!({ "type": "array", "items": items })
}

fn of(name: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{name}") })
}

fn anything() -> Value {
    json!({ "description": "any JSON" })
}

fn spaces() -> Vec<(&'static str, Value)> {
    let roles: Vec<&str> = [Role::Viewer, Role::Editor, Role::Admin].map(Role::name).to_vec();
    vec![
        ("Spaces", object(&[("spaces", list(&of("Space")))])),
        ("NewSpace", request(&[("name", text()), ("regions", list(&text()))], &["regions"])),
        ("SpaceName", object(&[("space", text())])),
        ("TicketText", object(&[("ticket", text())])),
        (
            "Space",
            object(&[
                ("space", text()),
                ("name", text()),
                ("joining", truth()),
                ("documents", count()),
                ("entries", count()),
                ("logs", count()),
                ("snapshots", count()),
                ("waiting", count()),
                ("gateway", text_or_null()),
                ("in_sync", truth()),
                ("replicas", list(&text())),
                ("level", of("Level")),
                ("regions", list(&text())),
                ("class", text_or_null()),
                ("residence", text()),
            ]),
        ),
        (
            "Invitation",
            request(
                &[
                    ("role", json!({ "enum": roles, "default": Role::Editor.name() })),
                    ("expires_secs", json!({ "type": ["integer", "null"], "minimum": 0 })),
                ],
                &["role", "expires_secs"],
            ),
        ),
        ("Members", object(&[("members", list(&of("Member")))])),
        (
            "Member",
            object(&[
                ("writer", text()),
                ("role", text()),
                ("this_device", truth()),
                ("ticket", truth()),
                ("expires_ms", json!({ "type": ["integer", "null"] })),
            ]),
        ),
        (
            "SpaceDurability",
            object(&[
                ("level", of("Level")),
                (
                    "documents",
                    object(&[
                        ("local", count()),
                        ("accepted", count()),
                        ("replicated", count()),
                        ("durable", count()),
                    ]),
                ),
            ]),
        ),
    ]
}

fn turn() -> Vec<(&'static str, Value)> {
    vec![
        (
            "Turn",
            object(&[
                ("iceServers", list(&of("IceServer"))),
                (
                    "expires_ms",
                    json!({ "type": ["integer", "null"], "description": "when the credentials end" }),
                ),
                ("note", json!({ "type": ["string", "null"], "description": "why there are none" })),
            ]),
        ),
        (
            "IceServer",
            request(
                &[("urls", list(&text())), ("username", text()), ("credential", text())],
                &["username", "credential"],
            ),
        ),
    ]
}

fn documents() -> Vec<(&'static str, Value)> {
    vec![
        ("Value", json!({ "type": "object", "description": "an object of at most 32 levels" })),
        ("Document", object(&[("value", anything()), ("version", text())])),
        (
            "Documents",
            object(&[
                ("documents", list(&object(&[("id", text()), ("value", anything()), ("version", text())]))),
                ("cursor", text_or_null()),
            ]),
        ),
        (
            "Changed",
            object(&[("id", text()), ("version", text()), ("level", of("Level")), ("deleted", truth())]),
        ),
        (
            "Batch",
            json!({
                "type": "array", "maxItems": super::super::documents::BATCH_MAX,
                "items": request(&[("id", text_or_null()), ("value", of("Value"))], &["id"]),
            }),
        ),
        (
            "BatchChanged",
            object(&[
                ("documents", list(&object(&[("id", text()), ("version", text())]))),
                ("level", of("Level")),
            ]),
        ),
        (
            "DocumentDurability",
            object(&[
                ("level", of("Level")),
                ("survives", json!({ "type": ["integer", "null"] })),
                ("replicas", list(&text())),
            ]),
        ),
        (
            "Event",
            object(&[
                ("cursor", count()),
                ("space", text()),
                ("collection", text()),
                ("document", text()),
                ("kind", json!({ "enum": ["put", "delete", "file", "remove"] })),
            ]),
        ),
    ]
}

fn files() -> Vec<(&'static str, Value)> {
    let file = [("name", text()), ("bytes", count()), ("media_type", text_or_null()), ("level", of("Level"))];
    vec![
        ("Files", object(&[("files", list(&object(&file)))])),
        (
            "Stored",
            object(&[("name", text()), ("bytes", count()), ("chunks", count()), ("level", of("Level"))]),
        ),
        (
            "FileDurability",
            object(&[
                ("level", of("Level")),
                ("survives", json!({ "type": ["integer", "null"] })),
                ("bytes", count()),
                ("bytes_durable", count()),
                ("chunks", count()),
                ("shards_by_holder", json!({ "type": "object", "additionalProperties": count() })),
            ]),
        ),
        (
            "FileDeletion",
            object(&[
                ("state", json!({ "enum": ["deleted", "deleting", "waiting", "unknown"] })),
                ("chunks", count()),
                ("chunks_deleted", count()),
                ("holders_deleted", list(&text())),
                ("holders_pending", count()),
                ("holders_silent", count()),
                ("objects", list(&text())),
            ]),
        ),
    ]
}

fn whole() -> Vec<(&'static str, Value)> {
    let session = [("space", text()), ("gateway", text()), ("source", anything()), ("in_sync", truth())];
    let status = [
        ("peer", text()),
        ("online", truth()),
        ("addresses", list(&text())),
        ("spaces", count()),
        ("pending_changes", count()),
        ("chunks_to_upload", count()),
        ("supernodes_known", count()),
        ("sessions", list(&object(&session))),
    ];
    let check = [
        ("check", text()),
        ("state", json!({ "enum": ["works", "limited", "does not work"] })),
        ("reason", text()),
    ];
    let peer = [
        ("peer", text()),
        ("role", json!({ "enum": ["supernode", "peer"] })),
        ("zone", text_or_null()),
        ("path", json!({ "enum": ["direct", "relayed"] })),
        ("transport", json!({ "enum": ["quic", "tcp", "websocket", "circuit", "other"] })),
        ("version", text_or_null()),
        ("dialed_by", json!({ "enum": ["us", "peer"] })),
        ("address", text()),
    ];
    vec![
        ("Level", json!({ "enum": ["local", "accepted", "replicated", "durable"] })),
        (
            "Problem",
            json!({
                "type": "object", "required": ["status", "code", "title"],
                "properties": { "status": count(), "code": text(), "title": text(), "detail": text() },
                "additionalProperties": false, "description": "RFC 9457; `code` is stable",
            }),
        ),
        ("Online", object(&[("online", truth())])),
        ("Status", object(&status)),
        ("Doctor", object(&[("version", text()), ("checks", list(&object(&check)))])),
        ("Identity", object(&[("peer", text()), ("did", text())])),
        ("Peers", object(&[("peers", list(&object(&peer)))])),
        ("Freed", object(&[("freed_bytes", count())])),
        ("Export", request(&[("space", text()), ("directory", text())], &[])),
        ("Exported", object(&[("documents", count()), ("files", count()), ("directory", text())])),
        ("OpenApi", json!({ "type": "object", "required": ["openapi", "info", "paths"] })),
    ]
}
