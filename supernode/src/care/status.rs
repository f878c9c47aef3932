//! What an operator sees of repairs: how many, how urgent, and why each waits.

use std::collections::BTreeMap;

use cosmic_common::{id::PeerId, time::Timestamp};
use cosmic_custody::{
    Presence,
    repair::queue::{Failure, Waiting},
};
use serde_json::{Value, json};

use super::{
    Care, lock,
    metrics::{Reason, Why},
};

/// Objects that are told one by one, the most endangered first.
const ITEMS_TOLD: usize = 100;
/// Objects whose reasons are counted.
const ITEMS_COUNTED: usize = 1000;

impl Care {
    /// The queue, the budget and the members, as one JSON object.
    #[must_use]
    pub fn status(&self) -> Value {
        let (now, metrics) = (self.now(), &self.0.metrics);
        let (in_danger, to_recode, paused, reasons, items) = {
            let queue = lock(&self.0.queue);
            let mut reasons: BTreeMap<Why, usize> = BTreeMap::new();
            let mut items = Vec::new();
            for (object, danger) in queue.items().take(ITEMS_COUNTED) {
                let Some(waiting) = queue.why(object, now) else { continue };
                *reasons.entry(Why::of(waiting)).or_default() += 1;
                if items.len() < ITEMS_TOLD {
                    items.push(json!({
                        "object": object,
                        "recode": danger.calm,
                        "margin": danger.margin,
                        "zones": danger.zones,
                        "since": danger.since.unix_ms(),
                        "reason": Why::of(waiting),
                        "sentence": sentence(waiting, now),
                    }));
                }
            }
            (queue.backlog(false), queue.backlog(true), queue.is_paused(), reasons, items)
        };
        let reasons: Vec<Value> = reasons
            .into_iter()
            .map(|(reason, count)| json!({ "reason": reason, "objects": count }))
            .collect();
        json!({
            "paused": paused,
            "throttle": *lock(&self.0.throttle),
            "queued": in_danger.0,
            "queued_bytes": in_danger.1,
            "queued_to_recode": to_recode.0,
            "queued_to_recode_bytes": to_recode.1,
            "reasons": reasons,
            "items": items,
            "objects_mended": metrics.objects_mended.get(),
            "repairs_failed": metrics.repairs_failed.get(),
            "bytes_read": metrics.bytes_read.get(),
            "bytes_rebuilt": metrics.bytes_rebuilt.get(),
            "recoding": self.classes(),
            "walks": metrics.walks.get(),
            "owners_awaited": metrics.owners_awaited.get(),
            "shards_handed_over": metrics.shards_handed_over.get(),
            "members": self.members(now),
        })
    }

    fn members(&self, now: Timestamp) -> Vec<Value> {
        let me = self.me();
        let liveness = lock(&self.0.liveness);
        let tell = |peer: &PeerId| {
            let (presence, since) = match liveness.presence(peer, now) {
                Presence::Present => ("present", liveness.last_heard(peer)),
                Presence::Away { since } => ("away", Some(since)),
                Presence::Offline { since } => ("offline", Some(since)),
                Presence::Gone => ("gone", None),
            };
            json!({ "peer": peer, "presence": presence, "heard": since.map(Timestamp::unix_ms) })
        };
        liveness.known().filter(|peer| **peer != me).map(tell).collect()
    }

    /// Sets the gauges of the queue.
    pub(super) fn count(&self) {
        self.count_classes();
        let (now, metrics) = (self.now(), &self.0.metrics);
        let mut counts: BTreeMap<Why, i64> = BTreeMap::new();
        {
            let queue = lock(&self.0.queue);
            let ((in_danger, bytes), (to_recode, _bytes)) = (queue.backlog(false), queue.backlog(true));
            metrics.queued.set(i64::try_from(in_danger).unwrap_or(i64::MAX));
            metrics.queued_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
            metrics.queued_to_recode.set(i64::try_from(to_recode).unwrap_or(i64::MAX));
            let mut endangered = queue.items().take(ITEMS_COUNTED).filter(|(_object, danger)| !danger.calm);
            let margin = endangered.next().map_or(0, |(_object, danger)| danger.margin.into());
            metrics.margin_least.set(margin);
            let endangered = queue.items().take(ITEMS_COUNTED).filter(|(_object, danger)| !danger.calm);
            for (object, _danger) in endangered {
                if let Some(waiting) = queue.why(object, now) {
                    *counts.entry(Why::of(waiting)).or_default() += 1;
                }
            }
        }
        for reason in Why::ALL {
            let count = counts.get(&reason).copied().unwrap_or_default();
            metrics.waiting.get_or_create(&Reason { reason }).set(count);
        }
    }
}

/// Why an object waits, for people.
fn sentence(waiting: Waiting, now: Timestamp) -> String {
    let from_now = |at: Timestamp| format!("{} s", at.since(now).as_secs());
    match waiting {
        Waiting::Mending { since } => format!("it is being mended, for {} s", now.since(since).as_secs()),
        Waiting::Paused => {
            "repairs are paused; let them go on with: cosmic-supernode repair resume".to_owned()
        }
        Waiting::Turn { peer, from } => {
            format!("{} mends it first; this supernode does in {}", peer.short(), from_now(from))
        }
        Waiting::NotOurs => "this supernode has no shard of it; others mend it".to_owned(),
        Waiting::Leased { peer, until } => {
            format!("{} mends it, for {} at most", peer.short(), from_now(until))
        }
        Waiting::AskingLease { .. } => "a lease was asked for".to_owned(),
        Waiting::Budget { until: Some(until) } => {
            format!("the budget is used up for {}", from_now(until))
        }
        Waiting::Budget { until: None } => {
            "the budget is nothing; allow more with: cosmic-supernode repair throttle".to_owned()
        }
        Waiting::Behind { others } => format!("{others} more endangered objects come first"),
        Waiting::Retry { failure, attempts, at } => {
            let what = match failure {
                Failure::Stuck(stuck) => stuck.to_string(),
                Failure::Unread => "holders did not give their shards".to_owned(),
                Failure::Unplaced => "new holders did not take their shards".to_owned(),
                Failure::Late => "it took longer than ten minutes".to_owned(),
                Failure::Local => "the disk or the memory of this supernode failed; see its log".to_owned(),
            };
            format!("{what}; attempt {} follows in {}", attempts.saturating_add(1), from_now(at))
        }
    }
}
