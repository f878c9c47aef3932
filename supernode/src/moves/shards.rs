//! Strays: own shards that belong elsewhere. Each is given to where it belongs, and freed here when everybody who should
//! have a shard of the object has signed twice, a delay apart.

use std::sync::{Arc, Mutex, PoisonError};

use cosmic_common::{
    id::{ObjectId, PeerId},
    record::Record as _,
    time::Timestamp,
};
use cosmic_custody::{
    Assignment, HeldCopy, Keep, Promise, Receipt, Recode, Release, Suspect, Target,
    message::refusal::RefusalCode,
};
use cosmic_erasure::Manifest;
use cosmic_ring::Table;
use cosmic_runtime::exit::sentence;
use cosmic_store::Span;
use futures::{StreamExt as _, stream};

use super::{
    Error, Moves,
    round::{Round, Why},
};
use crate::{
    care::Answers,
    holders::Holders,
    scrub::Thing,
    shards::{self, Giving},
    tables::{STRAYS, release},
};

/// Strays looked at in one step: each supernode is asked about as many objects in one question, of 8 kB.
const PAGE: usize = 256;
/// Objects that are moved at once; each holds a shard of up to 4 MiB in memory.
const AT_ONCE: usize = 4;

/// What a round found, gathered by all that goes on at once.
pub(super) type Rounds = Mutex<Round>;

/// An object of which something here belongs elsewhere.
pub(super) struct Moving {
    pub(super) manifest: Manifest,
    pub(super) manifest_bytes: Vec<u8>,
    pub(super) holders: Arc<Holders>,
    /// The ring it is placed by.
    pub(super) table: Arc<Table>,
    pub(super) target: Target,
}

impl Moves {
    /// Moves for ever: when strays are noted, and now and then.
    pub(super) async fn move_shards(self) {
        let clock = self.0.context.clock.clone();
        loop {
            let round = Mutex::new(Round::default());
            if let Err(error) = self.round(&round).await {
                tracing::warn!(reason = sentence(&error), "what belongs elsewhere could not be looked at");
            }
            let round = round.into_inner().unwrap_or_else(PoisonError::into_inner);
            self.0.metrics.tell_shards(&round);
            self.told().shards = round;
            let noted = self.0.shards.keeper().strays_noted();
            clock.timeout(self.0.config.look_every(), noted).await;
        }
    }

    /// Looks at all strays.
    async fn round(&self, round: &Rounds) -> Result<(), Error> {
        let mut after: Option<(ObjectId, u8)> = None;
        loop {
            let span = after.map_or_else(Span::all, |place| Span::all().after(&place));
            let rows: Vec<((ObjectId, u8), Timestamp)> =
                self.0.context.store.scan(&STRAYS, &span, PAGE).collect::<Result<_, _>>()?;
            self.step(&rows, round).await?;
            after = rows.last().map(|(place, _settled)| *place);
            if rows.len() < PAGE {
                return Ok(());
            }
        }
    }

    async fn step(&self, rows: &[((ObjectId, u8), Timestamp)], round: &Rounds) -> Result<(), Error> {
        let mut objects: Vec<ObjectId> = Vec::new();
        for ((object, _index), settled) in rows {
            if self.is_resting(object, *settled)? {
                lock(round).waits(Why::Delay);
            } else if objects.last() != Some(object) {
                objects.push(*object);
            }
        }
        if objects.is_empty() {
            return Ok(());
        }
        let asked = self.asked_about(objects.clone()).await?;
        let answers = &self.0.care.survey_everyone(&asked).await;
        let moving = objects.into_iter().map(|object| async move {
            if let Err(error) = self.bring_home(object, answers, round).await {
                tracing::info!(object = %object.short(), reason = sentence(&error), "a shard that belongs elsewhere stays");
                lock(round).waits(Why::Failed);
            }
        });
        stream::iter(moving).buffer_unordered(AT_ONCE).collect::<()>().await;
        Ok(())
    }

    /// These objects, and the codings that they may be given up for.
    async fn asked_about(&self, objects: Vec<ObjectId>) -> Result<Vec<ObjectId>, Error> {
        let moves = self.clone();
        let reading = move || -> Result<Vec<ObjectId>, Error> {
            let keeper = moves.0.shards.keeper();
            let mut manifests = Vec::with_capacity(objects.len());
            for object in objects {
                let bytes = keeper.manifest(&object)?;
                let manifest = bytes.and_then(|bytes| Manifest::from_bytes(&bytes).ok());
                manifests.extend(manifest.zip(keeper.space_of(&object)?));
            }
            Ok(moves.0.care.with_heirs(&manifests)?)
        };
        tokio::task::spawn_blocking(reading).await.map_err(|_gone| Error::Stopping)?
    }

