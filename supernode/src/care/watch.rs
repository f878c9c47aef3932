//! Watching who is there: every member is asked for nothing now and then, and who answers is heard.

use std::collections::BTreeSet;

use cosmic_common::id::PeerId;
use cosmic_custody::{message::care::CareRequest, repair::queue::Input};
use futures::{StreamExt as _, stream};

use super::{ASKED_AT_ONCE, Care};

impl Care {
    /// Asks all members for ever, and anew when the members change.
    pub(super) async fn watch(self) {
        let mut ring = self.0.context.ring.clone();
        let mut is_other = false;
        loop {
            // From beginning to beginning: a round that waits long for the dead does not delay the next for the living.
            let begun = self.0.context.clock.monotonic();
            self.learn_members();
            if is_other {
                self.tell(Input::RingChanged);
            }
            if let Err(error) = self.learn_class().await {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::warn!(reason, "the class of the ring was not remembered");
            }
            let (_class, _since, is_settled) = self.class();
            self.0.shards.set_settled(is_settled);
            self.look_around().await;
            // The sender lives as long as the process; when it ends so does this.
            let took = self.0.context.clock.monotonic().since(begun);
            let rest = self.0.config.ping_every().saturating_sub(took);
            is_other = self.0.context.clock.timeout(rest, ring.changed()).await.is_some();
        }
    }

    /// Asks every member whether it is there.
    pub(super) async fn look_around(&self) {
        let question = CareRequest::Survey(Vec::new());
        let asking = self.others().into_iter().map(|peer| {
            let question = &question;
            async move {
                if let Err(error) = self.ask(peer, question).await {
                    let reason = cosmic_runtime::exit::sentence(&error);
                    tracing::debug!(peer = %peer.short(), reason, "a supernode was not heard");
                }
            }
        });
        stream::iter(asking).buffer_unordered(ASKED_AT_ONCE).collect::<()>().await;
        let (silent, now) = (self.silent(), self.now());
        self.0.metrics.members_silent.set(i64::try_from(silent.len()).unwrap_or(i64::MAX));
        self.0.metrics.looked_at_ms.set(i64::try_from(now.unix_ms()).unwrap_or(i64::MAX));
        self.0.shards.set_silent(silent);
    }

    fn silent(&self) -> BTreeSet<PeerId> {
        let now = self.now();
        let liveness = self.liveness();
        liveness.active().filter(|peer| !liveness.is_present(peer, now)).copied().collect()
    }
}
