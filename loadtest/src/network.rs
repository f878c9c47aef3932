//! A network on loopback, set up with the same commands an operator would type.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use serde_json::Value;

use crate::process::{Error, Process, command, command_json};

const BOOTSTRAP: &str = "cosmic-bootstrap";
const SUPERNODE: &str = "cosmic-supernode";
const NODE: &str = "cosmic-node";
/// Loopback on a free port, for every listener.
const LISTEN: [&str; 4] = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
/// How long the supernodes may take until each knows all others.
const RING_TIMEOUT: Duration = Duration::from_secs(30);

/// A bootstrap node and supernodes; nodes are started one by one.
#[derive(Debug)]
pub struct Network {
    directory: PathBuf,
    /// The first door.
    pub bootstrap: Option<Process>,
    /// The supernodes, one operator each; none where one was stopped or killed.
    pub supernodes: Vec<Option<Process>>,
    /// In which region each of them stands; beyond the end of the list all are in one.
    pub regions: Vec<String>,
    /// What supernodes and nodes that are started from now on find in their environment, besides what this process has.
    pub environment: Vec<(String, String)>,
}

impl Network {
    /// Starts a bootstrap node and `supernodes` supernodes of as many operators in `zones` zones below `directory`.
    ///
    /// # Errors
    /// [`Error`] if a command fails or a process does not get ready.
    pub async fn start(directory: &Path, supernodes: usize, zones: usize) -> Result<Self, Error> {
        Self::start_some(directory, supernodes, supernodes, zones).await
    }

    /// As many supernodes as `regions` names, each in a zone of its own, the first in the first region.
    ///
    /// # Errors
    /// [`Error`] if a command fails or a process does not get ready.
    pub async fn start_in(directory: &Path, regions: &[&str]) -> Result<Self, Error> {
        let count = regions.len();
        Self::set_up(directory, regions, (count, count, count)).await
    }

    /// The same, with operators for all of `supernodes`, of which the first `started` are in the ring; the others may
    /// [join](Self::join_supernode) later.
    ///
    /// # Errors
    /// [`Error`] if a command fails or a process does not get ready.
    pub async fn start_some(
        directory: &Path,
        supernodes: usize,
        started: usize,
        zones: usize,
    ) -> Result<Self, Error> {
        Self::set_up(directory, &[], (supernodes, started, zones)).await
    }

    async fn set_up(
        directory: &Path,
        regions: &[&str],
        (supernodes, started, zones): (usize, usize, usize),
    ) -> Result<Self, Error> {
        let mut network = Self::nothing_yet(directory, regions);
        let operators = network.create("allow-list", supernodes).await?;
        network.admit(&operators).await?;
        network.open_door().await?;
        for number in 0..started {
            network.sign_supernode(number, number, number % zones.max(1)).await?;
        }
        for number in 0..started {
            network.start_supernode(number).await?;
        }
        network.wait_for_ring(started).await?;
        Ok(network)
    }

    /// A vouched network: the operator of the first supernode is its root and vouches for those of the others that are `started`.
    ///
    /// # Errors
    /// [`Error`] if a command fails or a process does not get ready.
    pub async fn start_vouched(directory: &Path, supernodes: usize, started: usize) -> Result<Self, Error> {
        let mut network = Self::nothing_yet(directory, &[]);
        let operators = network.create("vouched", supernodes).await?;
        let (root, others) = operators.split_at(1);
        network.admit(root).await?;
        network.open_door().await?;
        network.join_supernode(0, 0).await?;
        let (first, key) = (network.path("supernode-0"), network.operator_key(0));
        let key = key.to_string_lossy();
        let mut vouch = vec!["operator", "vouch", "--data-dir", &first, "--key", &key];
        vouch.extend(others.iter().take(started.saturating_sub(1)).map(String::as_str));
        command(SUPERNODE, &vouch, None).await?;
        for number in 1..started {
            network.join_supernode(number, number).await?;
        }
        network.wait_for_ring(started).await?;
        Ok(network)
    }

