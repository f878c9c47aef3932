//! What an operator is told of the scrub.

use serde::Serialize;

use super::{Damage, Place, Progress, Scrub, Thing};

/// The scrub as it stands.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// `running`, `paused` or `resting`.
    pub state: &'static str,
    /// Which round it is.
    pub round: u64,
    /// When it began, in ms since 1970.
    pub began_unix_ms: u64,
    /// When the next one begins, in ms since 1970.
    pub next_unix_ms: u64,
    /// `shards`, `entries` or `done`.
    pub reading: &'static str,
    /// How much of that was read, about: keys are spread evenly.
    pub percent: u8,
    /// Shards read in this round.
    pub shards: u64,
    /// Entries read in this round.
    pub entries: u64,
    /// Bytes read in this round.
    pub bytes: u64,
    /// Bytes read in a second at most.
    pub bytes_per_second_max: u64,
    /// Damaged things found in this round.
    pub found: u64,
    /// Damaged things healed in this round.
    pub healed: u64,
    /// Damaged things nobody could heal yet.
    pub open: Vec<Open>,
}

/// Something nobody could heal yet.
#[derive(Debug, Clone, Serialize)]
pub struct Open {
    /// What it is, for people.
    pub what: String,
    /// What it is, for programs.
    pub thing: Thing,
    /// What is wrong with it.
    pub fault: &'static str,
    /// Since when it is known, in ms since 1970.
    pub since_unix_ms: u64,
}

impl Scrub {
    /// What it does, how far it is, and what it could not heal.
    #[must_use]
    pub fn status(&self) -> Status {
        let config = &self.0.config;
        let progress = self.progress().clone();
        let state = match progress {
            Progress { paused: true, .. } => "paused",
            Progress { place: Place::Done, .. } => "resting",
            Progress { .. } => "running",
        };
        let (reading, percent) = match progress.place {
            Place::Shards { after, .. } => ("shards", after.map_or(0, |object| percent(object.as_bytes()))),
            Place::Entries { log, .. } => ("entries", log.map_or(0, |at| percent(at.space.as_bytes()))),
            Place::Done => ("done", 100),
        };
        Status {
            state,
            round: progress.round,
            began_unix_ms: progress.began.unix_ms(),
            next_unix_ms: progress.began.after(config.period()).unix_ms(),
            reading,
            percent,
            shards: progress.shards,
            entries: progress.entries,
            bytes: progress.bytes,
            bytes_per_second_max: config.bytes_per_second_max,
            found: progress.found,
            healed: progress.healed,
            open: progress.open.into_iter().map(open).collect(),
        }
    }
}

fn open(Damage { thing, fault, since }: Damage) -> Open {
    Open { what: thing.to_string(), thing, fault: fault.name(), since_unix_ms: since.unix_ms() }
}

/// How far `id` lies among all ids.
fn percent(id: &[u8; 32]) -> u8 {
    let [first, ..] = *id;
    u8::try_from(u16::from(first) * 100 / 256).unwrap_or(100)
}
