//! Devices that write and read while processes die around them, and what was acknowledged to them.
//!
//! Each lane works on documents and files of its own, so what it knows of them is exact: a document shows the version that was
//! acknowledged last, or one that was tried since; a file shows the bytes it was stored with.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use cosmic_loadtest::api::{App, Error};
use rand::{Rng as _, RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};
use tokio::sync::{Semaphore, watch};

use super::{look::is_at_least, notes};

/// Documents each lane writes, again and again.
const DOCUMENTS: usize = 16;
/// How long a write may take until two of three replicas have signed, some of them dead: its gateway may have died without
/// a word, which takes some seconds to notice.
const REPLICATED_WITHIN: Duration = Duration::from_secs(20);
/// Files of up to this size; the smaller ones travel inside entries, the larger ones in shards.
const FILE_MAX_BYTES: u64 = 512 * 1024;

/// What a lane does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lane {
    /// Documents, safe on their device.
    Local,
    /// Documents, each waited for until replicas have signed.
    Replicated,
    /// Files, and reading those of everybody.
    Files,
}

/// The lanes of each device.
pub(super) const LANES: [Lane; 4] = [Lane::Local, Lane::Local, Lane::Replicated, Lane::Files];

/// Of one document: the last version that was acknowledged, that replicas signed for, that was tried.
#[derive(Debug, Clone, Copy, Default)]
struct Versions {
    acknowledged: u64,
    replicated: u64,
    tried: u64,
}

/// What all lanes know.
#[derive(Debug, Default)]
struct Known {
    documents: BTreeMap<String, Versions>,
    /// The seed and length of each file that was acknowledged, and by which device.
    files: BTreeMap<String, (usize, u64, u64)>,
    /// The last version of a document that a device showed.
    seen: BTreeMap<(usize, String), u64>,
    replicated: usize,
    acknowledged: usize,
    failed: usize,
}

/// The work of some devices in one space.
#[derive(Debug)]
pub(super) struct Load {
    space: String,
    /// The way to each device; nothing while it is dead.
    apps: Vec<watch::Sender<Option<App>>>,
    known: Mutex<Known>,
    work: Semaphore,
}

fn value(id: &str, version: u64) -> Value {
    json!({ "version": version, "text": format!("this is {id} as of {version}") })
}

fn content(seed: u64, length: u64) -> Vec<u8> {
    let mut bytes = vec![0; usize::try_from(length).unwrap()];
    ChaCha20Rng::seed_from_u64(seed).fill_bytes(&mut bytes);
    bytes
}

/// The version that a document shows; it is nothing else than one that was written.
fn version(id: &str, shown: &Value) -> u64 {
    let version = shown["value"]["version"].as_u64().unwrap_or_default();
    assert_eq!(shown["value"], value(id, version), "{id} shows what nobody wrote");
    version
}

/// A device that died, or supernodes that did, are an excuse; everything else is not.
fn excuse(error: &Error) {
    match error {
        Error::Http { .. } => {}
        Error::Refused { body, .. } if body.contains("not-safe-yet") || body.contains("unreachable") => {}
        other => panic!("{other}"),
    }
}

impl Load {
    /// Nothing to do yet, for `apps` on `space`.
    pub(super) fn new(space: String, apps: impl IntoIterator<Item = App>) -> Self {
        let apps = apps.into_iter().map(|app| watch::Sender::new(Some(app))).collect();
        Self { space, apps, known: Mutex::default(), work: Semaphore::new(0) }
    }

    /// The space.
    pub(super) fn space(&self) -> &str {
        &self.space
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap()
    }

    /// The device is dead, or lives again.
    pub(super) fn set_app(&self, device: usize, app: Option<App>) {
        self.apps[device].send_replace(app);
    }

    /// Lets all lanes together do `pieces` more.
    pub(super) fn allow(&self, pieces: usize) {
        self.work.add_permits(pieces);
    }

    /// Whether all that was allowed has been begun.
    pub(super) fn is_begun(&self) -> bool {
        self.work.available_permits() == 0
    }