    /// Makes the network and keys of operators for `supernodes` supernodes; the operators.
    async fn create(&mut self, admission: &str, supernodes: usize) -> Result<Vec<String>, Error> {
        let bootstrap = self.path("bootstrap");
        let create = ["network", "create", "--admission", admission, "--data-dir", &bootstrap];
        command(BOOTSTRAP, &create, None).await?;
        let mut operators = Vec::new();
        for number in 0..supernodes {
            let key = self.operator_key(number).to_string_lossy().into_owned();
            let made = command_json(SUPERNODE, &["operator", "create", "--key", &key, "--json"]).await?;
            operators.push(made.get("operator").and_then(Value::as_str).unwrap_or_default().to_owned());
        }
        self.supernodes.resize_with(supernodes, || None);
        Ok(operators)
    }

    async fn admit(&self, operators: &[String]) -> Result<(), Error> {
        let bootstrap = self.path("bootstrap");
        let mut admit = vec!["network", "admit", "--data-dir", &bootstrap];
        admit.extend(operators.iter().map(String::as_str));
        command(BOOTSTRAP, &admit, None).await.map(drop)
    }

    /// Starts a bootstrap node and the supernodes whose data directories lie below `directory` already.
    ///
    /// # Errors
    /// [`Error`] if a process does not get ready.
    pub async fn resume(directory: &Path, supernodes: usize) -> Result<Self, Error> {
        let mut network = Self::nothing_yet(directory, &[]);
        network.open_door().await?;
        network.supernodes.resize_with(supernodes, || None);
        for number in 0..supernodes {
            network.start_supernode(number).await?;
        }
        network.wait_for_ring(supernodes).await?;
        Ok(network)
    }

    fn nothing_yet(directory: &Path, regions: &[&str]) -> Self {
        Self {
            directory: directory.to_owned(),
            bootstrap: None,
            supernodes: Vec::new(),
            regions: regions.iter().map(|region| (*region).to_owned()).collect(),
            environment: Vec::new(),
        }
    }

    /// Starts the bootstrap node, and writes down where it is.
    async fn open_door(&mut self) -> Result<(), Error> {
        let bootstrap = self.path("bootstrap");
        self.bootstrap = Some(Process::start(BOOTSTRAP, Path::new(&bootstrap), &LISTEN).await?);
        let shown =
            command(BOOTSTRAP, &["network", "show", "--data-dir", &bootstrap, "--json"], None).await?;
        fs::write(self.network_file(), shown)
            .map_err(|source| Error::Io { what: "cannot write network.json".to_owned(), source })
    }

