//! Garage beside us: the same file through three nodes that keep three copies, in the same run.
//!
//! Its own settings are left as they come (no fsync, one S3 client). Garage is a program like any other here: it is found on the
//! `PATH` (`cargo install garage`) and asked through its command line and its S3 door.

use std::{
    fs, io,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
};

use futures::TryStreamExt as _;
use object_store::{
    ClientOptions, ObjectStore, ObjectStoreExt as _, aws::AmazonS3Builder, buffered::BufWriter,
    path::Path as Key,
};
use rand::RngExt as _;
use tokio::{
    io::AsyncWriteExt as _,
    process::{Child, Command},
};

use super::{Error, Lap, PATIENCE, POLL, Report, files::rates, now};

const PROGRAM: &str = "garage";
const NODES: usize = 3;
const BUCKET: &str = "bench";
const REGION: &str = "garage";
/// Parts that travel at once, each of 10 MiB.
const PARTS: usize = 4;

/// A node of Garage.
struct Node {
    config: PathBuf,
    child: Child,
    s3_port: u16,
}

/// Puts and gets the file at `path`; where there is no Garage, says so.
pub(super) async fn run(report: &mut Report, directory: &Path, path: &Path, bytes: u64) -> Result<(), Error> {
    let version = match Command::new(PROGRAM).arg("--version").output().await {
        Ok(output) => String::from_utf8_lossy(&output.stdout).trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            report.parameter("garage", "not installed");
            return Ok(());
        }
        Err(error) => return Err(Error::Io("garage", error)),
    };
    report.parameter("garage", version);
    let nodes = start(&directory.join(PROGRAM))?;
    let store = open(&nodes).await?;
    let pids = || nodes.iter().filter_map(|node| node.child.id());
    let key = Key::from("bench.bin");

    let lap = Lap::over(pids());
    put(store.clone(), &key, path).await?;
    rates(report, "garage_put", bytes, lap.end());

    let lap = Lap::over(pids());
    let found = get(&*store, &key).await?;
    let took = lap.end();
    if found != bytes {
        return Err(Error::Length { wanted: bytes, found });
    }
    rates(report, "garage_get", bytes, took);
    Ok(())
}

/// Starts the nodes; they end with what is returned.
fn start(directory: &Path) -> Result<Vec<Node>, Error> {
    let secret: [u8; 32] = rand::rng().random();
    let secret = blake3::Hash::from_bytes(secret).to_hex();
    (0..NODES)
        .map(|number| {
            let place = directory.join(number.to_string());
            let [rpc, s3_port] = free_ports()?;
            let config = place.join("garage.toml");
            let text = format!(
                "metadata_dir = '{place}/meta'\ndata_dir = '{place}/data'\ndb_engine = 'lmdb'\nreplication_factor = 3\n\
                 rpc_bind_addr = '127.0.0.1:{rpc}'\nrpc_public_addr = '127.0.0.1:{rpc}'\nrpc_secret = '{secret}'\n\
                 [s3_api]\ns3_region = '{REGION}'\napi_bind_addr = '127.0.0.1:{s3_port}'\n",
                place = place.display(),
            );
            fs::create_dir_all(&place)
                .and_then(|()| fs::write(&config, text))
                .map_err(|source| Error::Io("the directory of a Garage node", source))?;
            let log = fs::File::create(place.join("log")).map_err(|source| Error::Io("a log", source))?;
            let child = Command::new(PROGRAM)
                .arg("-c")
                .arg(&config)
                .arg("server")
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(log)
                .kill_on_drop(true)
                .spawn()
                .map_err(|source| Error::Io("garage", source))?;
            Ok(Node { config, child, s3_port })
        })
        .collect()
}

/// Ports nobody listens on now.
fn free_ports() -> Result<[u16; 2], Error> {
    let listen = || TcpListener::bind("127.0.0.1:0");
    let ports = || -> io::Result<[u16; 2]> {
        let (one, other) = (listen()?, listen()?);
        Ok([one.local_addr()?.port(), other.local_addr()?.port()])
    };
    ports().map_err(|source| Error::Io("a free port", source))
}

/// Makes one cluster of the nodes and opens a bucket in it.
async fn open(nodes: &[Node]) -> Result<Arc<dyn ObjectStore>, Error> {
    let random: [u8; 32] = rand::rng().random();
    let secret = blake3::Hash::from_bytes(random).to_hex();
    let key_id = format!("GK{}", secret.get(..24).unwrap_or_default());
    let mut ids = Vec::new();
    for node in nodes {
        ids.push(patiently(node, &["node", "id", "-q"]).await?.trim().to_owned());
    }
    let Some(first) = nodes.first() else { return Err(Error::Garage("no nodes".to_owned())) };
    for id in ids.iter().skip(1) {
        patiently(first, &["node", "connect", id]).await?;
    }
    for (number, id) in ids.iter().enumerate() {
        let (id, zone) = (id.split('@').next().unwrap_or_default(), format!("zone-{number}"));
        patiently(first, &["layout", "assign", "-z", &zone, "-c", "10G", id]).await?;
    }
    patiently(first, &["layout", "apply", "--version", "1"]).await?;
    patiently(first, &["bucket", "create", BUCKET]).await?;
    patiently(first, &["key", "import", "--yes", "-n", BUCKET, &key_id, &secret]).await?;
    patiently(first, &["bucket", "allow", "--read", "--write", "--owner", BUCKET, "--key", BUCKET]).await?;
    let store = AmazonS3Builder::new()
        .with_client_options(ClientOptions::new().with_allow_http(true).with_no_system_certificates(true))
        .with_endpoint(format!("http://127.0.0.1:{}", first.s3_port))
        .with_bucket_name(BUCKET)
        .with_region(REGION)
        .with_access_key_id(key_id)
        .with_secret_access_key(secret.as_str())
        .build();
    Ok(Arc::new(store.map_err(s3)?))
}

/// Runs a command of Garage until it succeeds: nodes that have just started refuse some.
async fn patiently(node: &Node, arguments: &[&str]) -> Result<String, Error> {
    let deadline = now() + PATIENCE;
    loop {
        let command = Command::new(PROGRAM).arg("-c").arg(&node.config).args(arguments).output().await;
        let output = command.map_err(|source| Error::Io("garage", source))?;
        if output.status.success() {
            return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
        }
        if now() > deadline {
            return Err(Error::Garage(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        tokio::time::sleep(POLL).await;
    }
}

async fn put(store: Arc<dyn ObjectStore>, key: &Key, path: &Path) -> Result<(), Error> {
    let copy = async {
        let mut file = tokio::fs::File::open(path).await?;
        let mut writer = BufWriter::new(store, key.clone()).with_max_concurrency(PARTS);
        tokio::io::copy(&mut file, &mut writer).await?;
        writer.shutdown().await
    };
    copy.await.map_err(|source| Error::Io("Garage's S3 door", source))
}

async fn get(store: &dyn ObjectStore, key: &Key) -> Result<u64, Error> {
    let mut pieces = store.get(key).await.map_err(s3)?.into_stream();
    let mut found = 0;
    while let Some(piece) = pieces.try_next().await.map_err(s3)? {
        found += piece.len() as u64;
    }
    Ok(found)
}

fn s3(error: object_store::Error) -> Error {
    Error::Garage(error.to_string())
}
