//! Questions to the directory that are under way, and records of others that want to be kept.

use std::{collections::HashMap, sync::Arc};

use libp2p::kad::{
    self, GetRecordError, GetRecordOk, InboundRequest, QueryId, QueryResult, Quorum, Record,
    store::{MemoryStore, RecordStore as _},
};

use crate::{
    command::{Reply, answer},
    directory::{KEY_MAX_BYTES, VALUE_MAX_BYTES, Validator},
    error::Error,
};

type Directory = kad::Behaviour<MemoryStore>;

/// Questions of this process that may be under way.
const QUERIES_MAX: usize = 256;
/// Valid copies of a record after which a search ends: one stale holder must not decide alone.
const COPIES_ENOUGH: usize = 3;

/// The questions, and who waits for them.
pub(crate) struct Queries {
    validator: Arc<dyn Validator>,
    open: HashMap<QueryId, Query>,
}

enum Query {
    Bootstrap(Reply<()>),
    Publish(Reply<()>),
    Find { reply: Reply<Option<Vec<u8>>>, best: Option<Vec<u8>>, copies: usize },
}

impl Queries {
    pub(crate) fn new(validator: Arc<dyn Validator>) -> Self {
        Self { validator, open: HashMap::new() }
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
        if !self.validator.accepts(&key, &value) {
            return answer(reply, Err(Error::RecordRefused));
        }
        match directory.put_record(Record::new(key, value), Quorum::One) {
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

    /// Takes in what the directory tells.
    pub(crate) fn on_event(&mut self, directory: &mut Directory, event: kad::Event) {
        match event {
            kad::Event::OutboundQueryProgressed { id, result, step, .. } => {
                self.on_progress(directory, id, result, step.last);
            }
            kad::Event::InboundRequest {
                request: InboundRequest::PutRecord { record: Some(record), .. },
            } => {
                self.on_record(directory, record);
            }
            _ => {}
        }
    }

    fn on_progress(&mut self, directory: &mut Directory, id: QueryId, result: QueryResult, last: bool) {
        let found = match &result {
            QueryResult::GetRecord(Ok(GetRecordOk::FoundRecord(found))) => Some(&found.record),
            _ => None,
        };
        if let Some(record) = found
            && let Some(Query::Find { best, copies, .. }) = self.open.get_mut(&id)
            && self.validator.accepts(record.key.as_ref(), &record.value)
        {
            *copies += 1;
            if best.as_ref().is_none_or(|best| self.validator.supersedes(&record.value, best)) {
                *best = Some(record.value.clone());
            }
            if *copies >= COPIES_ENOUGH
                && let Some(mut query) = directory.query_mut(&id)
            {
                query.finish();
            }
        }
        if last && let Some(query) = self.open.remove(&id) {
            finish(query, result);
        }
    }

    /// A record of somebody else: kept only if the validator accepts it and it is newer than ours.
    fn on_record(&self, directory: &mut Directory, record: Record) {
        let fits = record.key.as_ref().len() <= KEY_MAX_BYTES && record.value.len() <= VALUE_MAX_BYTES;
        if !fits || !self.validator.accepts(record.key.as_ref(), &record.value) {
            tracing::debug!(bytes = record.value.len(), "refused a directory record");
            return;
        }
        let store = directory.store_mut();
        let newer = store.get(&record.key).is_none_or(|old| {
            old.value == record.value || self.validator.supersedes(&record.value, &old.value)
        });
        if newer && let Err(error) = store.put(record) {
            tracing::debug!(%error, "the directory holds as many records as it may");
        }
    }

    fn is_full(&self) -> bool {
        self.open.len() >= QUERIES_MAX
    }
}

const FULL: Error = Error::Busy { queue: "the list of directory queries" };

fn failed(what: &'static str, cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Directory { what, source: Error::shared(cause) }
}

/// The last word of the directory on a question.
fn finish(query: Query, result: QueryResult) {
    match query {
        Query::Bootstrap(reply) => {
            let joined = match result {
                QueryResult::Bootstrap(Err(cause)) => Err(failed("be joined", cause)),
                _ => Ok(()),
            };
            answer(reply, joined);
        }
        Query::Publish(reply) => {
            let kept = match result {
                QueryResult::PutRecord(Err(cause)) => Err(failed("keep the record", cause)),
                _ => Ok(()),
            };
            answer(reply, kept);
        }
        Query::Find { reply, best, .. } => {
            let found = match (best, result) {
                (None, QueryResult::GetRecord(Err(cause @ GetRecordError::Timeout { .. }))) => {
                    Err(failed("be searched", cause))
                }
                (best, _) => Ok(best),
            };
            answer(reply, found);
        }
    }
}
