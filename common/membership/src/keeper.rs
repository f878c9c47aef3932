//! The keeper: writes what is known into the state file, after each change and at the end.

use std::{path::PathBuf, sync::Arc, time::Duration};

use cosmic_runtime::{clock::Clock, shutdown::Shutdown};
use tracing::warn;

use crate::{Error, ledger::Ledger};

/// The least time between two writes: a ring that gathers changes many times a second.
const PAUSE: Duration = Duration::from_millis(250);

/// Keeps the ledger in `path` until the shutdown. A full disk is told and tried again with the next change:
/// what is lost can be fetched again.
pub(crate) async fn run(ledger: Arc<Ledger>, path: PathBuf, clock: Clock, shutdown: Shutdown) {
    let mut views = ledger.watch();
    let mut goes_on = true;
    while goes_on {
        goes_on = shutdown.unless(views.changed()).await.is_some_and(|changed| changed.is_ok());
        views.mark_unchanged();
        let (state, path) = (ledger.state(), path.clone());
        match tokio::task::spawn_blocking(move || state.write(&path)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tell(&error),
            Err(_panicked) => return,
        }
        if goes_on {
            shutdown.unless(clock.sleep(PAUSE)).await;
        }
    }
}

fn tell(error: &Error) {
    warn!("{}; a restart will ask the bootstrap nodes", cosmic_runtime::exit::sentence(error));
}