    /// Lets supernode `number` join the ring.
    ///
    /// # Errors
    /// [`Error`] if a command fails or it does not get ready.
    pub async fn join_supernode(&mut self, number: usize, zone: usize) -> Result<(), Error> {
        self.sign_supernode(number, number, zone).await?;
        self.start_supernode(number).await
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).to_string_lossy().into_owned()
    }

    /// What joiners need: the network's id and its bootstrap nodes.
    #[must_use]
    pub fn network_file(&self) -> PathBuf {
        self.directory.join("network.json")
    }

    /// The data directory of supernode `number`.
    #[must_use]
    pub fn supernode_directory(&self, number: usize) -> PathBuf {
        self.directory.join(format!("supernode-{number}"))
    }

    /// The key of operator `number`.
    #[must_use]
    pub fn operator_key(&self, number: usize) -> PathBuf {
        self.directory.join(format!("operator-{number}.key"))
    }

    async fn sign_supernode(&self, number: usize, operator: usize, zone: usize) -> Result<(), Error> {
        let directory = self.path(&format!("supernode-{number}"));
        let network = self.network_file().to_string_lossy().into_owned();
        command(SUPERNODE, &["init", "--data-dir", &directory, "--network", &network], None).await?;
        let key = self.operator_key(operator).to_string_lossy().into_owned();
        let zone = format!("zone-{zone}");
        let sign = [
            "operator",
            "sign",
            "--key",
            &key,
            "--data-dir",
            &directory,
            "--zone",
            &zone,
            "--region",
            self.regions.get(number).map_or("local", String::as_str),
        ];
        command(SUPERNODE, &sign, None).await?;
        Ok(())
    }

    /// Starts supernode `number`, for the first time or again.
    ///
    /// # Errors
    /// [`Error`] if it does not get ready.
    pub async fn start_supernode(&mut self, number: usize) -> Result<(), Error> {
        let process = self.launch_supernode(number).await?;
        if let Some(place) = self.supernodes.get_mut(number) {
            *place = Some(process);
        }
        Ok(())
    }

    /// The process of supernode `number`, started; to be put in its place by the caller, who may start several at once.
    ///
    /// # Errors
    /// [`Error`] if it does not get ready.
    pub async fn launch_supernode(&self, number: usize) -> Result<Process, Error> {
        self.launch(SUPERNODE, &self.supernode_directory(number), &[]).await
    }

    /// Adds a new machine of `operator`, one of those that were admitted at the start; its number.
    ///
    /// # Errors
    /// [`Error`] if it does not get ready.
    pub async fn add_supernode(&mut self, operator: usize, zone: usize) -> Result<usize, Error> {
        let number = self.supernodes.len();
        self.sign_supernode(number, operator, zone).await?;
        self.supernodes.push(None);
        self.start_supernode(number).await?;
        Ok(number)
    }

    async fn launch(&self, name: &str, directory: &Path, more: &[&str]) -> Result<Process, Error> {
        let network = self.network_file().to_string_lossy().into_owned();
        let mut arguments = vec!["--network", network.as_str()];
        arguments.extend(LISTEN);
        arguments.extend(more);
        Process::start_in(name, directory, &arguments, &self.environment).await
    }

    /// Starts a node named `name`, for the first time or again.
    ///
    /// # Errors
    /// [`Error`] if it does not get ready.
    pub async fn start_node(&self, name: &str, more: &[&str]) -> Result<Process, Error> {
        self.launch(NODE, &self.directory.join(name), more).await
    }

    /// Waits until every running supernode sees a ring of `members`.
    ///
    /// # Errors
    /// [`Error::TooSlow`] if one does not.
    pub async fn wait_for_ring(&self, members: usize) -> Result<(), Error> {
        for supernode in self.supernodes.iter().flatten() {
            let waited = tokio::time::timeout(RING_TIMEOUT, async {
                while ring_members(supernode).await != Some(members as u64) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
            });
            waited.await.map_err(|_elapsed| Error::TooSlow {
                name: supernode.directory().display().to_string(),
                what: "in the ring with all others",
                seconds: RING_TIMEOUT.as_secs(),
                output: supernode.log_tail(),
            })?;
        }
        Ok(())
    }

    /// Kills supernode `number` with SIGKILL.
    ///
    /// # Errors
    /// [`Error`] if the operating system refuses.
    pub async fn kill_supernode(&mut self, number: usize) -> Result<(), Error> {
        match self.supernodes.get_mut(number).and_then(Option::take) {
            Some(process) => process.kill().await,
            None => Ok(()),
        }
    }

    /// Every process that runs, for measuring.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.bootstrap.iter().chain(self.supernodes.iter().flatten())
    }

    /// Stops everything in the reverse order.
    ///
    /// # Errors
    /// [`Error`] if one does not stop in time.
    pub async fn stop(self) -> Result<(), Error> {
        for supernode in self.supernodes.into_iter().flatten() {
            supernode.stop().await?;
        }
        if let Some(bootstrap) = self.bootstrap {
            bootstrap.stop().await?;
        }
        Ok(())
    }
}

/// The `/status` page of a supernode or bootstrap node.
pub async fn status(process: &Process) -> Option<Value> {
    let run = process.run();
    let request = reqwest::Client::new().get(format!("http://{}/status", run.http));
    let request = match &run.token {
        Some(token) => request.bearer_auth(token),
        None => request,
    };
    let body = request.send().await.ok()?.text().await.ok()?;
    serde_json::from_str(&body).ok()
}

async fn ring_members(process: &Process) -> Option<u64> {
    status(process).await?.get("ring")?.get("members")?.as_u64()
}
