//! Two devices edit a lot; what a snapshot says once more, and both vouch for, leaves the supernodes; who joins later has it all.

use cosmic_loadtest::{api::App, network::Network};
use serde_json::{Value, json};

use super::{
    ground::Ground,
    look::{self, living, wait},
    notes::{self, PATIENCE},
};

const SUPERNODES: usize = 6;
const DOCUMENTS: u64 = 4;
/// A little more than a device writes before it looks whether a snapshot is worth it.
const EDITS: u64 = 270;
/// Hours and days become seconds; what is replaced stays long enough to be packed before it goes.
const SETTINGS: &str = "[packs]\nlook_every_secs = 1\nidle_after_secs = 1\nidle_bytes = 1\nfree_after_secs = 1\n[deletion]\ndelay_secs = 20\nlook_every_secs = 1\nask_every_secs = 1\n[care]\nping_every_secs = 1\n";

/// A page of words, of which each edit changes one.
fn page(edit: u64) -> Value {
    const WORDS: u64 = 120;
    let (document, edit) = (edit % DOCUMENTS, edit / DOCUMENTS);
    let word = |place: u64| {
        let changes = edit / WORDS + u64::from(place <= edit % WORDS);
        format!(
            "{:05x}",
            (document * 1000 + place + changes * 7919).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 44
        )
    };
    json!({ "text": (0..WORDS).map(word).collect::<Vec<_>>().join(" ") })
}

fn document(edit: u64) -> String {
    format!("page-{}", edit % DOCUMENTS)
}

/// Edits pages, each edit in an entry of its own: the uplink is idle when it is made.
async fn edit(app: &App, space: &str, edits: std::ops::Range<u64>) {
    for number in edits {
        let path = format!(
            "{}?wait=replicated&timeout_ms={}",
            notes::path(space, &document(number)),
            PATIENCE.as_millis()
        );
        app.put(&path, &page(number)).await.unwrap();
    }
}

/// What all supernodes keep: bytes, bodies that were dropped, and their bytes.
async fn kept(network: &Network) -> Option<(u64, u64, u64)> {
    let mut sum = (0, 0, 0);
    for supernode in living(network) {
        let usage = App::new(supernode).get("usage").await.ok()?;
        sum.0 += usage["bytes"].as_u64()?;
        sum.1 += usage["total"]["dropped_bodies"].as_u64()?;
        sum.2 += usage["total"]["dropped_bytes"].as_u64()?;
    }
    Some(sum)
}

/// Whether everything is packed, and nothing but that is left of the entries.
async fn is_packed(network: &Network) -> Option<()> {
    for supernode in living(network) {
        let status = App::new(supernode).get("packs").await.ok()?;
        if status["unpacked"]["entries"] != json!(0) || status["to_free"]["runs"] != json!(0) {
            return None;
        }
    }
    Some(())
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_a_snapshot_replaces_leave_the_supernodes_and_who_joins_later_has_it_all() {
    let directory = Ground::new();
    look::settings(directory.path(), SUPERNODES, SETTINGS);
    let network = Network::start(directory.path(), SUPERNODES, SUPERNODES).await.unwrap();
    let (one, other) =
        (network.start_node("one", &[]).await.unwrap(), network.start_node("other", &[]).await.unwrap());
    let (a, b) = (App::new(&one), App::new(&other));
    let space = a.create_space("Pages").await.unwrap();
    b.join(&a.invite(&space, "editor").await.unwrap()).await.unwrap();
    look::wait_until_in_sync(&b, &space).await;

    edit(&a, &space, 0..EDITS).await;
    edit(&b, &space, EDITS..EDITS + 20).await;
    wait("the first edits are packed", || is_packed(&network)).await;
    edit(&a, &space, EDITS + 20..2 * EDITS + 20).await;
    let vouched = |answer: &Value| answer["snapshots"].as_u64() >= Some(2) && answer["waiting"] == json!(0);
    b.wait_until(&format!("spaces/{space}"), "snapshots", PATIENCE, vouched).await.unwrap();
    wait("the rest is packed", || is_packed(&network)).await;
    let (before, ..) = kept(&network).await.unwrap();

    let (after, bodies, bytes) = wait("three replicas drop what the snapshots replace", async || {
        let kept = kept(&network).await?;
        let done = is_done(&network).await?;
        (kept.1 >= 3 * EDITS && done).then_some(kept)
    })
    .await;
    println!(
        "{before} bytes before, {after} after; {bodies} bodies of {bytes} bytes dropped at three replicas"
    );
    assert!(
        after < before,
        "{after} bytes are kept after {before}, and {bodies} bodies of {bytes} bytes went"
    );

    // Everybody who was there goes away; who comes has the supernodes alone.
    let ticket = a.invite(&space, "viewer").await.unwrap();
    let mut values = Vec::new();
    for number in 0..DOCUMENTS {
        values.push(a.get(&notes::path(&space, &document(number))).await.unwrap());
    }
    wait("the invitation is on its way", async || {
        let shown = a.get(&format!("spaces/{space}")).await.ok()?;
        (shown["in_sync"] == json!(true) && shown["level"] != json!("local")).then_some(())
    })
    .await;
    one.stop().await.unwrap();
    other.stop().await.unwrap();
    let late = network.start_node("late", &[]).await.unwrap();
    let c = App::new(&late);
    c.join(&ticket).await.unwrap();
    for (number, value) in (0..DOCUMENTS).zip(&values) {
        let same =
            |answer: &Value| answer["value"] == value["value"] && answer["version"] == value["version"];
        let path = notes::path(&space, &document(number));
        c.wait_until(&path, "the page as the others have it", PATIENCE, same).await.unwrap();
    }
    look::wait_until_in_sync(&c, &space).await;
    let shown = c.get(&format!("spaces/{space}")).await.unwrap();
    assert_eq!(shown["waiting"], json!(0), "{shown}");
    assert_eq!(c.metric("cosmic_node_rounds_differing_total").await.unwrap(), 0);
    late.stop().await.unwrap();
    network.stop().await.unwrap();
}

/// Whether no replica removes anything any more.
async fn is_done(network: &Network) -> Option<bool> {
    for supernode in living(network) {
        let status = App::new(supernode).get("care/deletion").await.ok()?;
        if status["removals"].as_array().is_none_or(|removals| !removals.is_empty()) {
            return Some(false);
        }
    }
    Some(true)
}