    /// All lanes end.
    pub(super) fn end(&self) {
        self.work.close();
    }

    /// What was done, for people.
    pub(super) fn told(&self) -> String {
        let known = self.known();
        let (done, replicated, failed, files) =
            (known.acknowledged, known.replicated, known.failed, known.files.len());
        assert!(replicated > 0 && files > 0, "some of it must have been safe: {replicated}, {files}");
        format!(
            "{done} writes acknowledged, {replicated} of them as replicated, {files} files, {failed} cut off"
        )
    }

    /// Works until the end.
    pub(super) async fn work(&self, device: usize, lane: usize, mut random: ChaCha20Rng) {
        let mut files = 0;
        while let Ok(permit) = self.work.acquire().await {
            permit.forget();
            let mut living = self.apps[device].subscribe();
            let app = living.wait_for(Option::is_some).await.unwrap().clone().unwrap();
            let name = format!("{device}-{lane}-{}", random.random_range(0..DOCUMENTS));
            let done = match LANES[lane] {
                Lane::Files if random.random_bool(0.5) => {
                    files += 1;
                    self.store(&app, device, &format!("file-{device}-{files}"), &mut random).await
                }
                Lane::Files => self.read_something(&app, device, &mut random).await,
                _ if random.random_bool(0.3) => self.read(&app, device, &name).await,
                kind => self.write(&app, &name, kind).await,
            };
            if let Err(error) = done {
                self.known().failed += 1;
                excuse(&error);
            }
        }
    }

    async fn write(&self, app: &App, id: &str, lane: Lane) -> Result<(), Error> {
        let version = {
            let mut known = self.known();
            let document = known.documents.entry(id.to_owned()).or_default();
            document.tried += 1;
            document.tried
        };
        let wait = match lane {
            Lane::Replicated => format!("?wait=replicated&timeout_ms={}", REPLICATED_WITHIN.as_millis()),
            Lane::Local | Lane::Files => String::new(),
        };
        app.put(&format!("{}{wait}", notes::path(&self.space, id)), &value(id, version)).await?;
        let mut known = self.known();
        known.acknowledged += 1;
        known.replicated += usize::from(lane == Lane::Replicated);
        let document = known.documents.entry(id.to_owned()).or_default();
        document.acknowledged = version;
        if lane == Lane::Replicated {
            document.replicated = version;
        }
        Ok(())
    }

    /// Reads a document of this lane on its own device.
    async fn read(&self, app: &App, device: usize, id: &str) -> Result<(), Error> {
        let versions = self.known().documents.get(id).copied().unwrap_or_default();
        if versions.acknowledged == 0 {
            return Ok(());
        }
        let shown = version(id, &app.get(&notes::path(&self.space, id)).await?);
        let Versions { acknowledged, tried, .. } = versions;
        assert!((acknowledged..=tried).contains(&shown), "{id} shows {shown}: {acknowledged} to {tried}");
        self.known().seen.insert((device, id.to_owned()), shown);
        Ok(())
    }

    async fn store(
        &self,
        app: &App,
        device: usize,
        name: &str,
        random: &mut ChaCha20Rng,
    ) -> Result<(), Error> {
        let (seed, length) = (random.next_u64(), random.random_range(0..FILE_MAX_BYTES));
        app.upload(&self.space, name, content(seed, length)).await?;
        let mut known = self.known();
        known.acknowledged += 1;
        known.files.insert(name.to_owned(), (device, seed, length));
        Ok(())
    }

    /// Reads a document or file of any device on this one.
    async fn read_something(&self, app: &App, device: usize, random: &mut ChaCha20Rng) -> Result<(), Error> {
        let (file, document) = {
            let known = self.known();
            let file = known.files.iter().nth(random.random_range(0..known.files.len().max(1)));
            let document = known.documents.keys().nth(random.random_range(0..known.documents.len().max(1)));
            (file.map(|(name, file)| (name.clone(), *file)), document.cloned())
        };
        if let Some(id) = document {
            match app.get(&notes::path(&self.space, &id)).await {
                Ok(answer) => self.saw(device, &id, version(&id, &answer)),
                Err(Error::Refused { status: 404, .. }) => self.saw(device, &id, 0),
                Err(error) => return Err(error),
            }
        }
        let Some((name, (owner, seed, length))) = file else { return Ok(()) };
        let answer = match app.download(&self.space, &name).await {
            Err(Error::Refused { status: 404, .. }) if owner != device => return Ok(()),
            answer => answer?,
        };
        // An answer that breaks off is none; one that ends is the file.
        if let Ok(bytes) = answer.bytes().await {
            assert!(bytes == content(seed, length), "{name} is not what was stored");
        }
        Ok(())
    }

