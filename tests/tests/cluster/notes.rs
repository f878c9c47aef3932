//! Small documents, and waiting for them.

use std::time::Duration;

use cosmic_loadtest::api::{App, Error};
use serde_json::{Value, json};

/// How long anything may take on two busy cores.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// The path of a document.
pub(super) fn path(space: &str, id: &str) -> String {
    format!("spaces/{space}/collections/notes/documents/{id}")
}

/// What every document named `id` holds.
pub(super) fn value(id: &str) -> Value {
    json!({ "text": format!("this is {id}") })
}

/// Writes the document `id`; done once it is on this device's disk.
pub(super) async fn write(app: &App, space: &str, id: &str) -> Result<(), Error> {
    app.put(&path(space, id), &value(id)).await.map(drop)
}

/// Writes the document `id`; done once two of three replicas signed for it, refused if they have not `within`.
pub(super) async fn write_replicated(
    app: &App,
    space: &str,
    id: &str,
    within: Duration,
) -> Result<(), Error> {
    let path = format!("{}?wait=replicated&timeout_ms={}", path(space, id), within.as_millis());
    app.put(&path, &value(id)).await.map(drop)
}

/// Waits until `app` shows each of `ids` as it was written.
pub(super) async fn wait_for(app: &App, space: &str, ids: &[String]) {
    for id in ids {
        let written = |answer: &Value| answer.get("value") == Some(&value(id));
        app.wait_until(&path(space, id), "the document as written", PATIENCE, written).await.unwrap();
    }
}

/// Waits until `app` has the document that everybody changes.
pub(super) async fn wait_for_shared(app: &App, space: &str) {
    app.wait_until(&path(space, "shared"), "the shared document", PATIENCE, |_| true).await.unwrap();
}
