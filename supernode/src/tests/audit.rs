//! Audits: who does not have what it signed for is found, and its shards are made again.

use std::time::Duration;

use cosmic_common::{
    id::{ObjectId, PeerId},
    record::Record as _,
};
use cosmic_custody::{
    Evidence,
    audit::evidence::Finding,
    message::{refusal::RefusalCode, shard::Indices},
};
use cosmic_erasure::{Coder, Manifest};
use cosmic_identity::{key::SecretKey, signed::Signed};
use serde_json::Value;

use super::{
    care::{Healing, SPACE},
    world::{Supernode, key},
};
use crate::tables::{MANIFESTS, SHARDS};

fn node(healing: &Healing, peer: PeerId) -> &Supernode {
    healing.world.supernodes.iter().find(|node| node.peer() == peer).unwrap()
}

fn own(node: &Supernode, object: &ObjectId) -> Indices {
    node.services.shards.keeper().surveyed(object).unwrap().own
}

fn status(node: &Supernode) -> Value {
    node.services.care.audits().status()
}

fn repute(node: &Supernode, of: PeerId) -> u64 {
    let status = status(node);
    let holders = status["holders"].as_array().unwrap();
    let holder = holders.iter().find(|holder| holder["peer"] == serde_json::json!(of)).unwrap();
    holder["repute"].as_u64().unwrap()
}

/// Puts other bytes in the place of a shard, with a manifest that fits them: a holder that lies.
async fn falsify(node: &Supernode, object: ObjectId) {
    let store = &node.context.store;
    let manifest = Manifest::from_bytes(&store.get(&MANIFESTS, &object).unwrap().unwrap()).unwrap();
    let other =
        Coder::new(manifest.codec()).unwrap().encode_known(object, vec![9; manifest.length()]).unwrap();
    let mut batch = store.batch();
    batch.put_slice(&MANIFESTS, &object, &other.manifest().to_bytes());
    for index in own(node, &object).iter() {
        batch.put_slice(&SHARDS, &(object, index), other.shard(index).unwrap());
    }
    store.commit(batch).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_that_lies_is_found_and_its_shard_made_again_elsewhere() {
    let mut healing = Healing::new(7);
    let (object, bytes) = healing.put(0, 1).await;
    let liar = healing.holder(&object);
    falsify(node(&healing, liar), object).await;
    let lied_about = own(node(&healing, liar), &object);
    healing.pass(Duration::from_mins(60)).await;
    let elsewhere = || {
        let honest = healing.living().filter(|node| node.peer() != liar);
        let kept: Indices = honest.flat_map(|node| own(node, &object).iter().collect::<Vec<_>>()).collect();
        lied_about.iter().all(|index| kept.contains(index)).then_some(())
    };
    healing.until("making the shard again", elsewhere).await;
    let accusers = healing.living().filter(|node| node.peer() != liar && repute(node, liar) < 1000).count();
    assert!(accusers > 0, "a pretence costs repute");
    let blamed = healing.living().filter(|node| node.peer() != liar).any(|one| {
        healing
            .living()
            .any(|other| ![one.peer(), liar].contains(&other.peer()) && repute(one, other.peer()) < 1000)
    });
    assert!(!blamed, "nobody else is thought worse of");
    healing.kill(liar);
    for _ in 0..2 {
        let next = healing.holder(&object);
        healing.kill(next);
    }
    let reader = healing.living().next().unwrap();
    assert!(reader.services.objects.get(SPACE, object).await.unwrap().into_vec() == bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_holder_whose_bytes_are_gone_says_so_and_gets_them_again_where_nobody_else_can() {
    let healing = Healing::new(6);
    let (object, _bytes) = healing.put(0, 2).await;
    let holder = healing.holder(&object);
    let index = own(node(&healing, holder), &object).iter().next().unwrap();
    let store = &node(&healing, holder).context.store;
    let before = store.get(&SHARDS, &(object, index)).unwrap().unwrap();
    let mut batch = store.batch();
    batch.delete(&SHARDS, &(object, index));
    store.commit(batch).await.unwrap();
    healing.pass(Duration::from_mins(60)).await;
    let again = || store.get(&SHARDS, &(object, index)).unwrap().filter(|bytes| *bytes == before).map(drop);
    healing.until("giving the shard again", again).await;
    let denied: u64 = healing.living().map(|node| status(node)["denied"].as_u64().unwrap()).sum();
    assert!(denied >= 2, "found twice before anybody acts: {denied}");
}

#[tokio::test(flavor = "multi_thread")]
async fn honest_holders_prove_what_they_have() {
    let healing = Healing::new(6);
    healing.put(0, 3).await;
    healing.pass(Duration::from_mins(45)).await;
    let sum = |name: &str| -> u64 { healing.living().map(|node| status(node)[name].as_u64().unwrap()).sum() };
    assert!(sum("proved") > 5, "each is asked once in ten minutes: {}", sum("proved"));
    assert_eq!((sum("denied"), sum("wrong"), sum("shards_lost")), (0, 0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn evidence_is_checked_counted_and_bounded() {
    let healing = Healing::new(6);
    let (object, _bytes) = healing.put(0, 4).await;
    let holder = healing.holder(&object);
    let mut others = healing.living().filter(|node| node.peer() != holder);
    let (judge, auditor) = (others.next().unwrap(), others.next().unwrap());
    let receipt = node(&healing, holder).services.shards.keeper().which(&object).unwrap().receipts[0].clone();
    let evidence = |key: &SecretKey| {
        let time = judge.context.clock.now();
        let evidence =
            Evidence { auditor: key.peer_id(), receipt: receipt.clone(), finding: Finding::Wrong, time };
        Signed::sign(evidence, key).to_bytes()
    };
    let audits = judge.services.care.audits();
    let told = evidence(&auditor.context.key);
    let mut forged = told.clone();
    *forged.last_mut().unwrap() ^= 1;
    let stranger = evidence(&key(77));
    audits.hear(vec![told.clone(), told.clone(), forged, stranger, vec![0; 40]]).await.unwrap();
    let heard = &status(judge)["evidence"];
    assert_eq!((&heard["new"], &heard["known"], &heard["refused"]), (&1.into(), &1.into(), &3.into()));
    assert_eq!(audits.hear(vec![told; 65]).await.unwrap_err().code, RefusalCode::TooLarge);
    assert_eq!(repute(judge, holder), 1000, "one voice changes nothing");
}
