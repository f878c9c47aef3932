//! Packs of entries: asked for when somebody waits for `durable`, and believed only as far as the own entries make them.

use cosmic_custody::{
    message::{object::Whereabouts, space::SpaceFrame},
    pack::Packed,
};

use super::Driver;
use crate::{
    error::Error,
    event::Event,
    network::objects::{self, Put},
    safety::{self, packs},
};

impl Driver {
    /// Asks for the packs somebody waits for, of entries the replicas have.
    pub(super) async fn ask_for_packs(&mut self) -> Result<(), Error> {
        let (node, space) = (self.node.clone(), self.space);
        let wanted =
            self.node.read(move |connection| packs::wanted(&node.safety, connection, &space)).await?;
        self.wanting.asked(self.node.clock().monotonic(), wanted.ready.is_empty(), wanted.early);
        for (log, seq) in wanted.ready {
            self.tell(&SpaceFrame::Pack { log, seq }).await;
        }
        Ok(())
    }

    /// The gateway says where a pack is.
    pub(super) async fn packed(&mut self, packed: Packed, whereabouts: Whereabouts) -> Result<(), Error> {
        let Some(pack) = self.make(packed).await? else {
            tracing::warn!(space = %self.space.short(), log = %packed.log.short(), "a pack is not made of the entries it names, and does not count");
            self.node.metrics.receipts_refused.inc();
            return Ok(());
        };
        let put = match objects::check(&self.node, self.space, whereabouts, pack).await {
            Ok(put) => put,
            Err(error) => {
                let reason = cosmic_runtime::exit::sentence(&error);
                tracing::warn!(space = %self.space.short(), reason, "what is said of a pack does not count");
                return Ok(());
            }
        };
        self.keep(packed, put).await?;
        self.wanting.begin(self.node.clock().monotonic());
        Ok(())
    }

    /// The pack as the own entries make it; none if they make another.
    async fn make(&mut self, packed: Packed) -> Result<Option<Vec<u8>>, Error> {
        if packed.count().is_none() {
            return Ok(None);
        }
        let (space, Packed { log, from, to, .. }) = (self.space, packed);
        let entries =
            self.node.read(move |connection| packs::entries(connection, &space, &log, from..=to)).await?;
        let making = tokio::task::spawn_blocking(move || packed.made_of(&entries));
        Ok(making.await.unwrap_or_default())
    }

    async fn keep(&mut self, packed: Packed, put: Put) -> Result<(), Error> {
        let space = self.space;
        let complete = put.verdict.shards.len() >= put.verdict.wanted;
        self.node
            .write(move |core, connection| {
                let before = packs::keep(connection, &packed, &put.manifest)?;
                safety::keep_put(connection, before.as_ref(), &put.manifest, &put.receipts)?;
                if complete {
                    packs::settle(connection, &packed)?;
                }
                core.tell(Event::Safer { space });
                Ok(())
            })
            .await
    }
}
