//! The hands of the repair queue: it says what is to be done, here it is done, and told back.

use std::time::Duration;

use cosmic_common::id::ObjectId;
use cosmic_custody::{
    Lease,
    message::care::{CareAnswer, CareRequest},
    repair::{
        budget::Allowance,
        queue::{Input, Output},
    },
};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use super::{Care, Config, Error, ask::unexpected, lock};

/// How often the queue looks at the clock while something is in it.
const TICK: Duration = Duration::from_secs(1);

/// What repairs may take of the uplink. As a change, what is absent stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Throttle {
    /// Bytes this supernode can send in a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uplink_bytes_per_sec: Option<u64>,
    /// The share of repairs, in thousandths.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share_permille: Option<u16>,
    /// Their share while an object is about to be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub panic_share_permille: Option<u16>,
}

impl Throttle {
    pub(super) const fn of(config: &Config) -> Self {
        Self {
            uplink_bytes_per_sec: Some(config.uplink_bytes_per_sec),
            share_permille: Some(config.share_permille),
            panic_share_permille: Some(config.panic_share_permille),
        }
    }

    /// Whether its shares are shares.
    #[must_use]
    pub fn is_possible(&self) -> bool {
        [self.share_permille, self.panic_share_permille].into_iter().flatten().all(|share| share <= 1000)
    }
}

impl Care {
    /// Stops repairs until [`Care::resume`] or the next start; those under way end.
    pub fn pause(&self) {
        tracing::info!("repairs are paused");
        self.tell(Input::Pause);
    }

    /// Lets repairs go on.
    pub fn resume(&self) {
        tracing::info!("repairs go on");
        self.tell(Input::Resume);
    }

    /// Whether repairs, and moves, are stopped.
    #[must_use]
    pub fn is_paused(&self) -> bool {
        lock(&self.0.queue).is_paused()
    }

    /// Lets repairs, and moves, take more or less, until the next start.
    pub fn throttle(&self, change: Throttle) {
        {
            let mut throttle = lock(&self.0.throttle);
            throttle.uplink_bytes_per_sec = change.uplink_bytes_per_sec.or(throttle.uplink_bytes_per_sec);
            throttle.share_permille = change.share_permille.or(throttle.share_permille);
            throttle.panic_share_permille = change.panic_share_permille.or(throttle.panic_share_permille);
        }
        self.tell(Input::Throttle(self.allowance()));
    }

    /// What repairs may take of the uplink now; moves may take as much.
    #[must_use]
    pub fn allowance(&self) -> Allowance {
        let throttle = lock(&self.0.throttle);
        Allowance {
            uplink: throttle.uplink_bytes_per_sec,
            share: throttle.share_permille.unwrap_or_default(),
            panic_share: throttle.panic_share_permille.unwrap_or_default(),
        }
    }

    /// Tells the queue what happened, and has done what it wants.
    pub(super) fn tell(&self, input: Input) {
        let outputs = lock(&self.0.queue).handle(input, self.now());
        for output in outputs {
            let work: BoxFuture<'static, ()> = match output {
                Output::AskLease(object) => Box::pin(self.clone().ask_lease(object)),
                Output::Mend { object, panic } => Box::pin(self.clone().carry_out(object, panic)),
                Output::EndLease(object) => Box::pin(self.clone().end_lease(object)),
                // The queue is asked every second anyway.
                Output::Wake(_at) => continue,
            };
            let started = self.0.work.spawn(|shutdown| async move {
                shutdown.unless(work).await;
            });
            if started.is_err() {
                // What was to be done is late, and the queue begins anew.
                tracing::debug!(?output, "too busy with repairs");
            }
        }
    }

    /// Keeps the queue going.
    pub(super) async fn drive(self) {
        let clock = self.0.context.clock.clone();
        loop {
            clock.sleep(TICK).await;
            if !lock(&self.0.queue).is_empty() {
                self.tell(Input::Pressure { pressed: self.0.objects.is_pressed() });
            }
            self.count();
        }
    }

    async fn ask_lease(self, object: ObjectId) {
        for keeper in self.keepers(&object) {
            match self.lease(keeper, object).await {
                Ok(lease) => return self.tell(Input::Leased { object, lease }),
                Err(error) => {
                    let reason = cosmic_runtime::exit::sentence(&error);
                    tracing::debug!(keeper = %keeper.short(), reason, "a lease could not be asked for");
                }
            }
        }
        self.tell(Input::NobodyLeases { object });
    }

    async fn lease(
        &self,
        keeper: cosmic_common::id::PeerId,
        object: ObjectId,
    ) -> Result<Option<Lease>, Error> {
        if keeper == self.me() {
            return Ok(lock(&self.0.leases).ask(object, keeper, self.now()));
        }
        match self.ask(keeper, &CareRequest::Lease { object }).await? {
            CareAnswer::Leased(lease) => Ok(lease),
            _other => Err(unexpected(keeper)),
        }
    }

    async fn end_lease(self, object: ObjectId) {
        for keeper in self.keepers(&object) {
            if keeper == self.me() {
                lock(&self.0.leases).end(&object, &keeper);
            } else if let Err(error) = self.ask(keeper, &CareRequest::EndLease { object }).await {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::debug!(keeper = %keeper.short(), reason, "a lease runs on until its end");
            }
        }
    }

    /// Whether the replicas of the space say that the object is being removed; if they do not answer, it is not.
    async fn is_removing(&self, object: ObjectId) -> bool {
        let keeper = self.0.shards.keeper();
        match (keeper.space_of(&object), keeper.object_of(object)) {
            (Ok(Some(space)), Ok(object)) => self.0.deletion.is_removing(space, object).await,
            (Ok(None) | Err(_), _) | (_, Err(_)) => false,
        }
    }

    async fn carry_out(self, object: ObjectId, panic: bool) {
        if self.is_removing(object).await {
            tracing::debug!(object = %object.short(), "an object is not mended: it is being removed");
            return self.tell(Input::Mended { object, bytes: 0 });
        }
        match self.mend(object).await {
            Ok(bytes) => {
                if bytes > 0 {
                    self.0.metrics.objects_mended.inc();
                    tracing::info!(object = %object.short(), bytes, panic, "an object was mended");
                }
                self.tell(Input::Mended { object, bytes });
                // What was coded anew is given up in its old class as soon as that may be.
                if let Err(error) = self.compare(vec![object], super::survey::Whom::Everyone).await {
                    let reason = cosmic_runtime::exit::sentence(&error);
                    tracing::debug!(reason, "what was mended could not be looked at");
                }
            }
            Err(undone) => {
                self.0.metrics.repairs_failed.inc();
                tracing::info!(object = %object.short(), failure = ?undone.failure, panic, "an object could not be mended");
                self.tell(Input::Failed { object, failure: undone.failure, bytes: undone.bytes });
            }
        }
    }
}
