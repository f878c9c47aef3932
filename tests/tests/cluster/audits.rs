//! A holder that lies: it signs for shards whose bytes are others, with manifests that fit them. Audits find it, tell it and
//! everybody, and what it only says that it has is made again: elsewhere, or at itself once it looks.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use cosmic_common::record::Record as _;
use cosmic_erasure::{Coder, Manifest};
use cosmic_loadtest::{api::App, network::Network, process::Process};
use cosmic_runtime::{clock::Clock, health::Health, metrics::Registry};
use cosmic_store::{Config, Setup, Span, Store};
use cosmic_supernode::tables::{KEPT, MANIFESTS, SHARDS, schema};
use futures::future::join_all;
use serde_json::Value;

use super::{
    ground::Ground,
    look::{self, living, records, shards, wait},
    shelf::Shelf,
};

/// One more than an object has shards: there is room for what the liar does not have.
const SUPERNODES: usize = 7;
/// Ten minutes become a second; nobody reads at random when he starts.
const SETTINGS: &str = "[care]\nping_every_secs = 1\nwalk_every_secs = 5\naudit_every_secs = 1\n\
     [scrub]\nstart_sample_percent = 0\n";

/// Puts other bytes in the place of every shard kept in `data`, with manifests that fit them.
async fn falsify(data: &Path) {
    let setup = Setup {
        schema: schema(),
        config: &Config::default(),
        clock: Clock::system(),
        registry: &Registry::new(),
        health: Health::new(),
    };
    let store = Store::open(data.join("store"), setup).unwrap();
    let mut batch = store.batch();
    for row in store.scan(&KEPT, &Span::all(), usize::MAX) {
        let ((object, index), _row) = row.unwrap();
        let manifest = Manifest::from_bytes(&store.get(&MANIFESTS, &object).unwrap().unwrap()).unwrap();
        let coder = Coder::new(manifest.codec()).unwrap();
        let other = coder.encode_known(object, vec![9; manifest.length()]).unwrap();
        batch.put_slice(&MANIFESTS, &object, &other.manifest().to_bytes());
        batch.put_slice(&SHARDS, &(object, index), other.shard(index).unwrap());
    }
    store.commit(batch).await.unwrap();
}

/// Which hashes the shards of each object have, by the manifests a supernode keeps.
fn manifests(rows: &[Value]) -> BTreeMap<String, Value> {
    let manifests = rows.iter().filter(|row| row["table"] == "manifests");
    manifests.map(|row| (row["object"].as_str().unwrap().to_owned(), row["shards"].clone())).collect()
}

async fn audits(supernode: &Process) -> Value {
    look::told(supernode.directory(), &["audit", "status"]).await
}

fn number(status: &Value, field: &str) -> u64 {
    status[field].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_lies_is_found_and_what_it_has_not_is_made_again() {
    let directory = Ground::new();
    look::settings(directory.path(), SUPERNODES, SETTINGS);
    let mut network = Network::start(directory.path(), SUPERNODES, SUPERNODES).await.unwrap();
    let writer = network.start_node("writer", &[]).await.unwrap();
    let app = App::new(&writer);
    let mut shelf = Shelf::new(&app, "Shelf").await;
    shelf.store(&app, "film.bin").await;
    shelf.wait_until_safe(&app).await;

    wait("everybody proves what they have", async || {
        let told = join_all(living(&network).map(audits)).await;
        let blamed: u64 = told.iter().map(|one| number(one, "denied") + number(one, "wrong")).sum();
        assert_eq!(blamed, 0, "nobody lies yet: {told:?}");
        let proved: u64 = told.iter().map(|one| number(one, "challenges_proved")).sum();
        (proved >= SUPERNODES as u64).then_some(())
    })
    .await;

    let mut most = (0, 0);
    for (place, supernode) in network.supernodes.iter().enumerate() {
        most = most.max((shards(supernode.as_ref().unwrap()).await.len(), place));
    }
    let (kept, liar) = most;
    assert!(kept > 0);
    let lied_about = shards(network.supernodes[liar].as_ref().unwrap()).await;
    let process = network.supernodes[liar].take().unwrap();
    let (peer, home) = (process.run().peer.clone(), network.supernode_directory(liar));
    // Whoever lies does not look whether what he has is true.
    App::new(&process).post("scrub/pause", &Value::Null).await.unwrap();
    process.stop().await.unwrap();
    falsify(&home).await;
    network.start_supernode(liar).await.unwrap();

    wait("what it lies about is true again, there or elsewhere", async || {
        let (mut honest, mut named) = (BTreeMap::<_, BTreeSet<_>>::new(), BTreeMap::new());
        for (_, supernode) in network.supernodes.iter().enumerate().filter(|(place, _)| *place != liar) {
            let rows = records(supernode.as_ref().unwrap()).await;
            named.extend(manifests(&rows));
            for (object, indices) in shards(supernode.as_ref().unwrap()).await {
                honest.entry(object).or_default().extend(indices);
            }
        }
        let told = manifests(&records(network.supernodes[liar].as_ref().unwrap()).await);
        let is_true = |(object, indices): (&String, &BTreeSet<u64>)| {
            let elsewhere = honest.get(object).is_some_and(|kept| kept.is_superset(indices));
            elsewhere || told.get(object) == named.get(object)
        };
        lied_about.iter().all(is_true).then_some(())
    })
    .await;

    let mut found = 0;
    for (place, supernode) in network.supernodes.iter().enumerate() {
        let told = audits(supernode.as_ref().unwrap()).await;
        if place == liar {
            assert!(number(&told, "accusations") > 0, "it hears what is said of it: {told}");
            continue;
        }
        found += number(&told, "wrong") + number(&told, "denied");
        for holder in told["holders"].as_array().unwrap() {
            let is_liar = holder["peer"] == peer.as_str();
            // Who makes good what one other found, before a second did, is thought no worse of.
            assert!(is_liar || holder["repute"] == 1000, "nobody else is thought worse of: {told}");
        }
    }
    assert!(found > 0, "audits find what is wrong");
    // Three honest ones die, and what is left is enough: nothing rests on a lie.
    for place in (0..SUPERNODES).filter(|place| *place != liar).take(3) {
        network.kill_supernode(place).await.unwrap();
    }
    shelf.read_afresh(&network, &app).await;
    writer.stop().await.unwrap();
    network.stop().await.unwrap();
}
