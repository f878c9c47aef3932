//! Questions to the directory that are under way, and records of others that want to be kept.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use libp2p::kad::{self, GetRecordError, GetRecordOk, QueryId, QueryResult, Quorum, Record};

use crate::{
    clock,
    command::{Reply, answer},
    directory::{
        Search, Validator,
        metrics::{Asked, Metrics},
        store::{KEPT_FOR, Source, Store},
    },
    error::Error,
};

type Directory = kad::Behaviour<Store>;

/// Questions of this process that may be under way.
const QUERIES_MAX: usize = 256;
/// Servers that had something that counts, after which a search ends: more than the liars among twenty who hold a record, when
/// a fifth of all lie (in 99 of 100 cases; what they have that counts was signed all the same, it may just be old).
const COPIES_ENOUGH: usize = 8;

/// Searches that end within this time of each other are one to people who ask how it went.
const ONE_SEARCH: Duration = Duration::from_secs(60);

/// The questions, and who waits for them.
pub(crate) struct Queries {
    validator: Arc<dyn Validator>,
    metrics: Metrics,
    open: HashMap<QueryId, Query>,
    /// When the last search ended, and how many servers had something.
    searched: Option<(Instant, usize)>,
}

enum Query {
    Bootstrap(Reply<()>),
    Publish(Reply<()>),
    Find { reply: Reply<Option<Vec<u8>>>, best: Option<Vec<u8>>, copies: usize },
}

impl Queries {
    pub(crate) fn new(validator: Arc<dyn Validator>, metrics: Metrics) -> Self {
        Self { validator, metrics, open: HashMap::new(), searched: None }
    }

    /// The search that ended last.
    pub(crate) fn searched(&self) -> Option<Search> {
        let (at, copies) = self.searched?;
        Some(Search { ago: clock::now().saturating_duration_since(at), copies })
    }

    pub(crate) fn bootstrap(&mut self, directory: &mut Directory, reply: Reply<()>) {
        if self.is_full() {
            return answer(reply, Err(FULL));
        }
        match directory.bootstrap() {
            Ok(id) => drop(self.open.insert(id, Query::Bootstrap(reply))),
            Err(cause) => answer(reply, Err(failed("be joined", cause))),
        }
    }

    pub(crate) fn publish(
        &mut self,
        directory: &mut Directory,
        key: Vec<u8>,
        value: Vec<u8>,
        reply: Reply<()>,
    ) {
        if self.is_full() {
            return answer(reply, Err(FULL));
        }
        let Some(value) = self.validator.judge(&key, None, &value) else {
            return answer(reply, Err(Error::RecordRefused));
        };
        let expires = Some(clock::now() + KEPT_FOR);
        match directory.put_record(Record { expires, ..Record::new(key, value) }, Quorum::One) {
            Ok(id) => drop(self.open.insert(id, Query::Publish(reply))),
            Err(cause) => answer(reply, Err(failed("keep the record", cause))),
        }
    }

    pub(crate) fn find(&mut self, directory: &mut Directory, key: Vec<u8>, reply: Reply<Option<Vec<u8>>>) {
        if self.is_full() {
            return answer(reply, Err(FULL));
        }
        let id = directory.get_record(key.into());
        self.open.insert(id, Query::Find { reply, best: None, copies: 0 });
    }

    /// Takes in how a question goes.
    pub(crate) fn on_progress(
        &mut self,
        directory: &mut Directory,
        id: QueryId,
        result: QueryResult,
        last: bool,
    ) {
        if let QueryResult::GetRecord(Ok(GetRecordOk::FoundRecord(found))) = &result
            && let Some(Query::Find { best, copies, .. }) = self.open.get_mut(&id)
            && let Some(better) =
                self.validator.judge(found.record.key.as_ref(), best.as_deref(), &found.record.value)
        {
            *copies += 1;
            *best = Some(better);
            if *copies >= COPIES_ENOUGH
                && let Some(mut query) = directory.query_mut(&id)
            {
                query.finish();
            }
        }
        if last && let Some(query) = self.open.remove(&id) {
            self.finish(query, result);
        }
    }

    /// A record of somebody else: what counts of it is kept, beside what was.
    pub(crate) fn on_record(&self, directory: &mut Directory, record: Record, source: Source) {
        let bytes = record.value.len();
        if let Err(refusal) = directory.store_mut().take(record, source, clock::now()) {
            tracing::debug!(bytes, ?refusal, "a directory record is not kept");
            self.metrics.refused(refusal);
        }
    }

    /// Remembers how a search ended. A house looks under several keys for one thing, and one of them may be empty.
    fn has_searched(&mut self, copies: usize) {
        let now = clock::now();
        let together = |(at, _): &(Instant, usize)| now.saturating_duration_since(*at) < ONE_SEARCH;
        let before = self.searched.filter(together).map_or(0, |(_, copies)| copies);
        self.searched = Some((now, copies.max(before)));
    }

    fn is_full(&self) -> bool {
        self.open.len() >= QUERIES_MAX
    }

    /// The last word of the directory on a question.
    fn finish(&mut self, query: Query, result: QueryResult) {
        match query {
            Query::Bootstrap(reply) => {
                let joined = match result {
                    QueryResult::Bootstrap(Err(cause)) => Err(failed("be joined", cause)),
                    _ => Ok(()),
                };
                self.metrics.asked(Asked::Join, joined.is_ok());
                answer(reply, joined);
            }
            Query::Publish(reply) => {
                let kept = match result {
                    QueryResult::PutRecord(Err(cause)) => Err(failed("keep the record", cause)),
                    _ => Ok(()),
                };
                self.metrics.asked(Asked::Publish, kept.is_ok());
                answer(reply, kept);
            }
            Query::Find { reply, best, copies } => {
                let found = match (best, result) {
                    (None, QueryResult::GetRecord(Err(cause @ GetRecordError::Timeout { .. }))) => {
                        Err(failed("be searched", cause))
                    }
                    (best, _) => Ok(best),
                };
                self.has_searched(copies);
                self.metrics.asked(Asked::Find, copies > 0);
                answer(reply, found);
            }
        }
    }
}

const FULL: Error = Error::Busy { queue: "the list of directory queries" };

fn failed(what: &'static str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Directory { what, source: Error::shared(cause) }
}
