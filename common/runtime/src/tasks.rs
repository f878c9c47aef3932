//! Supervised tasks: each has a name, someone who notices its end, and its turn in an ordered shutdown.
//!
//! A stage is what one `spawn` or one group started. Shutdown stops stages in the reverse of the order
//! in which they started, so whoever was built upon outlives its users. A panic or error in a task ends
//! the process in order, because nobody does its work any more; inside a [`Group`], whose members serve
//! one peer or request each, a panic ends that member alone.

use std::{
    any::Any,
    error::Error as StdError,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    task::Poll,
    time::Duration,
};

use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;
use tracing::{debug, error, info, warn};

use crate::{
    Error,
    clock::Clock,
    shutdown::{Shutdown, Signals},
};

#[cfg(test)]
mod tests;

/// How long tasks may take to fall once nobody waits for their good end; only one stuck in a
/// computation takes longer than a moment.
const FALL_TIMEOUT: Duration = Duration::from_secs(1);

/// All tasks of this process. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Tasks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    clock: Clock,
    /// Asks for the end; the stages are told in order afterwards.
    end: Shutdown,
    stages: Mutex<Vec<Stage>>,
    failure: Mutex<Option<Error>>,
}

#[derive(Debug, Clone)]
struct Stage {
    name: &'static str,
    /// Asks politely.
    stop: Shutdown,
    /// Drops what did not listen.
    fall: Shutdown,
    tracker: TaskTracker,
}

impl Tasks {
    /// No tasks yet.
    #[must_use]
    pub fn new(clock: Clock) -> Self {
        Self(Arc::new(Inner {
            clock,
            end: Shutdown::new(),
            stages: Mutex::default(),
            failure: Mutex::default(),
        }))
    }

    /// Starts a task that works until its token is triggered, or ends before because it is done.
    pub fn spawn<F>(&self, name: &'static str, run: impl FnOnce(Shutdown) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stage = self.stage(name);
        let tasks = self.clone();
        let work = contained(stage.fall.clone(), run(stage.stop.clone()));
        stage.tracker.spawn(async move {
            if let Err(words) = work.await {
                tasks.fail(Error::TaskPanicked { task: name, words });
            }
            debug!(task = name, "task ended");
        });
        stage.tracker.close();
    }

