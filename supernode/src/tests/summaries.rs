//! Summaries between supernodes: everybody shows the same network, and what does not count is refused.

use cosmic_common::{id::PeerId, record::Record as _};
use cosmic_identity::signed::Signed;
use cosmic_summary::{
    DeviceSketch, Figures, LatencySketch, MemberState, MemberSummary, SummaryAnswer, SummaryRequest, Why,
};
use serde_json::{Value, json};

use super::world::{Supernode, World, eventually};
use crate::{
    config::Config,
    summary::{self, SUMMARY},
};

/// Two regions, of which one has fewer members than aggregators.
fn world() -> World {
    let summary = summary::Config { tell_every_secs: 1, region_every_secs: 1, world_every_secs: 1 };
    World::in_regions(&["here", "here", "here", "here", "there"], &Config { summary, ..Config::default() })
}

async fn ask(from: &Supernode, peer: PeerId, request: &[u8]) -> SummaryAnswer {
    let patience = std::time::Duration::from_secs(5);
    let mut stream = from.context.net.open(peer, SUMMARY, patience).await.unwrap();
    stream.send(request).await.unwrap();
    stream.flush().await.unwrap();
    let answer = stream.recv(SummaryAnswer::LIMIT).await.unwrap().unwrap();
    SummaryAnswer::from_bytes(&answer).unwrap()
}

/// A word of `of`, signed by `by`.
fn word(of: &Supernode, by: &Supernode, devices: u64) -> Vec<u8> {
    let word = MemberSummary {
        network: of.context.ring_view().network(),
        peer: of.peer(),
        time: of.context.clock.now(),
        state: MemberState::Well,
        figures: Figures { devices, ..Figures::default() },
        devices: DeviceSketch::new(),
        latency: LatencySketch::new(),
    };
    SummaryRequest::Tell(Signed::sign(word, &by.context.key).to_bytes()).to_bytes()
}

fn members(status: &Value) -> [u64; 2] {
    ["members", "well"].map(|name| status["world"][name].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_supernode_comes_to_show_the_same_network() {
    let world = world();
    for node in &world.supernodes {
        let status = eventually("everybody is seen", || async {
            let status = node.services.summaries.status().await;
            (members(&status) == [5, 5]).then_some(status)
        })
        .await;
        let regions: Vec<&Value> =
            status["regions"].as_array().unwrap().iter().map(|region| &region["region"]).collect();
        assert_eq!(regions, [&json!("here"), &json!("there")]);
        assert_eq!(status["world"]["devices"], 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forged_or_of_others_is_refused() {
    let world = world();
    // The one in a region of its own merges it, and nobody else's.
    let [one, other, .., alone] = &world.supernodes[..] else { panic!("five supernodes") };
    let refused = |why| SummaryAnswer::Refused(why);
    assert_eq!(ask(one, alone.peer(), &[1, 2, 3]).await, refused(Why::Malformed));
    let unread = SummaryRequest::Tell(vec![7; 40]).to_bytes();
    assert_eq!(ask(one, alone.peer(), &unread).await, refused(Why::Malformed));
    assert_eq!(
        ask(one, alone.peer(), &word(other, other, 1)).await,
        refused(Why::Forged),
        "another brings it"
    );
    assert_eq!(ask(one, alone.peer(), &word(one, one, 1)).await, refused(Why::NotMine));
    // All others of the larger region are told; one of them merges it now.
    let mut answers = Vec::new();
    for node in &world.supernodes[1..4] {
        answers.push(ask(one, node.peer(), &word(one, other, 1)).await);
    }
    assert!(answers.contains(&refused(Why::Forged)), "another signed it: {answers:?}");
    // Who has left is not answered, whatever it asks.
    world.retire(1);
    let everything = SummaryRequest::Regions { after: None }.to_bytes();
    assert_eq!(ask(one, other.peer(), &everything).await, refused(Why::NotAMember));
    assert!(matches!(ask(other, alone.peer(), &everything).await, SummaryAnswer::Gathered { .. }));
}
