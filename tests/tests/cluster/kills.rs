//! Whatever was acknowledged is there after any process was killed at any point.

use std::{env, str::FromStr, time::Duration};

use cosmic_loadtest::{
    api::{App, Error},
    network::{self, Network},
    process::Process,
};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde_json::Value;

use super::notes;

const SUPERNODES: usize = 3;
const ROUNDS: usize = 5;
/// Documents that are tried between two kills, at most.
const WRITES_MAX: usize = 24;
/// How long a write may take until two of the three replicas have signed, one of them dead: its gateway may have died
/// without a word, which takes some seconds to notice.
const REPLICATED_WITHIN: Duration = Duration::from_secs(20);
/// A kill hits within this time after a request began.
const REQUEST_MAX: Duration = Duration::from_millis(12);

fn setting<T: FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}

/// What was acknowledged, and how safe it was then.
#[derive(Default)]
struct Acknowledged {
    tried: usize,
    local: Vec<String>,
    replicated: Vec<String>,
}

impl Acknowledged {
    /// Writes one document and takes down how it was acknowledged, if it was.
    async fn write(&mut self, app: &App, space: &str) -> Result<(), Error> {
        self.tried += 1;
        let id = format!("note-{:05}", self.tried);
        if self.tried.is_multiple_of(4) {
            notes::write_replicated(app, space, &id, REPLICATED_WITHIN).await?;
            self.replicated.push(id.clone());
        } else {
            notes::write(app, space, &id).await?;
        }
        self.local.push(id);
        Ok(())
    }

    /// Writes some documents, each of which must be acknowledged. While the last one is under way, `kill` is carried out.
    async fn write_until<T>(
        &mut self,
        (app, space): (&App, &str),
        random: &mut ChaCha20Rng,
        kill: impl Future<Output = T>,
    ) -> T {
        for _ in 0..random.random_range(1..WRITES_MAX) {
            self.write(app, space).await.unwrap();
        }
        let moment = REQUEST_MAX.mul_f64(f64::from(random.next_u32()) / f64::from(u32::MAX));
        let kill = async {
            // The point of time is what is random here; nothing is waited for.
            tokio::time::sleep(moment).await;
            kill.await
        };
        let (acknowledged, killed) = tokio::join!(self.write(app, space), kill);
        if let Err(error) = acknowledged {
            println!("killed while it was written: {error}");
        }
        killed
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_processes_are_killed() {
    let seed = setting("COSMIC_SEED").unwrap_or_else(rand::random::<u64>);
    println!("COSMIC_SEED={seed}");
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut network = Network::start(directory.path(), SUPERNODES, SUPERNODES).await.unwrap();
    let mut writer = network.start_node("writer", &[]).await.unwrap();
    let space = App::new(&writer).create_space("Kills").await.unwrap();
    let mut acknowledged = Acknowledged::default();
    for round in 0..setting("COSMIC_ROUNDS").unwrap_or(ROUNDS) {
        let app = App::new(&writer);
        let ticket = app.invite(&space, "viewer").await.unwrap();
        notes::write_replicated(&app, &space, &format!("invited-{round}"), notes::PATIENCE).await.unwrap();

        let victim = random.random_range(0..SUPERNODES);
        let life = incarnation(&network, victim).await;
        let kill = network.kill_supernode(victim);
        acknowledged.write_until((&app, &space), &mut random, kill).await.unwrap();
        acknowledged.write_until((&app, &space), &mut random, writer.kill()).await.unwrap();
        network.start_supernode(victim).await.unwrap();
        assert_eq!(incarnation(&network, victim).await, life, "half a write is no loss");

        // The writer is still dead: what is replicated must come from the supernodes alone.
        let fresh = read_afresh(&network, (&ticket, &space), round, &acknowledged.replicated).await;
        writer = network.start_node("writer", &[]).await.unwrap();
        let app = App::new(&writer);
        for id in &acknowledged.local {
            let answer = app.get(&notes::path(&space, id)).await.unwrap();
            assert_eq!(answer.get("value"), Some(&notes::value(id)), "{id} was acknowledged");
        }
        notes::wait_for(&App::new(&fresh), &space, &acknowledged.local).await;
        fresh.stop().await.unwrap();
    }
    println!(
        "{} tried, {} acknowledged, {} of them as replicated",
        acknowledged.tried,
        acknowledged.local.len(),
        acknowledged.replicated.len()
    );
    writer.stop().await.unwrap();
    network.stop().await.unwrap();
}

/// The life of a supernode's data: a new one if it lost something that it had signed for.
async fn incarnation(network: &Network, number: usize) -> Value {
    let status = network::status(network.supernodes[number].as_ref().unwrap()).await.unwrap();
    status.get("incarnation").cloned().unwrap()
}

/// A device that never met the writer has every one of `ids`.
async fn read_afresh(
    network: &Network,
    (ticket, space): (&str, &str),
    round: usize,
    ids: &[String],
) -> Process {
    let fresh = network.start_node(&format!("fresh-{round}"), &[]).await.unwrap();
    let app = App::new(&fresh);
    app.join(ticket).await.unwrap();
    notes::wait_for(&app, space, ids).await;
    fresh
}
