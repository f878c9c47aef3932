//! Kademlia's questions that are under way, and who waits for them.

use std::collections::HashMap;

use libp2p::kad::{self, QueryId, QueryResult};

use crate::{
    command::{Reply, answer},
    directory::{
        metrics::{Asked, Metrics},
        store::Store,
    },
    error::Error,
};

/// Questions of this process that may be under way.
const QUERIES_MAX: usize = 256;

/// The questions: all of them ask for the peers near this one, and by it for those of every bucket.
pub(crate) struct Queries {
    metrics: Metrics,
    open: HashMap<QueryId, Reply<()>>,
}

impl Queries {
    pub(crate) fn new(metrics: Metrics) -> Self {
        Self { metrics, open: HashMap::new() }
    }

    pub(crate) fn bootstrap(&mut self, directory: &mut kad::Behaviour<Store>, reply: Reply<()>) {
        if self.open.len() >= QUERIES_MAX {
            return answer(reply, Err(Error::Busy { queue: "the list of directory queries" }));
        }
        match directory.bootstrap() {
            Ok(id) => drop(self.open.insert(id, reply)),
            Err(cause) => answer(reply, Err(failed(cause))),
        }
    }

    /// The last word of the directory on a question.
    pub(crate) fn on_end(&mut self, id: QueryId, result: QueryResult) {
        let Some(reply) = self.open.remove(&id) else { return };
        let joined = match result {
            QueryResult::Bootstrap(Err(cause)) => Err(failed(cause)),
            _ => Ok(()),
        };
        self.metrics.asked(Asked::Join, joined.is_ok());
        answer(reply, joined);
    }
}

fn failed(cause: impl std::error::Error + Send + Sync + 'static) -> Error {
    Error::Directory { what: "be joined", source: Error::shared(cause) }
}
