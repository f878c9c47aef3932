//! What supernodes say that they keep, and waiting until it is as it should be.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use cosmic_loadtest::{
    api::App,
    network::Network,
    process::{self, Process},
};
use futures::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};

use super::notes::PATIENCE;

/// Care that notices within seconds who comes, and does not take anybody for dead while a test lasts.
pub(super) const WATCHFUL: &str = "[care]\nping_every_secs = 1\nwalk_every_secs = 5\n";
/// How often supernodes are asked while something is waited for: a dump is no small question.
const POLL: Duration = Duration::from_millis(200);

/// Which shards of each object are kept.
pub(super) type Shards = BTreeMap<String, BTreeSet<u64>>;
/// Where each log of a space ends.
pub(super) type Heads = BTreeMap<String, (u64, Value)>;

/// Whether an answer about durability says at least `level`.
pub(super) fn is_at_least(answer: &Value, level: &str) -> bool {
    let order = ["local", "accepted", "replicated", "durable"];
    let place = |name: &str| order.iter().position(|one| *one == name);
    answer["level"].as_str().is_some_and(|shown| place(shown) >= place(level))
}

/// Writes `settings` for `supernodes` supernodes below `directory`, before they are started.
pub(super) fn settings(directory: &Path, supernodes: usize, settings: &str) {
    for number in 0..supernodes {
        let data = directory.join(format!("supernode-{number}"));
        std::fs::create_dir_all(&data).unwrap();
        std::fs::write(data.join("supernode.toml"), settings).unwrap();
    }
}

/// What `cosmic-supernode` with these arguments says of the supernode in `directory`.
pub(super) async fn told(directory: &Path, arguments: &[&str]) -> Value {
    let directory = directory.to_string_lossy();
    let all = [arguments, &["--data-dir", &directory, "--json"]].concat();
    process::command_json("cosmic-supernode", &all).await.unwrap()
}

/// The supernodes that run.
pub(super) fn living(network: &Network) -> impl Iterator<Item = &Process> {
    network.supernodes.iter().flatten()
}

/// What a supernode stores, by its dump.
pub(super) async fn records(supernode: &Process) -> Vec<Value> {
    let request = App::new(supernode).request(Method::GET, "dump/records");
    let text = request.send().await.unwrap().text().await.unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// What it keeps as its own.
pub(super) async fn shards(supernode: &Process) -> Shards {
    let mut shards = Shards::new();
    for row in records(supernode).await {
        if row["table"] == "shards" && row["owner"].is_null() {
            let object = row["object"].as_str().unwrap().to_owned();
            shards.entry(object).or_default().insert(row["index"].as_u64().unwrap());
        }
    }
    shards
}

/// What all that run keep as their own.
pub(super) async fn all_shards(network: &Network) -> Shards {
    let mut all = Shards::new();
    for supernode in living(network) {
        for (object, indices) in shards(supernode).await {
            all.entry(object).or_default().extend(indices);
        }
    }
    all
}

/// How many shards are kept for others.
pub(super) async fn kept_for_others(network: &Network) -> usize {
    let mut count = 0;
    for supernode in living(network) {
        let rows = records(supernode).await.into_iter();
        count += rows.filter(|row| row["table"] == "shards" && !row["owner"].is_null()).count();
    }
    count
}

/// Waits until the supernodes that run keep every shard that the manifests name, of `least` objects at least, and know of
/// nothing in danger.
pub(super) async fn wait_until_whole(network: &Network, least: usize) {
    wait("every shard is kept by somebody who lives", async || {
        let mut wanted = BTreeMap::new();
        for row in join_all(living(network).map(records)).await.into_iter().flatten() {
            if row["table"] == "manifests" {
                wanted.insert(row["object"].to_string(), row["shards"].as_array().unwrap().len());
            }
        }
        let all = all_shards(network).await;
        let whole = |(object, indices): (&String, &BTreeSet<u64>)| {
            wanted.get(&json!(object).to_string()) == Some(&indices.len())
        };
        (all.len() >= least && all.iter().all(whole)).then_some(())
    })
    .await;
    for supernode in living(network) {
        let calm = |answer: &Value| answer.get("queued") == Some(&json!(0));
        App::new(supernode).wait_until("care/repair", "nothing in danger", PATIENCE, calm).await.unwrap();
    }
}

/// Where the logs of `space` end at a supernode, and how many entries it still owes to replicas.
pub(super) async fn heads(supernode: &Process, space: &str) -> (Heads, usize) {
    let rows = records(supernode).await;
    let of = |table: &'static str| rows.iter().filter(move |row| row["table"] == table);
    let place = |row: &Value| (row["log"].as_str().unwrap().to_owned(), row["seq"].as_u64().unwrap());
    let ids: BTreeMap<_, _> = of("entries").map(|row| (place(row), row["entry"].clone())).collect();
    let ends = of("logs").filter(|row| row["space"] == space).map(place);
    let heads = ends.map(|end| (end.0.clone(), (end.1, ids.get(&end).cloned().unwrap_or_default())));
    (heads.collect(), of("forwards").count())
}

/// Waits until the replicas of `space` hold the same, and nobody owes them anything.
pub(super) async fn wait_until_replicas_agree(network: &Network, app: &App, space: &str) {
    let shown = app.get(&format!("spaces/{space}")).await.unwrap();
    let replicas: Vec<&str> =
        shown["replicas"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    wait("the replicas hold the same, and nothing is owed to them", async || {
        let (mut all, mut owed) = (Vec::new(), 0);
        for supernode in living(network) {
            let (heads, forwards) = heads(supernode, space).await;
            owed += forwards;
            if replicas.contains(&supernode.run().peer.as_str()) {
                all.push(heads);
            }
        }
        let same = all.windows(2).all(|pair| pair[0] == pair[1]);
        (all.len() == replicas.len() && !all[0].is_empty() && same && owed == 0).then_some(())
    })
    .await;
}

/// Waits until this device holds the same as its gateway.
pub(super) async fn wait_until_in_sync(app: &App, space: &str) {
    let in_sync = |answer: &Value| answer.get("in_sync") == Some(&json!(true));
    app.wait_until(&format!("spaces/{space}"), "in sync", PATIENCE, in_sync).await.unwrap();
}

/// Waits until `probe` finds something.
pub(super) async fn wait<T>(what: &str, probe: impl AsyncFnMut() -> Option<T>) -> T {
    wait_within(2 * PATIENCE, what, probe).await
}

/// The same, with another patience.
pub(super) async fn wait_within<T>(
    patience: Duration,
    what: &str,
    mut probe: impl AsyncFnMut() -> Option<T>,
) -> T {
    let found = tokio::time::timeout(patience, async {
        loop {
            if let Some(found) = probe().await {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
    });
    found.await.unwrap_or_else(|_late| panic!("{what}: not within {} s", patience.as_secs()))
}