    /// Whether nothing is to be asked now, because the delay of a stray runs, and the ring has not called it home.
    fn is_resting(&self, object: &ObjectId, settled: Timestamp) -> Result<bool, Error> {
        let (delay, now) = (self.0.config.free_after(), self.0.context.clock.now());
        if release(settled).rests_until(delay, now).is_none() {
            return Ok(false);
        }
        let keeper = self.0.shards.keeper();
        let (Some(bytes), Some(space)) = (keeper.manifest(object)?, keeper.space_of(object)?) else {
            return Ok(false);
        };
        let Ok(manifest) = Manifest::from_bytes(&bytes) else { return Ok(false) };
        let holders = Arc::clone(&self.0.shards.holders().borrow());
        let table = self.0.shards.table(&holders, &space);
        if matches!(self.0.care.recode(table.class(), manifest.codec()), Recode::Now { .. }) {
            return Ok(true);
        }
        let holders = table.holders(object, manifest.codec().n());
        Ok(!holders.contains(&self.0.context.peer))
    }

    /// Gives what is here of an object to where it belongs, and frees it if it may go.
    async fn bring_home(&self, object: ObjectId, answers: &Answers, round: &Rounds) -> Result<(), Error> {
        let (me, keeper) = (self.0.context.peer, self.0.shards.keeper());
        let mut strays = keeper.strays(&object)?;
        let own = keeper.surveyed(&object)?.own;
        let Some(mut moving) = self.moving(object, answers).await? else { return Ok(()) };
        let heir = self.0.care.heir(&moving.manifest, answers, &moving.table).await;
        // What belongs here, or is not here any more, is no stray; unless the object lies in another class now.
        let mine = |index: u8| Assignment { index, holder: me };
        for index in strays.keys().copied().collect::<Vec<_>>() {
            let belongs = heir.is_none() && moving.target.shards.contains(&mine(index));
            if !own.contains(index) || belongs {
                keeper.settle(object, index, None).await?;
                strays.remove(&index);
            }
        }
        if strays.is_empty() {
            return Ok(());
        }
        // Nobody takes it, and whoever was given it would keep it for longer.
        if keeper.is_doomed(&object) {
            lock(round).waits(Why::Removed);
            return Ok(());
        }
        if self.0.care.is_paused() {
            lock(round).waits(Why::Paused);
            return Ok(());
        }
        if let Some(heir) = heir {
            for (index, release) in strays {
                self.yield_to(&moving, &heir, mine(index), release, round).await?;
            }
            return Ok(());
        }
        let wanted = std::mem::take(&mut moving.target.wanted);
        for shard in wanted {
            let is_mine = strays.contains_key(&shard.index) && shard.holder != me;
            if !is_mine || !self.give(&moving, shard).await {
                moving.target.wanted.push(shard);
            }
        }
        for (index, release) in strays {
            self.release(&moving, mine(index), release, round).await?;
        }
        Ok(())
    }

    /// Where the shards of an object are, and where they belong; none if nothing of it is here.
    async fn moving(&self, object: ObjectId, answers: &Answers) -> Result<Option<Moving>, Error> {
        let keeper = self.0.shards.keeper();
        let (Some(bytes), Some(space)) = (keeper.manifest(&object)?, keeper.space_of(&object)?) else {
            return Ok(None);
        };
        let missing = |_error| shards::Error::NotHere { object, index: 0 };
        let manifest = Manifest::from_bytes(&bytes).map_err(missing)?;
        let holders = Arc::clone(&self.0.shards.holders().borrow());
        let table = self.0.shards.table(&holders, &space);
        let (me, codec) = (self.0.context.peer, manifest.codec());
        let mut copies = Vec::new();
        let mine = keeper.surveyed(&object)?;
        for (peer, kept) in answers.iter().map(|(peer, kept)| (peer, kept.get(&object))) {
            let own = kept.into_iter().flat_map(|kept| kept.own.iter());
            copies.extend(own.map(|index| HeldCopy { index, holder: *peer, handed_off: false }));
        }
        copies.extend(mine.own.iter().map(|index| HeldCopy { index, holder: me, handed_off: false }));
        let is_silent = |peer: &PeerId| *peer != me && !answers.contains_key(peer);
        if table.holders(&object, codec.n()).iter().any(is_silent) {
            let record = self.0.care.placement(&object).await;
            let said = record.iter().flat_map(|record| &record.holders);
            let silent = said.filter(|(_index, holding)| is_silent(&holding.peer));
            copies.extend(silent.map(|(index, holding)| HeldCopy {
                index: *index,
                holder: holding.peer,
                handed_off: false,
            }));
        }
        self.0.care.audits().believe(object, &mut copies);
        let held: Vec<Assignment> =
            copies.iter().map(|copy| Assignment { index: copy.index, holder: copy.holder }).collect();
        let may_take = |peer: &PeerId| self.0.care.audits().is_trusted(peer);
        let target = Target::of(&table, &object, codec, &held, may_take);
        Ok(Some(Moving { manifest, manifest_bytes: bytes.into(), holders, table, target }))
    }

