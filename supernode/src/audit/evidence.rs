//! Findings: noted in the docket, signed, kept in a table over restarts, told to everybody, and heard from others.

use std::time::Duration;

use cosmic_common::{id::PeerId, record::Record as _, time::Timestamp};
use cosmic_custody::{
    Evidence, Suspect,
    audit::{
        docket::Failure,
        evidence::{Charged, Finding},
    },
    message::{
        care::CareRequest,
        refusal::{Refusal, RefusalCode},
    },
};
use cosmic_store::Span;
use futures::{StreamExt as _, stream};

use super::{Audits, lock, metrics::Heard, status::word};
use crate::{
    care::Care,
    scrub::Thing,
    tables::{EVIDENCE, EvidenceRow},
};

/// Pieces of evidence in one report; 45 kB.
const REPORT_MAX: usize = 64;
/// Members that are told at once.
const TOLD_AT_ONCE: usize = 16;
/// After that nothing of a finding is left in a holder's repute.
const EVIDENCE_AGE_MAX: Duration = Duration::from_hours(1000);
/// Evidence kept in all: 3 MB. The docket remembers more; a restart forgets the newest beyond that.
const EVIDENCE_MAX: usize = 4096;
/// Evidence kept of one auditor besides this supernode: a liar can take so much room and no more.
const EVIDENCE_OF_ONE_MAX: usize = 256;
/// Shards others complained about that wait to be asked for.
const HINTS_MAX: usize = 256;

/// Objects that wait to be looked at; the walk finds the rest.
const LOST_MAX: usize = 1024;

type Key = (PeerId, cosmic_common::id::ObjectId, u8, PeerId);

impl Audits {
    /// The holder proved that it has the shard: what was found before is over.
    pub(super) async fn proved(&self, suspect: Suspect) {
        let now = self.0.context.clock.now();
        self.0.metrics.audits_proved.inc();
        let was_doubted = {
            let mut docket = self.docket();
            let was_doubted = docket.is_doubted(&suspect);
            docket.proved(suspect, now);
            was_doubted
        };
        if was_doubted {
            self.settle(suspect, now).await;
        }
    }

    /// The holder was given the shard again and signed for it, or says that it does not keep it: nothing is held against it.
    pub(crate) async fn restored(&self, suspect: Suspect) {
        let was_doubted = {
            let mut docket = self.docket();
            let was_doubted = docket.is_doubted(&suspect);
            docket.restored(&suspect);
            was_doubted
        };
        if was_doubted {
            self.settle(suspect, self.0.context.clock.now()).await;
        }
    }

    /// This supernode found that a holder does not have a shard: noted; and with the holder's receipt also signed, kept and told.
    pub(crate) async fn found(
        &self,
        care: &Care,
        suspect: Suspect,
        receipt: Option<Vec<u8>>,
        finding: Finding,
    ) {
        let Suspect { holder, object, index } = suspect;
        let (context, now) = (&self.0.context, self.0.context.clock.now());
        let (Some(witness), Some(accused)) = (self.operator(&context.peer), self.operator(&holder)) else {
            return;
        };
        self.0.metrics.failed(finding);
        tracing::warn!(holder = %holder.short(), object = %object.short(), index, finding = word(finding), "a holder does not show a shard it signed for");
        let failure = Failure { suspect, witness, accused, finding, time: now };
        let is_news = self.docket().failed(failure, true, now);
        if let Some(receipt) = receipt {
            let evidence = Evidence { auditor: context.peer, receipt, finding, time: now };
            match evidence.sign(&context.key) {
                Ok(signed) => self.tell(care, suspect, signed.to_bytes()).await,
                Err(error) => tracing::warn!(%error, "evidence cannot be signed"),
            }
        }
        if is_news {
            self.lost(suspect);
        }
    }

