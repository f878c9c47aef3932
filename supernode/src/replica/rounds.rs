//! Anti-entropy: at start with every other supernode, then with a random one every 30 s.
//!
//! A round compares digests of the spaces both should keep and lets the writers of those that differ compare heads.
//! Between rounds, what is owed from an earlier life is taken up.

use std::{collections::BTreeMap, time::Duration};

use cosmic_common::id::{Hash, PeerId, SpaceId};
use cosmic_custody::message::replica::{ReplicaAnswer, ReplicaRequest};
use cosmic_runtime::{random, shutdown::Shutdown};
use cosmic_store::Span;
use futures::{StreamExt as _, stream};
use tracing::debug;

use super::{client, reconcile::Error};
use crate::{
    duty,
    spaces::Spaces,
    tables::{FORWARDS, SPACES},
};

/// Between two rounds. A replica that missed something and hears of it in no other way has it after some of them.
const EVERY: Duration = Duration::from_secs(30);
/// Spaces compared at once.
const AT_ONCE: usize = 4;
/// Spaces read from the table in one go.
const SPACES_MAX: usize = 4096;

/// Runs rounds until it is stopped.
pub async fn run(spaces: Spaces, stop: Shutdown) {
    let rounds = Rounds { spaces };
    stop.unless(rounds.run()).await.unwrap_or(());
}

struct Rounds {
    spaces: Spaces,
}

impl Rounds {
    async fn run(&self) {
        let clock = self.spaces.context().clock.clone();
        let mut ring = self.spaces.context().ring.clone();
        for partner in self.partners() {
            self.round(partner).await;
        }
        loop {
            self.take_up_debts();
            tokio::select! {
                () = clock.sleep(EVERY) => {}
                // What is owed to new replicas must not wait.
                changed = ring.changed() => if changed.is_err() { return } else { continue },
            }
            let partners = self.partners();
            let pick = usize::from(u16::from_be_bytes(random::bytes()));
            if let Some(partner) = partners.get(pick % partners.len().max(1)) {
                self.round(*partner).await;
            }
        }
    }

    fn partners(&self) -> Vec<PeerId> {
        let context = self.spaces.context();
        let view = context.ring_view();
        duty::members(&view).into_iter().filter(|peer| *peer != context.peer).collect()
    }

    async fn round(&self, partner: PeerId) {
        match self.compare(partner).await {
            Ok(differing) => {
                let count = differing.len();
                let compare = |space| async move {
                    let compared = match self.spaces.get(space) {
                        Ok(space) => space.reconcile(partner).await,
                        Err(error) => Err(error),
                    };
                    if let Err(error) = compared {
                        debug!(space = %space.short(), peer = %partner.short(), "a round left a space behind: {error}");
                    }
                };
                stream::iter(differing).for_each_concurrent(AT_ONCE, compare).await;
                debug!(peer = %partner.short(), spaces = count, "compared spaces with a supernode");
            }
            Err(error) => debug!(peer = %partner.short(), "no round with a supernode: {error}"),
        }
    }

    /// The spaces that this supernode and `partner` should both keep, and keep differently.
    async fn compare(&self, partner: PeerId) -> Result<Vec<SpaceId>, Error> {
        let context = self.spaces.context();
        let mut differing = Vec::new();
        let mut from = SpaceId::from_bytes([0; 32]);
        let last = SpaceId::from_bytes([u8::MAX; 32]);
        loop {
            let request = ReplicaRequest::Spaces { from, to: last };
            let (theirs, more) = match self.spaces.replicas().call(partner, request).wait().await? {
                ReplicaAnswer::Spaces { digests, more } => (digests, more),
                other => return Err(client::Error::answer(other).into()),
            };
            let end = theirs.keys().next_back().copied().filter(|end| more && *end > from).unwrap_or(last);
            let shared = |space: &SpaceId| {
                let replicas = duty::replicas(context, space);
                replicas.contains(&context.peer) && replicas.contains(&partner)
            };
            let ours = self.digests(from, end, shared)?;
            let theirs = theirs.into_iter().filter(|(space, _)| shared(space));
            let theirs: BTreeMap<SpaceId, Hash> = theirs.collect();
            let only_ours = ours.keys().filter(|space| !theirs.contains_key(*space));
            let unlike = theirs.iter().filter(|(space, digest)| ours.get(*space) != Some(*digest));
            differing.extend(only_ours.chain(unlike.map(|(space, _)| space)).copied());
            if end == last {
                return Ok(differing);
            }
            from = end;
        }
    }

    fn digests(
        &self,
        from: SpaceId,
        to: SpaceId,
        wanted: impl Fn(&SpaceId) -> bool,
    ) -> Result<BTreeMap<SpaceId, Hash>, Error> {
        let mut digests = BTreeMap::new();
        for row in self.spaces.context().store.scan(&SPACES, &Span::range(from..=to), usize::MAX) {
            let (space, _) = row?;
            if wanted(&space) {
                digests.insert(space, self.spaces.digest(space)?);
            }
        }
        Ok(digests)
    }

    /// Loads the spaces of which something is owed: their writers then deliver it.
    fn take_up_debts(&self) {
        let store = &self.spaces.context().store;
        let mut span = Span::<(SpaceId, u64)>::all();
        for _ in 0..SPACES_MAX {
            let first = store.scan(&FORWARDS, &span, 1).next();
            let Some(Ok(((space, _), _))) = first else { return };
            if let Err(error) = self.spaces.get(space) {
                debug!(space = %space.short(), "what is owed of a space waits: {error}");
            }
            span = span.after(&(space, u64::MAX));
        }
    }
}
