//! What an operator is told of the cold tier.

use cosmic_store::Span;
use serde::Serialize;

use super::{Cold, Error, Mode, lock};
use crate::{quota::totals, tables::DISCARDS};

/// Discards that are counted; more are told as so many.
const DISCARDS_MAX: usize = 10_000;

/// What the cold tier does, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// There is none.
    Off,
    /// There are cold shards, and the settings name no store.
    Unset,
    /// It moves what is old enough.
    Moving,
    /// It was told to pause.
    Paused,
    /// It brings everything back.
    Thawing,
    /// The store does not answer.
    Away,
    /// The store is not the one that was written to.
    Elsewhere,
}

impl State {
    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Unset => "unset",
            Self::Moving => "moving",
            Self::Paused => "paused",
            Self::Thawing => "thawing",
            Self::Away => "away",
            Self::Elsewhere => "elsewhere",
        }
    }
}

/// The cold tier as it stands.
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    /// What it does.
    pub state: State,
    /// Why it does not, if something stands in its way.
    pub why: Option<String>,
    /// Since when the store has not answered, in ms since 1970.
    pub away_since_unix_ms: Option<u64>,
    /// Where the store is.
    pub endpoint: Option<String>,
    /// The bucket.
    pub bucket: Option<String>,
    /// The folder in it.
    pub folder: Option<String>,
    /// How old shards are when they go there.
    pub after_hours: u32,
    /// Shards that lie there.
    pub shards: u64,
    /// Their bytes.
    pub shard_bytes: u64,
    /// Bytes that lie here.
    pub hot_bytes: u64,
    /// Objects that are still to be deleted there.
    pub discards: u64,
    /// Shards that went there since the start.
    pub moved: u64,
    /// Shards that came back since the start.
    pub returned: u64,
    /// When the last check of everything began, in ms since 1970.
    pub check_began_unix_ms: Option<u64>,
    /// Whether it is over.
    pub check_done: bool,
    /// Shards found lost or changed since the start.
    pub damaged: u64,
}

impl Cold {
    /// What it does now.
    #[must_use]
    pub fn state(&self) -> State {
        let memory = self.memory();
        let Some(place) = &self.0.place else {
            return if memory.place.is_some() && self.0.metrics.shards.get() > 0 {
                State::Unset
            } else {
                State::Off
            };
        };
        match memory.mode {
            _ if *lock(&self.0.elsewhere) => State::Elsewhere,
            _ if place.away().is_some() => State::Away,
            Mode::Move => State::Moving,
            Mode::Pause => State::Paused,
            Mode::Thaw => State::Thawing,
        }
    }

    /// All of it.
    ///
    /// # Errors
    /// If the counters cannot be read.
    pub async fn status(&self) -> Result<Status, Error> {
        let store = self.0.context.store.clone();
        let counting = tokio::task::spawn_blocking(move || {
            let discards = store.scan(&DISCARDS, &Span::all(), DISCARDS_MAX).filter(Result::is_ok).count();
            totals(&store).map(|totals| (totals, discards as u64))
        });
        let (totals, discards) = counting.await.map_err(|_gone| Error::Stopping)??;
        let (state, memory, config) = (self.state(), self.memory(), &self.0.config);
        let away = self.0.place.as_ref().and_then(super::Place::away);
        let why = match state {
            State::Unset => Some(Error::Unset.to_string()),
            State::Elsewhere => Some(Error::Elsewhere.to_string()),
            _ => away.as_ref().map(|away| away.why.clone()),
        };
        let folder = self.0.place.as_ref().zip(memory.place);
        Ok(Status {
            state,
            why,
            away_since_unix_ms: away.map(|away| away.since.unix_ms()),
            endpoint: config.endpoint.clone(),
            bucket: config.bucket.clone(),
            folder: folder.map(|(place, number)| place.folder(number).to_string()),
            after_hours: config.after_hours,
            shards: totals.cold_shards,
            shard_bytes: totals.cold_shard_bytes,
            hot_bytes: totals.hot_bytes(),
            discards,
            moved: self.0.metrics.shards_moved.get(),
            returned: self.0.metrics.shards_returned.get(),
            check_began_unix_ms: memory.check.map(|check| check.began.unix_ms()),
            check_done: memory.check.is_some_and(|check| check.done),
            damaged: self.0.metrics.shards_damaged.get(),
        })
    }
}
