//! The packer: codes and places the tails that are due.

use cosmic_common::id::{LogId, PeerId, SpaceId};
use cosmic_custody::{
    Packed, Tail,
    message::replica::{ReplicaAnswer, ReplicaRequest},
    pack::{bytes, tail::TURN},
    packers,
};
use cosmic_runtime::exit::sentence;
use cosmic_store::{Span, Store};

use super::{Error, Packs, tails};
use crate::{
    duty,
    spaces::Run,
    tables::{ENTRIES, TAILS},
};

/// Packs that may fail in one look.
const FAILURES_MAX: u32 = 3;

/// What was made of a tail.
struct Made {
    run: Run,
    pack: Vec<u8>,
}

impl Packs {
    /// Looks again and again for tails that are due here.
    pub(super) async fn pack_what_is_due(self) {
        let clock = &self.0.context.clock;
        if let Err(error) = tails::make_for_old_logs(&self.0.context.store, clock.now()).await {
            tracing::warn!(reason = sentence(&error), "older entries are not packed yet");
        }
        let mut place = None;
        loop {
            clock.sleep(self.0.config.look_every()).await;
            if let Err(error) = self.look(&mut place).await {
                tracing::warn!(reason = sentence(&error), "what is to be packed cannot be read");
            }
        }
    }

    /// Packs what is due behind `place`, to the end or until too much of it fails; the next look goes on there. Every
    /// failure costs a pack that was made for nothing, and while a holder is away all of them may fail.
    pub(crate) async fn look(&self, place: &mut Option<(SpaceId, LogId)>) -> Result<(), cosmic_store::Error> {
        let mut failures = 0;
        loop {
            let page = tails::page(&self.0.context.store, *place)?;
            if page.is_empty() {
                *place = None;
                return Ok(());
            }
            for ((space, log), tail) in page {
                *place = Some((space, log));
                if self.is_due_here(space, log, &tail)
                    && let Err(error) = self.pack(space, log).await
                {
                    self.0.metrics.failed.inc();
                    tracing::info!(space = %space.short(), log = %log.short(), reason = sentence(&error), "a tail was not packed");
                    failures += 1;
                    if failures == FAILURES_MAX {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// Whether this supernode's turn has come.
    fn is_due_here(&self, space: SpaceId, log: LogId, tail: &Tail) -> bool {
        let now = self.0.context.clock.now();
        let Some(since) = tail.due(&self.0.config.rules(), now) else { return false };
        let order = packers(&log, duty::replicas(&self.0.context, &space));
        let Some(place) = order.iter().position(|peer| *peer == self.0.context.peer) else { return false };
        let turns = u32::try_from(place).unwrap_or(u32::MAX);
        now >= since.after(TURN.saturating_mul(turns))
    }

    /// Packs the tail of a log, as much of it as fits into one pack: what other replicas have packed already is noted
    /// first. Returns the pack that was made.
    ///
    /// # Errors
    /// [`Error`]; then nothing is noted, and it may be tried again.
    pub async fn pack(&self, space: SpaceId, log: LogId) -> Result<Option<Packed>, Error> {
        let _one_at_a_time = self.0.packing.lock().await;
        self.learn(space, log).await?;
        let store = self.0.context.store.clone();
        let making = tokio::task::spawn_blocking(move || make(&store, space, log));
        let Some(Made { run, pack }) = making.await.map_err(|_gone| Error::Stopping)?? else {
            return Ok(None);
        };
        let length = pack.len();
        {
            let _turn = self.0.objects.turn().await?;
            let placed = self.0.objects.put(space, run.packed.object, pack).await?;
            if !self.0.objects.is_safe(&placed) {
                return Err(Error::NotSafe { object: run.packed.object });
            }
        }
        self.0.spaces.get(space)?.packed(vec![run]).await?;
        self.0.metrics.made.inc();
        self.0.metrics.bytes_made.inc_by(u64::try_from(length).unwrap_or(u64::MAX));
        for peer in self.0.spaces.replicas().of(&space) {
            // Who does not hear it now will ask, or be asked, before anything is freed.
            if let Err(error) = self.tell(peer, space, vec![run.packed]).await {
                tracing::debug!(peer = %peer.short(), reason = sentence(&error), "a replica did not note a pack");
            }
        }
        Ok(Some(run.packed))
    }

    /// Notes what other replicas have packed of the tail.
    async fn learn(&self, space: SpaceId, log: LogId) -> Result<(), Error> {
        let Some(tail) = self.0.context.store.get(&TAILS, &(space, log))? else { return Ok(()) };
        for peer in self.0.spaces.replicas().of(&space) {
            let request = ReplicaRequest::Packs { space, log, from: tail.from };
            if let Ok(ReplicaAnswer::Packs(packs)) = self.0.spaces.replicas().call(peer, request).wait().await
            {
                self.note(space, packs).await?;
            }
        }
        Ok(())
    }

    /// Tells another replica of packs; those it has noted.
    pub(crate) async fn tell(
        &self,
        peer: PeerId,
        space: SpaceId,
        packs: Vec<Packed>,
    ) -> Result<Vec<Packed>, Error> {
        let answer = self.0.spaces.replicas().call(peer, ReplicaRequest::Note { space, packs }).wait();
        match answer.await? {
            ReplicaAnswer::Packs(packs) => Ok(packs),
            other => Err(crate::replica::client::Error::answer(other).into()),
        }
    }
}

/// As much of the tail of a log as fits into one pack, from the table. Blocks.
fn make(store: &Store, space: SpaceId, log: LogId) -> Result<Option<Made>, cosmic_store::Error> {
    let Some(tail) = store.get(&TAILS, &(space, log))? else { return Ok(None) };
    let mut entries = Vec::new();
    let mut entry_bytes = 0_u64;
    let span = Span::range((log, tail.from)..=(log, u64::MAX));
    for (expected, row) in (tail.from..).zip(store.scan(&ENTRIES, &span, usize::MAX)) {
        let ((_, seq), entry) = row?;
        let grown = entry_bytes.saturating_add(u64::try_from(entry.len()).unwrap_or(u64::MAX));
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX).saturating_add(1);
        if seq != expected || bytes::length(count, grown) > bytes::PACK_MAX_BYTES as u64 {
            break;
        }
        entry_bytes = grown;
        entries.push(entry);
    }
    let Some(pack) = bytes::encode(log, tail.from, entries.iter().map(AsRef::as_ref)) else {
        return Ok(None);
    };
    let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
    let packed = Packed {
        log,
        from: tail.from,
        to: tail.from.saturating_add(count - 1),
        object: bytes::object(&pack),
    };
    Ok(Some(Made { run: Run { packed, entries: count, bytes: entry_bytes }, pack }))
}
