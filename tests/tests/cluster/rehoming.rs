//! Gateways that leave, in peace or by a kill, while apps write and read: devices go elsewhere, and no app is refused anything.

use std::{collections::BTreeMap, time::Duration};

use cosmic_loadtest::{
    api::App,
    network::Network,
    process::{Process, command},
};
use futures::future::{join_all, try_join_all};
use tokio::sync::watch;

use super::{
    ground::Ground,
    look::{self, wait},
    notes,
};

const SUPERNODES: usize = 4;
const DEVICES: usize = 6;
const FILES: u8 = 12;
const FILE_BYTES: usize = 600 * 1024;
/// Devices are sent away within two seconds.
const SETTINGS: &str = "[care]\nping_every_secs = 1\nwalk_every_secs = 5\n[moves]\ndrain_secs = 4\n";

async fn sessions(supernode: &Process) -> u64 {
    App::new(supernode).get("retire").await.unwrap()["sessions"].as_u64().unwrap()
}

/// The gateway with the most sessions.
async fn busiest(network: &Network) -> usize {
    let mut all = Vec::new();
    for (number, supernode) in network.supernodes.iter().enumerate() {
        if let Some(supernode) = supernode {
            all.push((sessions(supernode).await, number));
        }
    }
    all.into_iter().max().unwrap().1
}

/// Writes documents one after the other until it is told to stop, each done once a gateway took it; their names.
async fn write_all(app: &App, space: &str, prefix: &str, mut stop: watch::Receiver<bool>) -> Vec<String> {
    let mut written = Vec::new();
    while !*stop.borrow_and_update() {
        let id = format!("{prefix}-{}", written.len());
        let path = format!("{}?wait=accepted&timeout_ms=30000", notes::path(space, &id));
        app.put(&path, &notes::value(&id)).await.unwrap();
        written.push(id);
    }
    written
}

async fn drain(network: &Network, number: usize) {
    let path = network.supernode_directory(number).to_string_lossy().into_owned();
    command("cosmic-supernode", &["drain", "--wait", "--data-dir", &path], None).await.unwrap();
    assert_eq!(sessions(network.supernodes[number].as_ref().unwrap()).await, 0);
}

fn content(number: u8) -> Vec<u8> {
    (0_u8..251).cycle().take(FILE_BYTES).map(|place| number.wrapping_add(place)).collect()
}

/// How often spaces were without a gateway for up to so long, over all devices.
async fn rehomed(nodes: &[Process]) -> BTreeMap<Duration, u64> {
    let mut times = BTreeMap::new();
    for node in nodes {
        let request = reqwest::Client::new().get(format!("http://{}/metrics", node.run().http));
        let request = request.bearer_auth(node.run().token.clone().unwrap_or_default());
        let text = request.send().await.unwrap().text().await.unwrap();
        for line in text.lines() {
            let Some(rest) = line.strip_prefix("cosmic_node_rehoming_seconds_bucket{le=\"") else { continue };
            let (limit, count) = rest.split_once("\"} ").unwrap();
            let limit = limit.parse().ok().and_then(|limit| Duration::try_from_secs_f64(limit).ok());
            *times.entry(limit.unwrap_or(Duration::MAX)).or_default() += count.parse::<u64>().unwrap();
        }
    }
    times
}

/// Prints within what time 95 of 100 had another gateway.
async fn tell(what: &str, nodes: &[Process], before: &BTreeMap<Duration, u64>) {
    let after = rehomed(nodes).await;
    let since = |limit: &Duration| after[limit] - before.get(limit).copied().unwrap_or_default();
    let all = after.keys().map(since).max().unwrap();
    let p95 = after.keys().find(|limit| since(limit) * 100 >= all * 95).unwrap();
    println!("{what}: {all} sessions had another gateway, 95 of 100 within {p95:?}");
    assert!(all > 0, "nobody had to go elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn gateways_leave_and_die_and_no_app_is_refused_anything() {
    let directory = Ground::new();
    look::settings(directory.path(), SUPERNODES, SETTINGS);
    let mut network = Network::start(directory.path(), SUPERNODES, SUPERNODES).await.unwrap();
    let names: Vec<String> = (0..DEVICES).map(|number| format!("device-{number}")).collect();
    let nodes = try_join_all(names.iter().map(|name| network.start_node(name, &[]))).await.unwrap();
    let apps: Vec<App> = nodes.iter().map(App::new).collect();
    let mut spaces = Vec::new();
    for app in &apps {
        spaces.push(app.create_space("Notes").await.unwrap());
    }
    for number in 0..FILES {
        apps[0].upload(&spaces[0], &format!("{number}.bin"), content(number)).await.unwrap();
    }
    let replicated = |answer: &serde_json::Value| look::is_at_least(answer, "replicated");
    for number in 0..FILES {
        let path = format!("spaces/{}/files/{number}.bin/durability", spaces[0]);
        apps[0].wait_until(&path, "replicated", notes::PATIENCE, replicated).await.unwrap();
    }
    let ticket = apps[0].invite(&spaces[0], "viewer").await.unwrap();
    apps[1].join(&ticket).await.unwrap();
    let listed = |answer: &serde_json::Value| {
        answer["files"].as_array().is_some_and(|all| all.len() == usize::from(FILES))
    };
    let files = format!("spaces/{}/files", spaces[0]);
    apps[1].wait_until(&files, "the files", notes::PATIENCE, listed).await.unwrap();

    let (stop, stopped) = watch::channel(false);
    let writing = join_all(
        apps.iter().zip(&spaces).map(|(app, space)| write_all(app, space, "moved", stopped.clone())),
    );
    let reading = async {
        for number in 0..FILES {
            let read = apps[1].download(&spaces[0], &format!("{number}.bin")).await.unwrap();
            assert!(read.bytes().await.unwrap() == content(number), "file {number} is read as it was stored");
        }
    };
    let leaving = async {
        let before = rehomed(&nodes).await;
        drain(&network, busiest(&network).await).await;
        tell("drained", &nodes, &before).await;
        let before = rehomed(&nodes).await;
        let next = busiest(&network).await;
        network.kill_supernode(next).await.unwrap();
        wait("somebody noticed", async || (rehomed(&nodes).await != before).then_some(())).await;
        stop.send(true).unwrap();
        before
    };
    let (written, (), before) = tokio::join!(writing, reading, leaving);
    tell("killed", &nodes, &before).await;
    println!("{} documents were taken meanwhile", written.iter().map(Vec::len).sum::<usize>());
    for ((app, space), written) in apps.iter().zip(&spaces).zip(written) {
        notes::wait_for(app, space, &written).await;
    }
    try_join_all(nodes.into_iter().map(Process::stop)).await.unwrap();
    network.stop().await.unwrap();
}
