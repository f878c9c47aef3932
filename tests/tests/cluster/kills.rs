//! Whatever was acknowledged is there after any processes were killed at any point.
//!
//! A storm: supernodes, gateways and devices are killed, one to three at once, while devices write and read; each is started
//! again while work goes on, some supernodes only after others died. In the calm after it everything acknowledged is there.

use std::{env, str::FromStr, time::Duration};

use cosmic_loadtest::{
    api::App,
    network::{self, Network},
    process::{Error, Process},
};
use futures::future::{join_all, try_join_all};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde_json::Value;

use super::{
    ground::Ground,
    load::{LANES, Load},
    look::{self, WATCHFUL},
};

const SUPERNODES: usize = 6;
const ZONES: usize = 3;
const DEVICES: usize = 2;
/// Processes killed in the whole test.
const KILLS: usize = 40;
/// Processes killed between two times at which everything is compared.
const KILLS_IN_STORM: usize = 40;
/// Processes that die at once, at most.
const AT_ONCE: usize = 3;
/// Writes and reads between two kills, at most.
const PIECES_MAX: usize = 24;
/// A kill hits within this time after the last piece of work began.
const REQUEST_MAX: Duration = Duration::from_millis(12);
/// How often is looked whether work has begun.
const POLL: Duration = Duration::from_millis(1);

fn setting<T: FromStr>(name: &str) -> Option<T> {
    env::var(name).ok()?.parse().ok()
}

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Supernode(usize),
    Device(usize),
}

/// A network in a storm.
struct Storm {
    network: Network,
    devices: Vec<Option<Process>>,
    /// The lives of the supernodes' data: a new one if one lost something that it had signed for.
    lives: Vec<Value>,
    /// A supernode that is left dead until others died as well.
    away: Option<usize>,
    random: ChaCha20Rng,
    killed: usize,
}

fn device_name(number: usize) -> String {
    format!("device-{number}")
}

async fn life(supernode: &Process) -> Value {
    network::status(supernode).await.unwrap().get("incarnation").cloned().unwrap()
}

impl Storm {
    async fn start(directory: &std::path::Path, random: ChaCha20Rng) -> Self {
        look::settings(directory, SUPERNODES, WATCHFUL);
        let network = Network::start(directory, SUPERNODES, ZONES).await.unwrap();
        let mut devices = Vec::new();
        for number in 0..DEVICES {
            devices.push(Some(network.start_node(&device_name(number), &[]).await.unwrap()));
        }
        let lives = join_all(look::living(&network).map(life)).await;
        Self { network, devices, lives, away: None, random, killed: 0 }
    }

    fn app(&self, device: usize) -> App {
        App::new(self.devices[device].as_ref().unwrap())
    }

    /// The supernode that is the gateway of a device now.
    async fn gateway(&self, device: usize, space: &str) -> Option<usize> {
        let shown = App::new(self.devices[device].as_ref()?).get(&format!("spaces/{space}")).await.ok()?;
        let gateway = shown["gateway"].as_str()?.to_owned();
        let is_it =
            |supernode: &Option<Process>| supernode.as_ref().is_some_and(|it| it.run().peer == gateway);
        self.network.supernodes.iter().position(is_it)
    }

    async fn choose(&mut self, space: &str, most: usize) -> Vec<Victim> {
        let mut victims = Vec::new();
        for _ in 0..self.random.random_range(1..=AT_ONCE.min(most)) {
            let victim = match self.random.random_range(0..10) {
                0..5 => Victim::Supernode(self.random.random_range(0..SUPERNODES)),
                5..7 => {
                    let device = self.random.random_range(0..DEVICES);
                    let gateway = self.gateway(device, space).await;
                    gateway.map_or(Victim::Device(device), Victim::Supernode)
                }
                _ => Victim::Device(self.random.random_range(0..DEVICES)),
            };
            if !victims.contains(&victim) && self.away.map(Victim::Supernode) != Some(victim) {
                victims.push(victim);
            }
        }
        victims
    }

    /// Kills some, and starts them again while work goes on.
    async fn strike(&mut self, load: &Load, most: usize) {
        let victims = self.choose(load.space(), most).await;
        while !load.is_begun() {
            tokio::time::sleep(POLL).await;
        }
        let moment = REQUEST_MAX.mul_f64(f64::from(self.random.next_u32()) / f64::from(u32::MAX));
        // The point of time is what is random here; nothing is waited for.
        tokio::time::sleep(moment).await;
        let mut dying = Vec::new();
        for victim in &victims {
            dying.extend(match *victim {
                Victim::Supernode(number) => self.network.supernodes[number].take(),
                Victim::Device(number) => {
                    load.set_app(number, None);
                    self.devices[number].take()
                }
            });
        }
        self.killed += dying.len();
        try_join_all(dying.into_iter().map(Process::kill)).await.unwrap();
        load.allow(self.random.random_range(1..PIECES_MAX));
        let mut back = victims;
        back.extend(self.away.take().map(Victim::Supernode));
        if let Some(Victim::Supernode(number)) = back.first().copied()
            && self.random.random_bool(0.3)
        {
            self.away = Some(number);
            back.remove(0);
        }
        self.start_again(load, back).await;
    }