    /// A shard counts as lost from now on: its object is looked at, and mended if it needs it.
    fn lost(&self, suspect: Suspect) {
        let Suspect { holder, object, index } = suspect;
        self.0.metrics.shards_lost.inc();
        tracing::warn!(holder = %holder.short(), object = %object.short(), index, "a shard counts as lost at its holder");
        let mut lost = lock(&self.0.lost);
        if lost.len() < LOST_MAX {
            lost.insert(object);
        }
    }

    /// Keeps own evidence; the first about a shard goes to all members.
    async fn tell(&self, care: &Care, suspect: Suspect, evidence: Vec<u8>) {
        let me = self.0.context.peer;
        let key = (suspect.holder, suspect.object, suspect.index, me);
        let before = self.0.context.store.get(&EVIDENCE, &key).unwrap_or_default();
        let is_first = before.is_none_or(|row| row.settled.is_some());
        self.keep(key, evidence.clone()).await;
        if !is_first {
            return;
        }
        let care = care.clone();
        let telling = async move {
            let request = CareRequest::Report(vec![evidence]);
            let telling = care.others_heard().into_iter().map(|peer| {
                let (care, request) = (&care, &request);
                async move {
                    if let Err(error) = care.ask(peer, request).await {
                        let reason = cosmic_runtime::exit::sentence(&error);
                        tracing::debug!(peer = %peer.short(), reason, "evidence was not told");
                    }
                }
            });
            stream::iter(telling).buffer_unordered(TOLD_AT_ONCE).collect::<()>().await;
        };
        let started = self.0.reports.spawn(|shutdown| async move {
            shutdown.unless(telling).await;
        });
        if started.is_err() {
            tracing::debug!("too many findings at once; this one is not told");
        }
    }

    /// Takes in what another tells.
    ///
    /// # Errors
    /// A refusal of a report that is too long.
    pub(crate) async fn hear(&self, evidence: Vec<Vec<u8>>) -> Result<(), Refusal> {
        if evidence.len() > REPORT_MAX {
            return Err(Refusal::new(RefusalCode::TooLarge, "a report has at most 64 pieces of evidence"));
        }
        for bytes in evidence {
            let heard = match Evidence::open(&bytes) {
                Ok(charged) => self.weigh(charged, bytes).await,
                Err(error) => {
                    tracing::debug!(%error, "evidence does not stand");
                    Heard::Refused
                }
            };
            self.0.metrics.heard(heard);
        }
        Ok(())
    }

    async fn weigh(&self, charged: Charged, bytes: Vec<u8>) -> Heard {
        let Charged { auditor, suspect, hash, finding, time } = charged;
        let (context, now) = (&self.0.context, self.0.context.clock.now());
        if suspect.holder == context.peer {
            self.0.metrics.accusations.inc();
            context.suspects.report(Thing::Shard { object: suspect.object, index: suspect.index });
            return Heard::New;
        }
        let ring = context.ring_view();
        let (Some(witness), Some(accused)) = (self.operator(&auditor), self.operator(&suspect.holder)) else {
            return Heard::Refused;
        };
        let are_members = ring.members.is_active(&auditor) && ring.members.is_active(&suspect.holder);
        let manifest = self.manifest(&suspect.object).unwrap_or_default();
        let is_another = manifest.as_ref().is_some_and(|here| here.shard(suspect.index) != Some(hash));
        if auditor == context.peer || !are_members || is_another {
            return Heard::Refused;
        }
        let key = (suspect.holder, suspect.object, suspect.index, auditor);
        if now.since(time) > EVIDENCE_AGE_MAX || self.is_known(&key, time) {
            return Heard::Known;
        }
        if self.kept_of(&auditor) >= EVIDENCE_OF_ONE_MAX {
            return Heard::TooMuch;
        }
        self.keep(key, bytes).await;
        let failure = Failure { suspect, witness, accused, finding, time };
        let is_news = self.docket().failed(failure, false, now);
        if manifest.is_some() {
            let mut hints = lock(&self.0.hints);
            if hints.len() < HINTS_MAX {
                hints.insert(suspect);
            }
        }
        if is_news {
            self.lost(suspect);
        }
        Heard::New
    }

