//! Logs: sentences with fields on standard error, as text for people or JSON for machines.

use std::{
    io::{IsTerminal as _, stderr},
    panic,
};

use serde::{Deserialize, Serialize};
use tracing::error;
use tracing_subscriber::{EnvFilter, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _};

use crate::{Error, config::Mistakes};

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// What is logged and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Levels, for all or per room: `info`, `warn,cosmic_net=debug`.
    pub filter: String,
    /// `text` or `json`.
    pub format: Format,
}

impl Default for Config {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: Format::Text }
    }
}

impl Config {
    /// Refuses a filter that makes no sense.
    pub fn check(&self, mistakes: &mut Mistakes) {
        if let Err(reason) = EnvFilter::try_new(&self.filter) {
            mistakes.refuse("filter", reason.to_string());
        }
    }
}

/// Sends all log lines, and panics, to standard error. `main` calls it once.
///
/// # Errors
/// [`Error::LogFilter`] for a filter that makes no sense, [`Error::LogTwice`] when called again.
pub fn init(config: &Config) -> Result<(), Error> {
    let filter = EnvFilter::try_new(&config.filter)
        .map_err(|source| Error::LogFilter { filter: config.filter.clone(), source })?;
    let subscriber = tracing_subscriber::registry().with(filter);
    let lines = fmt::layer().with_writer(stderr);
    match config.format {
        Format::Text => subscriber.with(lines.with_ansi(stderr().is_terminal())).try_init(),
        Format::Json => subscriber.with(lines.json().flatten_event(true)).try_init(),
    }
    .map_err(Error::LogTwice)?;
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        error!(
            place,
            thread = std::thread::current().name(),
            "panic: {}",
            crate::tasks::words(panic.payload())
        );
    }));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_makes_no_sense_is_a_mistake() {
        let mut mistakes = Mistakes::default();
        Config::default().check(&mut mistakes);
        Config { filter: "warn,cosmic_net=debug".to_owned(), ..Config::default() }.check(&mut mistakes);
        assert!(mistakes.is_empty());
        Config { filter: "cosmic_net=loud".to_owned(), ..Config::default() }.check(&mut mistakes);
        assert!(mistakes.to_string().contains("filter: "), "{mistakes}");
    }
}
