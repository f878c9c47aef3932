//! What an operator sees of audits: how many, of whom, and what was found.

use std::collections::BTreeSet;

use cosmic_common::id::PeerId;
use cosmic_custody::audit::evidence::Finding;
use serde_json::{Value, json};

use super::{
    Audits,
    metrics::{Became, Found, Heard, What},
};

/// Findings that are told one by one.
const CASES_TOLD: usize = 100;

impl Audits {
    /// The counts, the repute of every member and the findings that stand, as one JSON object.
    #[must_use]
    pub fn status(&self) -> Value {
        let (now, metrics, me) = (self.0.context.clock.now(), &self.0.metrics, self.0.context.peer);
        let ring = self.0.context.ring_view();
        let docket = self.docket();
        let holders = ring.members.active().filter(|member| member.peer != me).map(|member| {
            let repute = docket.repute(&member.peer);
            json!({
                "peer": member.peer,
                "repute": repute.score(now),
                "trusted": repute.is_trusted(now),
                "believed": repute.is_believed(now),
            })
        });
        let cases = docket.cases().take(CASES_TOLD).map(|(suspect, lost)| {
            json!({
                "holder": suspect.holder,
                "object": suspect.object,
                "index": suspect.index,
                "lost": lost,
            })
        });
        let failed = |finding| metrics.audits_failed.get_or_create(&What { finding }).get();
        let heard = |outcome| metrics.evidence_heard.get_or_create(&Became { outcome }).get();
        json!({
            "every_secs": self.0.every.as_secs(),
            "proved": metrics.audits_proved.get(),
            "denied": failed(Found::Denied),
            "wrong": failed(Found::Wrong),
            "unanswered": metrics.audits_unanswered.get(),
            "shards_lost": metrics.shards_lost.get(),
            "challenges_proved": metrics.challenges_proved.get(),
            "challenges_refused": metrics.challenges_refused.get(),
            "accusations": metrics.accusations.get(),
            "evidence": {
                "new": heard(Heard::New),
                "known": heard(Heard::Known),
                "refused": heard(Heard::Refused),
                "too_much": heard(Heard::TooMuch),
            },
            "holders": holders.collect::<Vec<_>>(),
            "cases": cases.collect::<Vec<_>>(),
        })
    }

    /// Sets the gauges, and says who is passed over by new writes.
    pub(super) fn count(&self) {
        let now = self.0.context.clock.now();
        let ring = self.0.context.ring_view();
        let docket = self.docket();
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let distrusted: BTreeSet<PeerId> = ring
            .members
            .active()
            .map(|member| member.peer)
            .filter(|peer| !docket.repute(peer).is_trusted(now))
            .collect();
        self.0.metrics.cases.set(number(docket.cases().count()));
        self.0.metrics.holders_distrusted.set(number(distrusted.len()));
        self.0.shards.set_distrusted(distrusted);
    }
}

/// A finding in a word.
pub(super) const fn word(finding: Finding) -> &'static str {
    match finding {
        Finding::Denied => "denied",
        Finding::Wrong => "wrong",
    }
}