    /// Whether this finding of this auditor, or a later one, is here already, or over.
    fn is_known(&self, key: &Key, time: Timestamp) -> bool {
        let Ok(Some(row)) = self.0.context.store.get(&EVIDENCE, key) else { return false };
        let known = Evidence::open(&row.evidence).is_ok_and(|charged| charged.time >= time);
        known || row.settled.is_some_and(|settled| settled >= time)
    }

    fn kept_of(&self, auditor: &PeerId) -> usize {
        self.rows().iter().filter(|((_holder, _object, _index, by), _row)| by == auditor).count()
    }

    fn rows(&self) -> Vec<(Key, EvidenceRow)> {
        let scan = self.0.context.store.scan(&EVIDENCE, &Span::all(), EVIDENCE_MAX);
        scan.filter_map(Result::ok).collect()
    }

    async fn keep(&self, key: Key, evidence: Vec<u8>) {
        let (store, now) = (&self.0.context.store, self.0.context.clock.now());
        let rows = self.rows();
        let mut batch = store.batch();
        let is_over = |row: &EvidenceRow| now.since(row.heard) > EVIDENCE_AGE_MAX;
        rows.iter().filter(|(_key, row)| is_over(row)).for_each(|(key, _row)| {
            batch.delete(&EVIDENCE, key);
        });
        if rows.len() >= EVIDENCE_MAX
            && let Some((oldest, _row)) = rows.iter().min_by_key(|(_key, row)| row.heard)
        {
            batch.delete(&EVIDENCE, oldest);
        }
        batch.put(&EVIDENCE, &key, &EvidenceRow { evidence, heard: now, settled: None });
        if let Err(error) = store.commit(batch).await {
            let reason = cosmic_runtime::exit::sentence(&error);
            tracing::warn!(reason, "evidence was not kept");
        }
    }

    /// What was found about the shard so far is over, and stays in its holder's repute.
    async fn settle(&self, suspect: Suspect, now: Timestamp) {
        let store = &self.0.context.store;
        let prefix = (suspect.holder, suspect.object, suspect.index);
        let mut batch = store.batch();
        for (key, row) in self.rows() {
            let (holder, object, index, _auditor) = key;
            if (holder, object, index) == prefix && row.settled.is_none() {
                batch.put(&EVIDENCE, &key, &EvidenceRow { settled: Some(now), ..row });
            }
        }
        if let Err(error) = store.commit(batch).await {
            let reason = cosmic_runtime::exit::sentence(&error);
            tracing::warn!(reason, "it was not kept that a finding is over");
        }
    }

    /// What was found before the last stop, and what was over, in the order in which it came.
    pub(super) async fn remember(&self) {
        let audits = self.clone();
        let Ok(rows) = tokio::task::spawn_blocking(move || audits.rows()).await else { return };
        let me = self.0.context.peer;
        let mut events = Vec::with_capacity(rows.len());
        for (_key, row) in rows {
            let Ok(charged) = Evidence::open(&row.evidence) else { continue };
            events.push((row.heard, charged, false));
            events.extend(row.settled.map(|settled| (settled, charged, true)));
        }
        events.sort_by_key(|(at, _charged, is_over)| (*at, *is_over));
        self.learn_operator();
        let mut docket = self.docket();
        for (at, Charged { auditor, suspect, finding, time, .. }, is_over) in events {
            let (Some(witness), Some(accused)) = (self.operator(&auditor), self.operator(&suspect.holder))
            else {
                continue;
            };
            if is_over {
                docket.restored(&suspect);
            } else {
                docket.failed(Failure { suspect, witness, accused, finding, time }, auditor == me, at);
            }
        }
    }

    fn learn_operator(&self) {
        if let Some(operator) = self.operator(&self.0.context.peer) {
            self.docket().belongs_to(operator);
        }
    }
}