    /// What a device showed it goes on showing, or something later that was tried.
    fn saw(&self, device: usize, id: &str, version: u64) {
        let mut known = self.known();
        let tried = known.documents.get(id).map_or(0, |document| document.tried);
        let before = known.seen.insert((device, id.to_owned()), version).unwrap_or_default();
        assert!(
            (before..=tried).contains(&version),
            "{id} on {device}: {version} after {before}, {tried} tried"
        );
    }

    /// The documents of `device` as it shows them now, each no older than was acknowledged.
    pub(super) async fn documents(&self, device: usize, app: &App) -> Vec<(String, u64)> {
        let prefix = format!("{device}-");
        let known: Vec<_> = (self.known().documents.iter())
            .filter(|(id, versions)| id.starts_with(&prefix) && versions.acknowledged > 0)
            .map(|(id, versions)| (id.clone(), *versions))
            .collect();
        let mut shown = Vec::new();
        for (id, Versions { acknowledged, replicated, tried }) in known {
            let answer = app.get(&notes::path(&self.space, &id)).await.unwrap();
            let version = version(&id, &answer);
            assert!((acknowledged.max(replicated)..=tried).contains(&version), "{id} shows {version}");
            shown.push((id, version));
        }
        shown
    }

    /// Waits until replicas signed for every document and file of `device`.
    pub(super) async fn wait_until_safe(&self, device: usize, app: &App, ids: &[(String, u64)]) {
        for (id, _) in ids {
            let path = format!("{}/durability", notes::path(&self.space, id));
            let replicated = |answer: &Value| is_at_least(answer, "replicated");
            app.wait_until(&path, "replicated", notes::PATIENCE, replicated).await.unwrap();
        }
        let files: Vec<_> = (self.known().files.iter())
            .filter(|(_, (owner, ..))| *owner == device)
            .map(|(name, _)| name.clone())
            .collect();
        for name in files {
            let path = format!("spaces/{}/files/{name}/durability", self.space);
            // Its chunks are where they belong; that its entry lies in a pack is not waited for.
            let durable = |answer: &Value| {
                is_at_least(answer, "replicated") && answer["bytes_durable"] == answer["bytes"]
            };
            app.wait_until(&path, "every chunk durable", notes::PATIENCE, durable).await.unwrap();
        }
    }

    /// Waits until `app` shows each of `documents` as it is, and reads every file byte for byte.
    pub(super) async fn read_all(&self, app: &App, documents: &[(String, u64)]) {
        for (id, version) in documents {
            let wanted = value(id, *version);
            let same = |answer: &Value| answer.get("value") == Some(&wanted);
            let path = notes::path(&self.space, id);
            app.wait_until(&path, "the document as it was last", notes::PATIENCE, same).await.unwrap();
        }
        let files = self.known().files.clone();
        let listed = |answer: &Value| {
            let listed = answer.get("files").and_then(Value::as_array);
            let names: Vec<_> =
                listed.into_iter().flatten().filter_map(|file| file["name"].as_str()).collect();
            files.keys().all(|name| names.contains(&name.as_str()))
        };
        let path = format!("spaces/{}/files", self.space);
        app.wait_until(&path, "every file", notes::PATIENCE, listed).await.unwrap();
        for (name, (_, seed, length)) in &files {
            let read = app.download(&self.space, name).await.unwrap().bytes().await.unwrap();
            assert!(read == content(*seed, *length), "{name} is not what was stored");
        }
    }
}