    /// Gives a shard to where it belongs; whether its new holder signed that it keeps it.
    async fn give(&self, moving: &Moving, shard: Assignment) -> bool {
        match self.give_one(moving, shard).await {
            Ok(receipt) => Receipt::open(&receipt)
                .is_ok_and(|receipt| receipt.holder == shard.holder && receipt.promise == Promise::Keeps),
            Err(error) => {
                let Assignment { index, holder } = shard;
                if error.refusal().code == RefusalCode::HashMismatch {
                    // What lies here may be damaged: the scrub looks.
                    self.0.context.suspects.report(Thing::Shard { object: moving.manifest.coding(), index });
                }
                tracing::info!(holder = %holder.short(), index, reason = sentence(&error), "a shard was not taken where it belongs");
                false
            }
        }
    }

    async fn give_one(&self, moving: &Moving, shard: Assignment) -> Result<Vec<u8>, shards::Error> {
        let Assignment { index, holder } = shard;
        let object = moving.manifest.coding();
        let missing = shards::Error::NotHere { object, index };
        let row = self.0.shards.keeper().row(&object, index)?.ok_or(missing)?;
        self.afford(row.length).await;
        let found = self.0.shards.keeper().shard(object, index).await?;
        let giving = Giving {
            holder,
            owner: None,
            space: row.space,
            manifest: &moving.manifest,
            manifest_bytes: &moving.manifest_bytes,
            index,
            bytes: &found.bytes,
        };
        let receipt = self.0.shards.give(giving).await?;
        self.0.metrics.shards_given.inc();
        self.0.metrics.bytes_given.inc_by(row.length);
        self.0.care.audits().restored(Suspect { holder, object, index }).await;
        Ok(receipt)
    }

    /// Waits until what moves may take of the uplink allows so many bytes.
    pub(super) async fn afford(&self, bytes: u64) {
        let clock = &self.0.context.clock;
        loop {
            let wait = {
                let mut budget = self.0.budget.lock().unwrap_or_else(PoisonError::into_inner);
                let now = clock.now();
                budget.allow(self.0.care.allowance());
                match budget.ready_at(false, now) {
                    Some(at) if at <= now => {
                        budget.spend(bytes, false, now);
                        return;
                    }
                    Some(at) => at.since(now).min(self.0.config.look_every()),
                    // A budget of nothing: until the operator allows more.
                    None => self.0.config.look_every(),
                }
            };
            clock.sleep(wait).await;
        }
    }

    /// Asks whether a stray may go, and lets it.
    async fn release(
        &self,
        moving: &Moving,
        mine: Assignment,
        before: Release,
        round: &Rounds,
    ) -> Result<(), Error> {
        let (clock, delay) = (&self.0.context.clock, self.0.config.free_after());
        let object = moving.manifest.coding();
        let reasons = if moving.target.wanted.is_empty() {
            // No asking lasts as long as the delay, or what was said first could be history.
            let late = Err(Keep::Owed(Vec::new()));
            clock.timeout(delay, self.ask(moving, mine)).await.unwrap_or(late)
        } else {
            Err(Keep::Owed(moving.target.wanted.clone()))
        };
        let mut release = before;
        let Err(keep) = release.ask(reasons, delay, clock.now()) else {
            if self.0.shards.keeper().let_go(object, mine.index, before).await? {
                self.0.metrics.shards_freed.inc();
            }
            return Ok(());
        };
        lock(round).keeps(&keep);
        if release != before {
            self.0.shards.keeper().settle(object, mine.index, Some(release)).await?;
        }
        Ok(())
    }
}

pub(super) fn lock(round: &Rounds) -> std::sync::MutexGuard<'_, Round> {
    round.lock().unwrap_or_else(PoisonError::into_inner)
}
