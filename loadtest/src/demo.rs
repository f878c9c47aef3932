//! The demo: two devices share sealed documents and a file through supernodes that cannot read them, while
//! half of the supernodes die.

use std::{
    fs::File,
    io::{self, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha20Rng;
use serde_json::{Map, Value, json};

use crate::{
    api::{self, App},
    canary::Canaries,
    network::Network,
    process::{self, Process},
};

const SUPERNODES: usize = 6;
const ZONES: usize = 3;
const DOCUMENTS: usize = 1000;
/// Documents that both devices edit while apart.
const EDITED: usize = 50;
const DEFAULT_FILE_BYTES: u64 = 64 * 1024 * 1024;
/// Documents one request carries.
const BATCH: usize = 200;
/// How long anything may take before the demo gives up.
const PATIENCE: Duration = Duration::from_secs(60);
const COLLECTION: &str = "notes";
const FILE: &str = "demo.bin";

/// What the demo is asked to do.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The file to share; 64 MiB of random bytes if none is given.
    pub file: Option<PathBuf>,
    /// Where to write the figures.
    pub json: Option<PathBuf>,
    /// Keep the directory for looking around.
    pub keep: bool,
}

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A process or command.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// A request.
    #[error(transparent)]
    Api(#[from] api::Error),
    /// A file of the demo itself.
    #[error("{0}")]
    Io(&'static str, #[source] io::Error),
    /// A promise was not kept.
    #[error("{0}")]
    Broken(String),
}

/// Steps with their times, printed as they happen.
struct Steps {
    start: Instant,
    last: Instant,
    figures: Map<String, Value>,
}

impl Steps {
    #[expect(clippy::disallowed_methods, reason = "the demo measures real time")]
    fn new() -> Self {
        let now = Instant::now();
        Self { start: now, last: now, figures: Map::new() }
    }

    #[expect(clippy::print_stdout, reason = "the demo speaks to the person who started it")]
    #[expect(clippy::disallowed_methods, reason = "the demo measures real time")]
    fn done(&mut self, name: &str, text: &str) {
        let now = Instant::now();
        let (step, total) = (now - self.last, now - self.start);
        println!("{:7.2} s  {:6.2} s  {text}", total.as_secs_f64(), step.as_secs_f64());
        self.figures.insert(format!("{name}_s"), json!(step.as_secs_f64()));
        self.last = now;
    }
}

/// Runs the demo; its last line is `demo: ok`, or the error that it returns.
///
/// # Errors
/// [`Error`] that says which promise was not kept.
#[expect(clippy::print_stdout, reason = "the demo speaks to the person who started it")]
pub async fn run(options: &Options) -> Result<(), Error> {
    let directory = tempfile::Builder::new()
        .prefix("cosmic-demo-")
        .tempdir()
        .map_err(|source| Error::Io("cannot create a temporary directory", source))?;
    println!("  total     step   in {}", directory.path().display());
    let mut steps = Steps::new();
    let result = play(directory.path(), options, &mut steps).await;
    if options.keep || result.is_err() {
        println!("kept for looking around: {}", directory.keep().display());
    }
    result?;
    steps.figures.insert("total_s".to_owned(), json!(steps.start.elapsed().as_secs_f64()));
    if let Some(path) = &options.json {
        let text = format!("{:#}\n", Value::Object(steps.figures));
        std::fs::write(path, text).map_err(|source| Error::Io("cannot write the figures", source))?;
    }
    println!("demo: ok");
    Ok(())
}

async fn play(directory: &Path, options: &Options, steps: &mut Steps) -> Result<(), Error> {
    let canaries = Canaries::new(u64::from(std::process::id()), 4);
    let (file, canary_file) = files(directory, options, &canaries)?;
    let mut network = Network::start(directory, SUPERNODES, ZONES).await?;
    let a = network.start_node("device-a", &[]).await?;
    steps.done("start", "1 bootstrap node, 6 supernodes (6 operators, 3 zones) and device A are ready");

    let space = write_everything(&App::new(&a), &file, &canary_file, &canaries, steps).await?;
    let ticket = App::new(&a).invite(&space, "editor").await?;
    a.stop().await?;
    let b = network.start_node("device-b", &[]).await?;
    let app_b = App::new(&b);
    if app_b.join(&ticket).await? != space {
        return Err(Error::Broken("device B joined another space than device A invited it to".to_owned()));
    }
    wait_for_documents(&app_b, &space, DOCUMENTS).await?;
    steps.done("join", "device A stopped; device B joined by ticket and has all documents");

    let a = edit_apart(&network, &app_b, &space, steps).await?;
    kill_half(&mut network, &app_b, &space, steps).await?;
    read_back(&app_b, &space, &file, steps).await?;
    late_device(&network, &App::new(&a), &app_b, &space, steps).await?;

    let places = Places { directory, a: &a, space: &space };
    search(&network, &canaries, &places, steps).await?;
    a.stop().await?;
    b.stop().await?;
    network.stop().await?;
    steps.done("stop", "everything stopped in order");
    Ok(())
}

/// The file to share, and a small one that holds canaries.
fn files(directory: &Path, options: &Options, canaries: &Canaries) -> Result<(PathBuf, PathBuf), Error> {
    let canary_file = directory.join("canaries.txt");
    std::fs::write(&canary_file, canaries.texts().concat())
        .map_err(|source| Error::Io("cannot write the canaries", source))?;
    if let Some(file) = &options.file {
        return Ok((file.clone(), canary_file));
    }
    let path = directory.join(FILE);
    random_file(&path, DEFAULT_FILE_BYTES, u64::from(std::process::id()))?;
    Ok((path, canary_file))
}

/// Writes `bytes` pseudo-random bytes that follow from `seed`.
///
/// # Errors
/// [`Error::Io`] if the file cannot be written.
pub fn random_file(path: &Path, bytes: u64, seed: u64) -> Result<(), Error> {
    let failed = |source| Error::Io("cannot write the random file", source);
    let mut random = ChaCha20Rng::seed_from_u64(seed);
    let mut file = File::create(path).map_err(failed)?;
    let mut block = vec![0; 1024 * 1024];
    let mut left = bytes;
    while left > 0 {
        random.fill_bytes(&mut block);
        let part = usize::try_from(left).map_or(block.len(), |left| left.min(block.len()));
        file.write_all(block.get(..part).unwrap_or(&block)).map_err(failed)?;
        left -= part as u64;
    }
    Ok(())
}

/// Hash of a whole file.
fn hash_file(path: &Path) -> Result<String, Error> {
    let failed = |source| Error::Io("cannot read the file that was shared", source);
    let mut hasher = blake3::Hasher::new();
    io::copy(&mut File::open(path).map_err(failed)?, &mut hasher).map_err(failed)?;
    Ok(hasher.finalize().to_hex().to_string())
}

async fn write_everything(
    app: &App,
    file: &Path,
    canary_file: &Path,
    canaries: &Canaries,
    steps: &mut Steps,
) -> Result<String, Error> {
    let space = app.create_space("Demo").await?;
    for first in (0..DOCUMENTS).step_by(BATCH) {
        let batch: Vec<Value> = (first..DOCUMENTS.min(first + BATCH))
            .map(|number| {
                let canary = canaries.texts().get(number % 100);
                json!({"id": id(number), "value": {"title": format!("Note {number}"), "number": number, "secret": canary}})
            })
            .collect();
        app.post(&format!("spaces/{space}/collections/{COLLECTION}/documents:batch"), &json!(batch)).await?;
    }
    steps.done("write", &format!("device A created a space and wrote {DOCUMENTS} documents"));
    for (path, name) in [(canary_file, "canaries.txt"), (file, FILE)] {
        let content =
            tokio::fs::File::open(path).await.map_err(|source| Error::Io("cannot open the file", source))?;
        app.upload(&space, name, content).await?;
    }
    steps.done("upload", "device A stored a file; its chunks are on their way");
    let path = format!("spaces/{space}/durability");
    app.wait_until(&path, "documents.replicated", PATIENCE, |answer| {
        level(answer, "documents", "replicated") == DOCUMENTS as u64
    })
    .await?;
    steps.done("replicated", "every document is replicated (2 of 3 replicas signed for it)");
    let path = format!("spaces/{space}/files/{FILE}/durability");
    let answer = app
        .wait_until(&path, "level durable, survives 3", PATIENCE, |answer| {
            answer.get("level").and_then(Value::as_str) == Some("durable")
                && answer.get("survives").and_then(Value::as_u64) >= Some(3)
        })
        .await?;
    steps.done("durable", &format!("the file is durable: {answer}"));
    Ok(space)
}

fn id(number: usize) -> String {
    format!("note-{number:04}")
}

fn level(answer: &Value, what: &str, level: &str) -> u64 {
    answer.get(what).and_then(|counts| counts.get(level)).and_then(Value::as_u64).unwrap_or_default()
}

async fn wait_for_documents(app: &App, space: &str, count: usize) -> Result<(), Error> {
    let path = format!("spaces/{space}");
    app.wait_until(&path, "documents", PATIENCE, |answer| {
        answer.get("documents").and_then(Value::as_u64) >= Some(count as u64)
    })
    .await?;
    Ok(())
}

fn document(space: &str, number: usize) -> String {
    format!("spaces/{space}/collections/{COLLECTION}/documents/{}", id(number))
}

/// Device A works offline while device B is online; then both have both changes.
async fn edit_apart(
    network: &Network,
    app_b: &App,
    space: &str,
    steps: &mut Steps,
) -> Result<Process, Error> {
    let a = network.start_node("device-a", &["--offline"]).await?;
    let app_a = App::new(&a);
    for number in 0..EDITED {
        app_a.patch(&document(space, number), &json!({"from_a": number, "title": "changed by A"})).await?;
        app_b.patch(&document(space, number), &json!({"from_b": number, "title": "changed by B"})).await?;
    }
    app_a.put("network", &json!({"online": true})).await?;
    for number in 0..EDITED {
        let path = document(space, number);
        let both = |answer: &Value| {
            let value = answer.get("value");
            value.and_then(|value| value.get("from_a")).is_some()
                && value.and_then(|value| value.get("from_b")).is_some()
        };
        let on_a = app_a.wait_until(&path, "both edits", PATIENCE, both).await?;
        let on_b = app_b.wait_until(&path, "both edits", PATIENCE, both).await?;
        if on_a.get("value") != on_b.get("value") {
            return Err(Error::Broken(format!("the devices disagree: {on_a} on A, {on_b} on B")));
        }
    }
    steps.done("converge", &format!("both devices edited {EDITED} documents apart and converged"));
    Ok(a)
}

/// Kills three supernodes, the gateway of device B among them, but not all replicas of the space.
async fn kill_half(network: &mut Network, app_b: &App, space: &str, steps: &mut Steps) -> Result<(), Error> {
    let shown = app_b.get(&format!("spaces/{space}")).await?;
    let strings = |field: &str| -> Vec<String> {
        let list = shown.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
        list.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let replicas = strings("replicas");
    let gateway = shown.get("gateway").and_then(Value::as_str).unwrap_or_default().to_owned();
    let peers: Vec<String> = network
        .supernodes
        .iter()
        .map(|process| process.as_ref().map(|process| process.run().peer.clone()).unwrap_or_default())
        .collect();
    let mut victims: Vec<usize> = (0..peers.len()).collect();
    victims.sort_by_key(|number| peers.get(*number) != Some(&gateway));
    let mut dead_replicas = 0;
    victims.retain(|number| {
        let is_replica = peers.get(*number).is_some_and(|peer| replicas.contains(peer));
        dead_replicas += usize::from(is_replica);
        !is_replica || dead_replicas < replicas.len()
    });
    victims.truncate(SUPERNODES / 2);
    for number in &victims {
        network.kill_supernode(*number).await?;
    }
    steps.done("kill", &format!("supernodes {victims:?} killed with SIGKILL, device B's gateway among them"));
    Ok(())
}

async fn read_back(app_b: &App, space: &str, file: &Path, steps: &mut Steps) -> Result<(), Error> {
    app_b.post("cache/clear", &json!({})).await?;
    let mut answer = app_b.download(space, FILE).await?;
    let mut hasher = blake3::Hasher::new();
    let lost = |source| api::Error::Http { method: reqwest::Method::GET, path: FILE.to_owned(), source };
    while let Some(piece) = answer.chunk().await.map_err(lost)? {
        hasher.update(&piece);
    }
    if hasher.finalize().to_hex().to_string() != hash_file(file)? {
        return Err(Error::Broken("device B read another file than device A stored".to_owned()));
    }
    steps.done(
        "read",
        "device B, its cache emptied, read the file from the survivors, byte for byte the same",
    );
    Ok(())
}

/// A device that never met the dead learns everything from the survivors.
async fn late_device(
    network: &Network,
    app_a: &App,
    app_b: &App,
    space: &str,
    steps: &mut Steps,
) -> Result<(), Error> {
    let ticket = app_a.invite(space, "viewer").await?;
    let c = network.start_node("device-c", &[]).await?;
    let app_c = App::new(&c);
    app_c.join(&ticket).await?;
    wait_for_documents(&app_c, space, DOCUMENTS).await?;
    for number in [0, EDITED, DOCUMENTS - 1] {
        let path = document(space, number);
        let on_b = app_b.get(&path).await?;
        let wanted = on_b.get("value").cloned();
        app_c
            .wait_until(&path, "the value device B has", PATIENCE, |answer| {
                answer.get("value") == wanted.as_ref()
            })
            .await?;
    }
    c.stop().await?;
    steps.done("late", "a new device joined among the survivors and has all documents");
    Ok(())
}

struct Places<'a> {
    directory: &'a Path,
    a: &'a Process,
    space: &'a str,
}

async fn search(
    network: &Network,
    canaries: &Canaries,
    places: &Places<'_>,
    steps: &mut Steps,
) -> Result<(), Error> {
    let look = |place: &Path| {
        canaries.found_in(place).map_err(|source| Error::Io("cannot search for canaries", source))
    };
    for (number, process) in network.supernodes.iter().enumerate() {
        let directory = network.supernode_directory(number);
        let mut searched = vec![directory.clone()];
        if process.is_some() {
            let dump = places.directory.join(format!("dump-{number}"));
            let arguments =
                ["dump", "--data-dir", &directory.to_string_lossy(), "--out", &dump.to_string_lossy()];
            process::command("cosmic-supernode", &arguments, None).await?;
            searched.push(dump);
        }
        for place in searched {
            let found = look(&place)?;
            if found > 0 {
                return Err(Error::Broken(format!("{found} canaries found in {}", place.display())));
            }
        }
    }
    let export = places.directory.join("export");
    let body = json!({"space": places.space, "directory": export});
    App::new(places.a).post("export", &body).await?;
    let found = look(&export)?;
    if found < canaries.texts().len() {
        return Err(Error::Broken(format!(
            "only {found} of {} canaries found in the plain export: the search does not work",
            canaries.texts().len()
        )));
    }
    steps.done(
        "canaries",
        "no canary in any supernode's directory or dump; all of them in a plain export of A",
    );
    Ok(())
}