    /// Starts a task whose error ends the process.
    pub fn spawn_fallible<F, E>(&self, name: &'static str, run: impl FnOnce(Shutdown) -> F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: StdError + Send + Sync + 'static,
    {
        let tasks = self.clone();
        self.spawn(name, |shutdown| {
            let work = run(shutdown);
            async move {
                if let Err(source) = work.await {
                    tasks.fail(Error::TaskFailed { task: name, source: Box::new(source) });
                }
            }
        });
    }

    /// A stage for up to `members_max` short-lived tasks of one kind.
    #[must_use]
    pub fn group(&self, name: &'static str, members_max: usize) -> Group {
        let free = Arc::new(Semaphore::new(members_max.min(Semaphore::MAX_PERMITS)));
        Group { stage: self.stage(name), free }
    }

    /// Asks for the end of the process; [`run`](Self::run) performs it.
    pub fn end(&self) {
        self.0.end.trigger();
    }

    /// Waits until someone asked for the end, or a task failed.
    pub async fn ending(&self) {
        self.0.end.triggered().await;
    }

    /// Waits for a signal or a failure, then [`stop`](Self::stop)s. A second signal cuts the patience short.
    ///
    /// # Errors
    /// As [`stop`](Self::stop), and [`Error::Signals`] if the process may not listen for signals.
    pub async fn run(&self, patience: Duration) -> Result<(), Error> {
        let mut signals = Signals::listen().map_err(Error::Signals)?;
        tokio::select! {
            () = self.ending() => {}
            () = signals.next() => info!("asked to stop"),
        }
        let deadline = self.0.clock.sleep(patience);
        self.stop_until(async {
            tokio::select! {
                () = deadline => {}
                () = signals.next() => warn!("asked again: stopping without waiting"),
            }
        })
        .await
    }

    /// Stops all tasks, the last started first, waiting up to `patience` in all.
    ///
    /// # Errors
    /// The failure that began the end, or [`Error::TasksLeft`] if tasks had to be dropped.
    pub async fn stop(&self, patience: Duration) -> Result<(), Error> {
        self.stop_until(self.0.clock.sleep(patience)).await
    }

    async fn stop_until(&self, deadline: impl Future<Output = ()>) -> Result<(), Error> {
        self.end();
        let mut deadline = pin!(deadline);
        let mut late = false;
        let mut left = Vec::new();
        loop {
            let Some(stage) = lock(&self.0.stages).pop() else { break };
            stage.stop.trigger();
            stage.tracker.close();
            if !late {
                tokio::select! {
                    biased;
                    () = stage.tracker.wait() => continue,
                    () = &mut deadline => late = true,
                }
            }
            stage.fall.trigger();
            left.push(stage.name);
            if self.0.clock.timeout(FALL_TIMEOUT, stage.tracker.wait()).await.is_none() {
                warn!(task = stage.name, "still computing; left behind");
            }
        }
        match lock(&self.0.failure).take() {
            Some(failure) => Err(failure),
            None if left.is_empty() => Ok(()),
            None => Err(Error::TasksLeft { names: left.join(", ") }),
        }
    }

    fn stage(&self, name: &'static str) -> Stage {
        let stop = Shutdown::new();
        let stage = Stage { name, stop, fall: Shutdown::new(), tracker: TaskTracker::new() };
        let mut stages = lock(&self.0.stages);
        stages.retain(|stage| !(stage.tracker.is_closed() && stage.tracker.is_empty()));
        stages.push(stage.clone());
        stage
    }

    /// Keeps the first failure and begins the end.
    fn fail(&self, failure: Error) {
        error!("{}; the process ends", crate::exit::sentence(&failure));
        lock(&self.0.failure).get_or_insert(failure);
        self.end();
    }
}

/// Nothing more fits into a group now, or it is being stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much is going on at once; try again")]
pub struct Busy;

/// Short-lived tasks of one kind, bounded in number. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Group {
    stage: Stage,
    free: Arc<Semaphore>,
}

impl Group {
    /// Starts a member.
    ///
    /// # Errors
    /// [`Busy`] if as many as may are running, or the process is ending; nothing was started then.
    pub fn spawn<F>(&self, run: impl FnOnce(Shutdown) -> F) -> Result<(), Busy>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let permit = Arc::clone(&self.free).try_acquire_owned().map_err(|_error| Busy)?;
        if self.stage.stop.is_triggered() {
            return Err(Busy);
        }
        let name = self.stage.name;
        let work = contained(self.stage.fall.clone(), run(self.stage.stop.clone()));
        self.stage.tracker.spawn(async move {
            if let Err(words) = work.await {
                error!(task = name, "a member panicked and was dropped: {words}");
            }
            drop(permit);
        });
        Ok(())
    }

    /// How many members are running.
    #[must_use]
    pub fn len(&self) -> usize {
        self.stage.tracker.len()
    }

    /// Whether none is running.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.stage.tracker.is_empty()
    }
}

/// Runs `work` until it ends, panics (its words are the error) or `fall` is triggered.
async fn contained(fall: Shutdown, work: impl Future<Output = ()>) -> Result<(), String> {
    let mut work = pin!(fall.unless(work));
    poll_fn(|context| {
        // The future is never polled again after a panic, so nobody sees what it broke inside itself.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(poll) => poll.map(|_ended| Ok(())),
            Err(payload) => Poll::Ready(Err(words(payload.as_ref()).to_owned())),
        }
    })
    .await
}

/// What a panic said.
pub(crate) fn words(payload: &(dyn Any + Send)) -> &str {
    payload
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| payload.downcast_ref::<&str>().copied())
        .unwrap_or("without words")
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
