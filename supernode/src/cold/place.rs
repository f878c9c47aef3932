//! The hands of the cold tier: an object store, asked for one thing at a time, each with a bound to how long it may take.

use std::{fmt, sync::Arc, time::Duration};

use bytes::Bytes;
use cosmic_common::id::PeerId;
use cosmic_runtime::{clock::Clock, exit::sentence};
use futures::{Stream, StreamExt as _};
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, ObjectStoreExt as _, PutPayload, RetryConfig,
    aws::AmazonS3Builder,
};
use prometheus_client::metrics::gauge::Gauge;

use super::{
    Config, Error,
    credentials::Credentials,
    names::{Folder, Name},
    reach::{Away, Reach},
};

/// How long a read may take: less than whoever asked for the shard waits for it.
const READ_PATIENCE: Duration = Duration::from_secs(8);
/// How long a write may take: the largest shard at half a megabit.
const WRITE_PATIENCE: Duration = Duration::from_secs(60);
/// How long reaching the store may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(3);
/// A request that failed is tried again at once, twice; what is not there then is not there.
const RETRIES: usize = 2;
const RETRY_PAUSE: Duration = Duration::from_millis(50);
const RETRY_PAUSE_MAX: Duration = Duration::from_millis(500);

/// A store, and the part of it that belongs to this supernode.
#[derive(Clone)]
pub struct Place(Arc<Inner>);

struct Inner {
    store: Arc<dyn ObjectStore>,
    prefix: String,
    peer: PeerId,
    clock: Clock,
    reach: Reach,
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Place").field("prefix", &self.0.prefix).finish_non_exhaustive()
    }
}

impl Place {
    /// `store` below `prefix`. `away` is 1 while it does not answer.
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        prefix: &str,
        peer: PeerId,
        clock: Clock,
        away: Gauge,
    ) -> Self {
        let reach = Reach::new(clock.clone(), away);
        Self(Arc::new(Inner { store, prefix: prefix.to_owned(), peer, clock, reach }))
    }

    /// The store that `config` names; none if it names none. Reads the credentials. Blocks.
    pub(super) fn open(
        config: &Config,
        peer: PeerId,
        clock: Clock,
        away: Gauge,
    ) -> Result<Option<Self>, Error> {
        let (Some(endpoint), Some(bucket)) = (&config.endpoint, &config.bucket) else { return Ok(None) };
        let Credentials { access_key_id, secret_access_key, session_token } =
            Credentials::find(config.credentials_file.as_deref())?;
        let plain = config.is_plain();
        let client = ClientOptions::new()
            .with_allow_http(plain)
            // Without TLS nobody's certificate matters, and a machine without any can still be used.
            .with_no_system_certificates(plain)
            .with_timeout(WRITE_PATIENCE)
            .with_connect_timeout(CONNECT_PATIENCE);
        let retry = RetryConfig {
            backoff: BackoffConfig { init_backoff: RETRY_PAUSE, max_backoff: RETRY_PAUSE_MAX, base: 2.0 },
            max_retries: RETRIES,
            retry_timeout: READ_PATIENCE,
        };
        let mut builder = AmazonS3Builder::new()
            .with_client_options(client)
            .with_retry(retry)
            .with_endpoint(endpoint)
            .with_bucket_name(bucket)
            .with_region(&config.region)
            .with_access_key_id(access_key_id)
            .with_secret_access_key(secret_access_key)
            // One object a request: not every store has the other way.
            .with_disable_bulk_delete(true);
        if let Some(token) = session_token {
            builder = builder.with_token(token);
        }
        let store = builder.build().map_err(|source| Error::Unusable { source: Box::new(source) })?;
        Ok(Some(Self::new(Arc::new(store), &config.prefix, peer, clock, away)))
    }

    /// The folder of the beginning `number`.
    pub(super) fn folder(&self, number: u64) -> Folder {
        Folder::new(&self.0.prefix, &self.0.peer, number)
    }

    /// What is known of a store that does not answer.
    pub(super) fn away(&self) -> Option<Away> {
        self.0.reach.away()
    }

    /// Leaves the marker in `folder`.
    pub(super) async fn mark(&self, folder: &Folder) -> Result<(), Error> {
        let (marker, words) = (folder.marker(), PutPayload::from_static(b"cosmic cold tier, version 1\n"));
        self.written(self.ask(WRITE_PATIENCE, self.0.store.put(&marker, words)).await?)
    }

    /// Whether the marker is in `folder`: what is missing there is really missing.
    pub(super) async fn is_marked(&self, folder: &Folder) -> Result<bool, Error> {
        let marker = folder.marker();
        Ok(self.ask(READ_PATIENCE, self.0.store.head(&marker)).await?.is_some())
    }

    /// Writes `bytes`.
    pub(super) async fn put(&self, folder: &Folder, name: &Name, bytes: Bytes) -> Result<(), Error> {
        let path = folder.path(name);
        self.written(self.ask(WRITE_PATIENCE, self.0.store.put(&path, bytes.into())).await?)
    }

    /// A store that has nothing to write to has no bucket of that name.
    fn written<T>(&self, answer: Option<T>) -> Result<(), Error> {
        answer.map(drop).ok_or_else(|| self.0.reach.failed("the bucket is not there".to_owned()))
    }

    /// The bytes, if they are there and as many as `length`.
    pub(super) async fn get(&self, folder: &Folder, name: &Name, length: u64) -> Result<Bytes, Error> {
        let path = folder.path(name);
        let reading = async {
            let found = self.0.store.get(&path).await?;
            // What is too long is not taken into memory.
            if found.meta.size == length { Ok(Some(found.bytes().await?)) } else { Ok(None) }
        };
        self.ask(READ_PATIENCE, reading).await?.ok_or(Error::Missing)?.ok_or(Error::Wrong)
    }

    /// How many bytes are there; none if nothing is.
    pub(super) async fn length(&self, folder: &Folder, name: &Name) -> Result<Option<u64>, Error> {
        let path = folder.path(name);
        Ok(self.ask(READ_PATIENCE, self.0.store.head(&path)).await?.map(|about| about.size))
    }

    /// Deletes what is there; done if nothing is.
    pub(super) async fn delete(&self, folder: &Folder, name: &Name) -> Result<(), Error> {
        let path = folder.path(name);
        self.ask(READ_PATIENCE, self.0.store.delete(&path)).await.map(drop)
    }

    /// Everything in `folder` that is a shard.
    pub(super) fn names(&self, folder: &Folder) -> impl Stream<Item = Result<Name, Error>> + Send {
        let (folder, reach) = (folder.clone(), Arc::clone(&self.0));
        self.0.store.list(Some(&folder.shards())).filter_map(move |found| {
            let named = match found {
                Ok(about) => folder.name(&about.location).map(Ok),
                Err(error) => Some(Err(reach.reach.failed(sentence(&error)))),
            };
            std::future::ready(named)
        })
    }

    /// What the store answers; none if it says that nothing is there.
    async fn ask<T>(
        &self,
        patience: Duration,
        asking: impl Future<Output = object_store::Result<T>>,
    ) -> Result<Option<T>, Error> {
        let reach = &self.0.reach;
        reach.may_ask()?;
        match self.0.clock.timeout(patience, asking).await {
            Some(Ok(answer)) => {
                reach.answered();
                Ok(Some(answer))
            }
            Some(Err(object_store::Error::NotFound { .. })) => {
                reach.answered();
                Ok(None)
            }
            Some(Err(error)) => Err(reach.failed(sentence(&error))),
            None => Err(reach.failed(format!("no answer within {} s", patience.as_secs()))),
        }
    }
}
