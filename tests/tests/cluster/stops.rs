//! Processes that stand still for longer than anybody waits, and a zone that is lost at once: work goes on without them, and
//! they catch up.

use std::collections::BTreeSet;

use cosmic_loadtest::{
    api::App,
    network::Network,
    process::{Process, Signal},
};
use futures::future::try_join_all;

use super::{
    ground::Ground,
    look::{self, WATCHFUL, living, wait},
    shelf::Shelf,
};

const SUPERNODES: usize = 6;
const ZONES: usize = 3;

async fn text(app: &App, path: &str, field: &str) -> Option<String> {
    app.get(path).await.ok()?.get(field)?.as_str().map(str::to_owned)
}

/// The supernode that is the gateway of a device.
async fn gateway(network: &Network, app: &App, space: &str) -> usize {
    wait("a gateway", async || {
        let gateway = text(app, &format!("spaces/{space}"), "gateway").await?;
        let is_it = |supernode: &Option<Process>| supernode.as_ref().unwrap().run().peer == gateway;
        network.supernodes.iter().position(is_it)
    })
    .await
}

/// Waits until no other supernode holds a connection to `number`: its silence was noticed.
async fn wait_until_missed(network: &Network, number: usize) {
    let peer = network.supernodes[number].as_ref().unwrap().run().peer.clone();
    for (other, supernode) in network.supernodes.iter().enumerate() {
        if other == number {
            continue;
        }
        let app = App::new(supernode.as_ref().unwrap());
        wait("its silence is noticed", async || {
            let peers = app.get("peers").await.unwrap();
            let peers: BTreeSet<_> =
                peers.as_array().unwrap().iter().filter_map(|one| one["peer"].as_str()).collect();
            (!peers.contains(peer.as_str())).then_some(())
        })
        .await;
    }
}

/// Everything is back where it belongs: nothing is kept for others, every object has all shards, replicas agree.
async fn wait_until_caught_up(network: &Network, app: &App, shelf: &Shelf) {
    wait("what was kept for others is home", async || {
        (look::kept_for_others(network).await == 0).then_some(())
    })
    .await;
    look::wait_until_whole(network, 2).await;
    look::wait_until_replicas_agree(network, app, &shelf.space).await;
    shelf.wait_until_safe(app).await;
    look::wait_until_in_sync(app, &shelf.space).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_without_who_stands_still_and_without_a_zone() {
    let directory = Ground::new();
    look::settings(directory.path(), SUPERNODES, WATCHFUL);
    let mut network = Network::start(directory.path(), SUPERNODES, ZONES).await.unwrap();
    let writer = network.start_node("writer", &[]).await.unwrap();
    let app = App::new(&writer);
    let mut shelf = Shelf::new(&app, "Shelf").await;
    shelf.store(&app, "before.bin").await;
    shelf.wait_until_safe(&app).await;

    for who in ["holder", "gateway"] {
        let its_gateway = gateway(&network, &app, &shelf.space).await;
        let stopped = if who == "gateway" { its_gateway } else { (its_gateway + 1) % SUPERNODES };
        network.supernodes[stopped].as_ref().unwrap().signal(Signal::STOP).unwrap();
        println!("the {who} is supernode {stopped}");
        // At first nobody knows, later everybody does.
        for moment in ["unnoticed", "noticed"] {
            shelf.write(&app, &format!("{who}-{moment}")).await.unwrap();
            let name = format!("{who}-{moment}.bin");
            shelf.store(&app, &name).await;
            shelf.wait_until(&app, &name, "replicated", None).await;
            wait_until_missed(&network, stopped).await;
        }
        shelf.read_afresh(&network, &app).await;
        network.supernodes[stopped].as_ref().unwrap().signal(Signal::CONT).unwrap();
        wait_until_caught_up(&network, &app, &shelf).await;
    }

    let zone: Vec<usize> = (0..SUPERNODES).filter(|number| number % ZONES == 1).collect();
    let lost: Vec<Process> = zone.iter().filter_map(|number| network.supernodes[*number].take()).collect();
    try_join_all(lost.into_iter().map(Process::kill)).await.unwrap();
    shelf.read_afresh(&network, &app).await;
    shelf.write(&app, "without-a-zone").await.unwrap();
    shelf.store(&app, "without-a-zone.bin").await;
    // Four holders are left, and any one of them may be lost too.
    shelf.wait_until(&app, "without-a-zone.bin", "replicated", None).await;
    shelf.read_afresh(&network, &app).await;
    for number in zone {
        network.start_supernode(number).await.unwrap();
    }
    wait_until_caught_up(&network, &app, &shelf).await;
    assert_eq!(living(&network).count(), SUPERNODES);

    writer.stop().await.unwrap();
    network.stop().await.unwrap();
}
