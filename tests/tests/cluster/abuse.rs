//! A supernode under attack from an address of its own: the address is kept out, and a device at another one goes on being served.

use std::time::Duration;

use cosmic_loadtest::{
    api::App,
    hostile::{self, STRICT, Target},
    network::Network,
};
use serde_json::Value;

use super::{
    ground::Ground,
    look::{self, told},
    notes,
};

/// How long a write may take on two busy cores, one of which attacks.
const SOON: Duration = Duration::from_secs(20);

async fn bans(network: &Network) -> Vec<String> {
    let told = told(&network.supernode_directory(0), &["bans", "list"]).await;
    told["bans"].as_array().unwrap().iter().filter_map(|ban| ban["who"].as_str()).map(str::to_owned).collect()
}

/// The counter of connections and streams that were refused for `reason`.
async fn refused(network: &Network, reason: &str) -> u64 {
    let http = &network.supernodes[0].as_ref().unwrap().run().http;
    let text = reqwest::get(format!("http://{http}/metrics")).await.unwrap().text().await.unwrap();
    let name = format!("cosmic_net_refused_total{{reason=\"{reason}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)?.parse().ok()).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_address_is_kept_out_and_a_device_at_another_is_served() {
    let directory = Ground::new();
    look::settings(directory.path(), 1, STRICT);
    let network = Network::start(directory.path(), 1, 1).await.unwrap();
    let node = network.start_node("honest", &[]).await.unwrap();
    let app = App::new(&node);
    let space = app.create_space("Notes").await.unwrap();
    let write = async |id: &str| {
        let path = format!("{}?wait=accepted&timeout_ms={}", notes::path(&space, id), SOON.as_millis());
        app.put(&path, &notes::value(id)).await.unwrap();
    };
    write("before").await;

    let target = Target::of(network.supernodes[0].as_ref().unwrap()).unwrap();
    let (_done, attack) = hostile::attack(&target, 1, 2);
    let hostile = format!("{}/32", hostile::address(0));
    let mut written = 0;
    look::wait("the ban of the hostile address", async || {
        write(&format!("meanwhile-{written}")).await;
        written += 1;
        bans(&network).await.contains(&hostile).then_some(())
    })
    .await;
    // It goes on, and is turned away at the door.
    look::wait("the hostile address turned away", async || {
        (refused(&network, "Banned").await > 3).then_some(())
    })
    .await;
    write("after").await;
    let honest =
        bans(&network).await.iter().any(|who| who.starts_with("127.0.0.") || *who == node.run().peer);
    assert!(!honest, "nobody honest is kept out");
    drop(attack);

    let lifted = told(&network.supernode_directory(0), &["bans", "lift", &hostile]).await;
    assert!(
        lifted["bans"].as_array().unwrap().iter().all(|ban| ban["who"] != Value::String(hostile.clone()))
    );
    node.stop().await.unwrap();
    network.stop().await.unwrap();
}