    async fn start_again(&mut self, load: &Load, dead: Vec<Victim>) {
        let starting = dead.into_iter().map(async |victim| {
            let process = match victim {
                Victim::Supernode(number) => self.network.launch_supernode(number).await?,
                Victim::Device(number) => self.network.start_node(&device_name(number), &[]).await?,
            };
            Ok::<_, Error>((victim, process))
        });
        for (victim, process) in try_join_all(starting).await.unwrap() {
            match victim {
                Victim::Supernode(number) => {
                    assert_eq!(life(&process).await, self.lives[number], "half a write is no loss");
                    self.network.supernodes[number] = Some(process);
                }
                Victim::Device(number) => {
                    load.set_app(number, Some(App::new(&process)));
                    self.devices[number] = Some(process);
                }
            }
        }
    }

    /// Kills `kills` processes, and starts those that are dead at the end.
    async fn rage(&mut self, load: &Load, kills: usize) {
        let until = self.killed + kills;
        load.allow(PIECES_MAX);
        while self.killed < until {
            self.strike(load, until - self.killed).await;
        }
        let away = self.away.take().map(Victim::Supernode);
        self.start_again(load, away.into_iter().collect()).await;
        load.end();
    }

    /// Everything acknowledged is safe, the supernodes alone can give it, and everybody agrees.
    async fn judge(&mut self, load: &Load, number: usize) {
        let ticket = self.app(0).invite(load.space(), "viewer").await.unwrap();
        let mut documents = Vec::new();
        for device in 0..DEVICES {
            let shown = load.documents(device, &self.app(device)).await;
            load.wait_until_safe(device, &self.app(device), &shown).await;
            documents.extend(shown);
        }
        look::wait_until_whole(&self.network, 1).await;
        look::wait_until_replicas_agree(&self.network, &self.app(0), load.space()).await;
        try_join_all(self.devices.drain(..).flatten().map(Process::kill)).await.unwrap();

        let fresh = self.network.start_node(&format!("fresh-{number}"), &[]).await.unwrap();
        App::new(&fresh).join(&ticket).await.unwrap();
        load.read_all(&App::new(&fresh), &documents).await;
        look::wait_until_in_sync(&App::new(&fresh), load.space()).await;
        for device in 0..DEVICES {
            self.devices.push(Some(self.network.start_node(&device_name(device), &[]).await.unwrap()));
            load.read_all(&self.app(device), &documents).await;
            look::wait_until_in_sync(&self.app(device), load.space()).await;
        }
        fresh.stop().await.unwrap();
    }

    async fn stop(self) {
        for device in self.devices.into_iter().flatten() {
            device.stop().await.unwrap();
        }
        self.network.stop().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_when_processes_are_killed() {
    let seed = setting("COSMIC_SEED").unwrap_or_else(rand::random::<u64>);
    println!("COSMIC_SEED={seed}");
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    let directory = Ground::new();
    let mut storm = Storm::start(directory.path(), ChaCha20Rng::seed_from_u64(random.next_u64())).await;
    let kills: usize = setting("COSMIC_ROUNDS").unwrap_or(KILLS);
    let mut number = 0;
    while storm.killed < kills {
        let space = storm.app(0).create_space(&format!("Storm {number}")).await.unwrap();
        let ticket = storm.app(0).invite(&space, "editor").await.unwrap();
        for device in 1..DEVICES {
            storm.app(device).join(&ticket).await.unwrap();
            let joined = |answer: &Value| answer.get("joining") == Some(&Value::Bool(false));
            let path = format!("spaces/{space}");
            storm.app(device).wait_until(&path, "joined", super::notes::PATIENCE, joined).await.unwrap();
        }
        let load = Load::new(space, (0..DEVICES).map(|device| storm.app(device)));
        let lanes = (0..DEVICES).flat_map(|device| (0..LANES.len()).map(move |lane| (device, lane)));
        let seeds: Vec<_> = lanes.map(|lane| (lane, random.next_u64())).collect();
        let working = join_all(
            seeds
                .into_iter()
                .map(|((device, lane), seed)| load.work(device, lane, ChaCha20Rng::seed_from_u64(seed))),
        );
        tokio::join!(working, storm.rage(&load, KILLS_IN_STORM.min(kills - storm.killed)));
        println!("{} killed; {}", storm.killed, load.told());
        storm.judge(&load, number).await;
        number += 1;
    }
    storm.stop().await;
}
