//! One registry of metrics, made in `main`; each room registers its own struct under its own name.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use prometheus_client::{encoding::text, registry::Registry as Collected};

/// The prefix of every metric.
const PREFIX: &str = "cosmic";

/// The metrics of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Registry(Arc<Mutex<Collected>>);

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl Registry {
    /// A registry without metrics.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Mutex::new(Collected::with_prefix(PREFIX))))
    }

    /// Lets a room register its metrics; their names begin with `cosmic_<room>_`.
    pub fn room<T>(&self, room: &'static str, register: impl FnOnce(&mut Collected) -> T) -> T {
        let mut registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        register(registry.sub_registry_with_prefix(room))
    }

    /// All metrics as OpenMetrics text.
    ///
    /// # Errors
    /// If a collector fails to write its samples.
    pub fn encode(&self) -> Result<String, fmt::Error> {
        let registry = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut page = String::new();
        text::encode(&mut page, &registry)?;
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::counter::Counter;

    use super::*;

    #[test]
    fn names_carry_prefix_and_room() {
        let registry = Registry::new();
        let counter = Counter::<u64>::default();
        registry.room("kitchen", |room| room.register("plates", "Plates washed", counter.clone()));
        counter.inc_by(3);
        assert!(registry.encode().unwrap().contains("\ncosmic_kitchen_plates_total 3\n"));
    }
}
