//! A real S3 server on loopback: `s3s-fs`, which keeps each object as a file. `tools/s3-server` installs it.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Stdio,
};

use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, ChildStdout, Command},
};

use super::notes::PATIENCE;

const PROGRAM: &str = "s3s-fs";
const KEY: &str = "cosmic-tests";
const SECRET: &str = "a-secret-of-tests-that-no-log-may-show";
const BUCKET: &str = "shards";

/// The server and its folder.
pub(super) struct Server {
    program: PathBuf,
    root: PathBuf,
    port: u16,
    running: Option<(Child, BufReader<ChildStdout>)>,
}

impl Server {
    /// Starts one whose objects lie below `root`; none where the program is missing.
    pub(super) async fn start(root: &Path) -> Option<Self> {
        let Some(program) = find() else {
            println!("skipped: {PROGRAM} is not installed here (tools/s3-server)");
            return None;
        };
        fs::create_dir_all(root.join(BUCKET)).unwrap();
        let mut server = Self { program, root: root.to_owned(), port: 0, running: None };
        server.start_again().await;
        Some(server)
    }

    /// Starts it where it was, on the port it had.
    pub(super) async fn start_again(&mut self) {
        let mut child = Command::new(&self.program)
            .args(["--host", "127.0.0.1", "--access-key", KEY, "--secret-key", SECRET, "--port"])
            .arg(self.port.to_string())
            .arg(&self.root)
            .env("RUST_LOG", "s3s_fs=info")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let listening = async {
            let mut line = String::new();
            loop {
                line.clear();
                assert!(said.read_line(&mut line).await.unwrap() > 0, "{PROGRAM} ended");
                if let Some((_, rest)) = line.split_once("http://127.0.0.1:") {
                    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
                    return digits.parse().unwrap();
                }
            }
        };
        self.port = tokio::time::timeout(PATIENCE, listening).await.unwrap();
        self.running = Some((child, said));
    }

    /// Ends it without warning.
    pub(super) async fn stop(&mut self) {
        if let Some((mut child, _said)) = self.running.take() {
            child.kill().await.unwrap();
        }
    }

    /// The settings of a cold tier on it, with the credentials in a file in `directory`.
    pub(super) fn settings(&self, directory: &Path) -> String {
        let file = directory.join("cold-credentials");
        fs::write(&file, format!("aws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        format!(
            "[cold]\nendpoint = \"http://127.0.0.1:{}\"\nbucket = \"{BUCKET}\"\nprefix = \"cosmic/tests\"\n\
             credentials_file = \"{}\"\nafter_hours = 0\nlook_every_secs = 1\n",
            self.port,
            file.display(),
        )
    }

    /// What `path` would show of the secret.
    pub(super) fn is_told_in(&self, path: &Path) -> bool {
        fs::read_to_string(path).is_ok_and(|text| text.contains(SECRET))
    }

    /// The sizes of all shards that lie there.
    pub(super) fn shards(&self) -> Vec<u64> {
        let mut sizes = Vec::new();
        let mut folders = vec![self.root.join(BUCKET)];
        while let Some(folder) = folders.pop() {
            for item in fs::read_dir(folder).into_iter().flatten().map_while(Result::ok) {
                let path = item.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.to_string_lossy().contains("/shards/cosmic/")
                    && path.parent().and_then(Path::parent).is_some_and(|above| above.ends_with("shards"))
                {
                    // A file that is being written or removed counts when it is there.
                    sizes.extend(item.metadata().map(|about| about.len()));
                }
            }
        }
        sizes
    }
}

fn find() -> Option<PathBuf> {
    let here = env::current_exe().unwrap();
    let beside = here.ancestors().map(|folder| folder.join("tools/bin").join(PROGRAM));
    let path = env::var_os("PATH").unwrap_or_default();
    let installed = env::split_paths(&path).map(|folder| folder.join(PROGRAM)).collect::<Vec<_>>();
    beside.chain(installed).find(|program| program.is_file())
}
