//! The keeper: writes what is known into the state file, after each change and at the end.

use std::{path::PathBuf, sync::Arc};

use cosmic_runtime::shutdown::Shutdown;
use tracing::warn;

use crate::{Error, ledger::Ledger};

/// Keeps the ledger in `path` until the shutdown. A full disk is told and tried again with the next change:
/// what is lost can be fetched again.
pub(crate) async fn run(ledger: Arc<Ledger>, path: PathBuf, shutdown: Shutdown) {
    let mut views = ledger.watch();
    let mut last = true;
    while last {
        last = shutdown.unless(views.changed()).await.is_some_and(|changed| changed.is_ok());
        let state = ledger.state();
        let path = path.clone();
        match tokio::task::spawn_blocking(move || state.write(&path)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tell(&error),
            Err(_panicked) => return,
        }
    }
}

fn tell(error: &Error) {
    warn!("{}; a restart will ask the bootstrap nodes", cosmic_runtime::exit::sentence(error));
}
