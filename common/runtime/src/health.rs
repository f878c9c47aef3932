//! Whether this process keeps its promises: each room says what keeps it from them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// The troubles of this process, by room, and whether it has started. Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    ready: bool,
    troubles: BTreeMap<&'static str, String>,
}

impl Health {
    /// Nothing is wrong, and nothing has started yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Says that `room` cannot keep its promises, and why.
    pub fn trouble(&self, room: &'static str, why: impl Into<String>) {
        self.with(|state| state.troubles.insert(room, why.into()));
    }

    /// Says that `room` is well again.
    pub fn well(&self, room: &'static str) {
        self.with(|state| state.troubles.remove(room));
    }

    /// Says whether the process takes work.
    pub fn set_ready(&self, ready: bool) {
        self.with(|state| state.ready = ready);
    }

    /// Whether every room keeps its promises.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.with(|state| state.troubles.is_empty())
    }

    /// Whether the process takes work: started, and well.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.with(|state| state.ready && state.troubles.is_empty())
    }

    /// What is wrong, by room.
    #[must_use]
    pub fn troubles(&self) -> BTreeMap<&'static str, String> {
        self.with(|state| state.troubles.clone())
    }

    fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trouble_takes_readiness_away_until_it_is_over() {
        let health = Health::new();
        assert!(health.is_well() && !health.is_ready());
        health.set_ready(true);
        assert!(health.is_ready());
        health.trouble("store", "the disk is full");
        health.trouble("net", "no peers");
        health.well("net");
        assert!(!health.is_well() && !health.is_ready());
        assert_eq!(health.troubles(), BTreeMap::from([("store", "the disk is full".to_owned())]));
        health.well("store");
        assert!(health.is_ready());
    }
}
