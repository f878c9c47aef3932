//! Watching who is there: every member is asked for nothing now and then, and who answers is heard.

use cosmic_custody::message::care::CareRequest;
use futures::{StreamExt as _, stream};

use super::{ASKED_AT_ONCE, Care};

impl Care {
    /// Asks all members for ever, and anew when the members change.
    pub(super) async fn watch(self) {
        let mut ring = self.0.context.ring.clone();
        loop {
            // From beginning to beginning: a round that waits long for the dead does not delay the next for the living.
            let begun = self.0.context.clock.monotonic();
            self.learn_members();
            self.look_around().await;
            // The sender lives as long as the process; when it ends so does this.
            let took = self.0.context.clock.monotonic().since(begun);
            let rest = self.0.config.ping_every().saturating_sub(took);
            let _change = self.0.context.clock.timeout(rest, ring.changed()).await;
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
        let (silent, now) = (self.others().len() - self.present_others(), self.now());
        self.0.metrics.members_silent.set(i64::try_from(silent).unwrap_or(i64::MAX));
        self.0.metrics.looked_at_ms.set(i64::try_from(now.unix_ms()).unwrap_or(i64::MAX));
    }

    fn present_others(&self) -> usize {
        let (me, now) = (self.me(), self.now());
        super::lock(&self.0.liveness).present(now).filter(|peer| **peer != me).count()
    }
}
