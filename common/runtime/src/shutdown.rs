//! One token that tells everyone to stop, and the signals that pull it.

use std::{io, thread};

use rustix::process::{Signal as Word, getpid, kill_process};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Tells its clones that the work shall end. Cheap to clone; a child stops with its parent.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    /// A token nobody has triggered.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A token that is triggered with this one, or alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// Tells everyone, once and for good.
    pub fn trigger(&self) {
        self.0.cancel();
    }

    /// Whether it was triggered.
    #[must_use]
    pub fn is_triggered(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it is triggered.
    pub async fn triggered(&self) {
        self.0.cancelled().await;
    }

    /// What `work` returns, or `None` if the shutdown comes first; `work` is dropped then.
    pub async fn unless<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.triggered() => None,
            done = work => Some(done),
        }
    }
}

/// Asks this process to stop, as a service manager would, once its standard input has ended: whoever started it with a
/// pipe there is gone then, however he died.
///
/// # Errors
/// If the operating system gives no thread.
pub fn follow_stdin() -> io::Result<()> {
    let watch = || {
        let read = io::copy(&mut io::stdin().lock(), &mut io::sink());
        tracing::info!(?read, "standard input has ended");
        if let Err(error) = kill_process(getpid(), Word::TERM) {
            tracing::error!(%error, "this process cannot ask itself to stop");
        }
    };
    thread::Builder::new().name("stdin".to_owned()).spawn(watch).map(|_thread| ())
}

/// The signals by which a person or a service manager asks a process to stop.
#[derive(Debug)]
pub struct Signals {
    interrupt: Signal,
    terminate: Signal,
}

impl Signals {
    /// Listens from now on for `SIGINT` and `SIGTERM`.
    ///
    /// # Errors
    /// If the process may not install handlers.
    pub fn listen() -> io::Result<Self> {
        Ok(Self { interrupt: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next of them.
    pub async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
