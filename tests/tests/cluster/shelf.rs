//! A space with documents and files in it, and devices that never met its writer and must find all of it.

use cosmic_loadtest::{
    api::{App, Error},
    network::Network,
};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde_json::{Value, json};

use super::{
    look::is_at_least,
    notes::{self, PATIENCE},
};

/// One chunk and a bit, so that files have two objects.
const FILE_BYTES: usize = 4 * 1024 * 1024 + 4097;

/// What was written and must be read.
pub(super) struct Shelf {
    pub(super) space: String,
    ticket: String,
    documents: Vec<String>,
    files: Vec<(String, Vec<u8>)>,
    fresh: usize,
}

impl Shelf {
    /// An empty one, whose ticket the supernodes know.
    pub(super) async fn new(app: &App, name: &str) -> Self {
        let space = app.create_space(name).await.unwrap();
        Self::of(app, space).await
    }

    /// The same in a space that is there already.
    pub(super) async fn of(app: &App, space: String) -> Self {
        let ticket = app.invite(&space, "viewer").await.unwrap();
        let mut shelf = Self { space, ticket, documents: Vec::new(), files: Vec::new(), fresh: 0 };
        shelf.write(app, "first").await.unwrap();
        shelf
    }

    /// Writes a document; done once two of three replicas signed for it.
    pub(super) async fn write(&mut self, app: &App, id: &str) -> Result<(), Error> {
        notes::write_replicated(app, &self.space, id, PATIENCE).await?;
        self.documents.push(id.to_owned());
        Ok(())
    }

    /// Writes a document; done once a gateway took it.
    pub(super) async fn write_accepted(&mut self, app: &App, id: &str) {
        notes::write(app, &self.space, id).await.unwrap();
        self.documents.push(id.to_owned());
        let path = format!("{}/durability", notes::path(&self.space, id));
        let accepted = |answer: &Value| is_at_least(answer, "accepted");
        app.wait_until(&path, "accepted", PATIENCE, accepted).await.unwrap();
    }

    /// Stores a file; done once this device has it.
    pub(super) async fn store(&mut self, app: &App, name: &str) {
        let mut content = vec![0; FILE_BYTES];
        ChaCha20Rng::seed_from_u64(self.files.len() as u64).fill_bytes(&mut content);
        app.upload(&self.space, name, content.clone()).await.unwrap();
        self.files.push((name.to_owned(), content));
    }

    /// Waits until the file `name` has `level`, and survives as many losses.
    pub(super) async fn wait_until(&self, app: &App, name: &str, level: &'static str, survives: Option<u64>) {
        let path = format!("spaces/{}/files/{name}/durability", self.space);
        let safe = |answer: &Value| {
            answer["level"] == level
                && survives.is_none_or(|least| answer["survives"].as_u64() >= Some(least))
        };
        app.wait_until(&path, level, PATIENCE, safe).await.unwrap();
    }

    /// Waits until every file is as safe as it can be among six.
    pub(super) async fn wait_until_safe(&self, app: &App) {
        for (name, _) in &self.files {
            self.wait_until(app, name, "durable", Some(3)).await;
        }
    }

    /// Lets a device that is new read everything, with only the supernodes to ask; `writer` is offline meanwhile.
    pub(super) async fn read_afresh(&mut self, network: &Network, writer: &App) {
        writer.put("network", &json!({ "online": false })).await.unwrap();
        self.fresh += 1;
        let reader = network.start_node(&format!("fresh-{}", self.fresh), &[]).await.unwrap();
        let app = App::new(&reader);
        app.join(&self.ticket).await.unwrap();
        self.read(&app).await;
        reader.stop().await.unwrap();
        writer.put("network", &json!({ "online": true })).await.unwrap();
    }

    /// Waits until `app` shows every document, and reads every file byte for byte.
    pub(super) async fn read(&self, app: &App) {
        notes::wait_for(app, &self.space, &self.documents).await;
        let listed =
            |answer: &Value| answer["files"].as_array().is_some_and(|all| all.len() >= self.files.len());
        app.wait_until(&format!("spaces/{}/files", self.space), "the files", PATIENCE, listed).await.unwrap();
        for (name, content) in &self.files {
            let read = app.download(&self.space, name).await.unwrap().bytes().await.unwrap();
            assert!(read == content, "{name} is read as it was stored, byte for byte");
        }
    }
}
