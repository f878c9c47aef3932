//! One real process of ours in a directory of its own: started, waited for, measured, stopped, killed.

use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    time::Duration,
};

pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};
use serde::Deserialize;
use tokio::{
    process::{Child, Command},
    time::{sleep, timeout},
};

/// How often a file is looked at while a process gets ready.
const POLL: Duration = Duration::from_millis(5);
/// How long a process may take until it is ready, with all cores busy.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a process may take to end after SIGTERM.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// Why a process is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The binary is not beside this one.
    #[error("{0} is missing; build it with: cargo build --workspace --bins")]
    Missing(PathBuf),
    /// The operating system refused.
    #[error("{what}")]
    Io {
        /// What was tried.
        what: String,
        /// Why not.
        source: io::Error,
    },
    /// It ended instead of getting ready, or a command failed.
    #[error("{name} ended with {status}: {output}")]
    Ended {
        /// Which process.
        name: String,
        /// How it ended.
        status: String,
        /// The end of what it wrote.
        output: String,
    },
    /// It runs and is not ready.
    #[error("{name} was not {what} after {seconds} s: {output}")]
    TooSlow {
        /// Which process.
        name: String,
        /// What was waited for.
        what: &'static str,
        /// How long.
        seconds: u64,
        /// The end of what it wrote.
        output: String,
    },
    /// A command printed something else than JSON.
    #[error("{name} printed something that is not JSON: {output}")]
    Output {
        /// Which command.
        name: String,
        /// What it printed.
        output: String,
        /// Why it cannot be read.
        source: serde_json::Error,
    },
}

fn io_error(what: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let what = what.into();
    move |source| Error::Io { what, source }
}

/// What a process writes into `run.json` about itself.
#[derive(Debug, Clone, Deserialize)]
pub struct Run {
    /// Its process id; an older file has another one.
    pub pid: u32,
    /// Whether it keeps its promises now.
    pub ready: bool,
    /// Host and port of its HTTP listener.
    pub http: String,
    /// Its peer id.
    #[serde(default)]
    pub peer: String,
    /// Its multiaddresses.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// The token of its API.
    #[serde(default)]
    pub token: Option<String>,
}

/// A running process.
#[derive(Debug)]
pub struct Process {
    name: String,
    directory: PathBuf,
    child: Child,
    run: Run,
}

/// The path of one of our binaries, which lie beside this one (tests run one folder deeper).
///
/// # Errors
/// [`Error::Missing`] if it was not built.
pub fn binary(name: &str) -> Result<PathBuf, Error> {
    let here = std::env::current_exe().map_err(io_error("cannot tell where this program lies"))?;
    let candidates = here.ancestors().skip(1).take(2).map(|folder| folder.join(name));
    let missing = Error::Missing(here.with_file_name(name));
    candidates.into_iter().find(|path| path.is_file()).ok_or(missing)
}

/// `name`, run by the command `through` if there is one, without the settings meant for whoever runs it: a process refuses
/// `COSMIC_` variables it does not know.
fn program(through: &[&str], name: &str) -> Result<Command, Error> {
    let binary = binary(name)?;
    let mut command = match through {
        [] => Command::new(binary),
        [runner, arguments @ ..] => {
            let mut command = Command::new(runner);
            command.args(arguments).arg(binary);
            command
        }
    };
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("COSMIC_") {
            command.env_remove(variable);
        }
    }
    Ok(command)
}

/// Runs `name` with `arguments` to its end and returns what it printed.
///
/// # Errors
/// [`Error`] if it cannot be started or does not succeed.
pub async fn command(name: &str, arguments: &[&str], input: Option<&str>) -> Result<String, Error> {
    command_through(&[], name, arguments, input).await
}

/// As [`command`], run by another command, such as `ip netns exec NAME`.
///
/// # Errors
/// As [`command`].
pub async fn command_through(
    through: &[&str],
    name: &str,
    arguments: &[&str],
    input: Option<&str>,
) -> Result<String, Error> {
    let mut child = program(through, name)?
        .args(arguments)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(io_error(format!("cannot start {name}")))?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        tokio::io::AsyncWriteExt::write_all(&mut stdin, text.as_bytes())
            .await
            .map_err(io_error(format!("cannot write to {name}")))?;
    }
    let output = child.wait_with_output().await.map_err(io_error(format!("cannot wait for {name}")))?;
    let name = format!("{name} {}", arguments.iter().take(2).copied().collect::<Vec<_>>().join(" "));
    if !output.status.success() {
        let output_text = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(Error::Ended { name, status: output.status.to_string(), output: output_text });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// As [`command`], with what it printed read as JSON.
///
/// # Errors
/// [`Error`] also if it is no JSON.
pub async fn command_json(name: &str, arguments: &[&str]) -> Result<serde_json::Value, Error> {
    let output = command(name, arguments, None).await?;
    serde_json::from_str(&output).map_err(|source| Error::Output { name: name.to_owned(), output, source })
}

impl Process {
    /// Starts `name run` on `directory` and waits until it says that it is ready.
    ///
    /// # Errors
    /// [`Error`] if it cannot be started, ends, or does not get ready in time.
    pub async fn start(name: &str, directory: &Path, arguments: &[&str]) -> Result<Self, Error> {
        Self::start_in(name, directory, arguments, &[]).await
    }

    /// As [`Process::start`], with variables of its environment.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub async fn start_in(
        name: &str,
        directory: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Result<Self, Error> {
        Self::launch(&[], name, directory, arguments, environment).await
    }

    /// As [`Process::start`], run by another command that becomes it, such as `ip netns exec NAME`.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub async fn start_through(
        through: &[&str],
        name: &str,
        directory: &Path,
        arguments: &[&str],
    ) -> Result<Self, Error> {
        Self::launch(through, name, directory, arguments, &[]).await
    }

    async fn launch(
        through: &[&str],
        name: &str,
        directory: &Path,
        arguments: &[&str],
        environment: &[(String, String)],
    ) -> Result<Self, Error> {
        fs::create_dir_all(directory).map_err(io_error(format!("cannot create {}", directory.display())))?;
        let log_path = directory.with_extension("log");
        let log = File::options()
            .create(true)
            .append(true)
            .open(&log_path)
            .map_err(io_error(format!("cannot write {}", log_path.display())))?;
        let log_again = log.try_clone().map_err(io_error("cannot share the log"))?;
        let child = program(through, name)?
            .arg("run")
            .arg("--data-dir")
            .arg(directory)
            .args(arguments)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            // The pipe is never written to. It ends with this process, however that dies, and the child with it.
            .arg("--until-stdin-ends")
            .stdin(Stdio::piped())
            .stdout(log)
            .stderr(log_again)
            .kill_on_drop(true)
            .spawn()
            .map_err(io_error(format!("cannot start {name}")))?;
        let label = directory
            .file_name()
            .map_or_else(|| name.to_owned(), |folder| format!("{name} ({})", folder.to_string_lossy()));
        let run = Run {
            pid: 0,
            ready: false,
            http: String::new(),
            peer: String::new(),
            addresses: Vec::new(),
            token: None,
        };
        let mut process = Self { name: label, directory: directory.to_owned(), child, run };
        process.wait_ready().await?;
        Ok(process)
    }

    async fn wait_ready(&mut self) -> Result<(), Error> {
        let pid = self.child.id();
        let path = self.directory.join("run.json");
        let child = &mut self.child;
        let ready = async {
            loop {
                if let Some(run) = read_run(&path).filter(|run| Some(run.pid) == pid && run.ready) {
                    return Ok(run);
                }
                if let Some(status) = child.try_wait().map_err(io_error("cannot wait"))? {
                    return Err(Outcome::Ended(status));
                }
                sleep(POLL).await;
            }
        };
        match timeout(READY_TIMEOUT, ready).await {
            Ok(Ok(run)) => {
                self.run = run;
                Ok(())
            }
            Ok(Err(Outcome::Failed(error))) => Err(error),
            Ok(Err(Outcome::Ended(status))) => Err(Error::Ended {
                name: self.name.clone(),
                status: status.to_string(),
                output: self.log_tail(),
            }),
            Err(_elapsed) => Err(self.too_slow("ready", READY_TIMEOUT)),
        }
    }

    fn too_slow(&self, what: &'static str, after: Duration) -> Error {
        Error::TooSlow { name: self.name.clone(), what, seconds: after.as_secs(), output: self.log_tail() }
    }

    /// What it said about itself when it got ready.
    #[must_use]
    pub const fn run(&self) -> &Run {
        &self.run
    }

    /// Its data directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The end of its log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let text = fs::read_to_string(self.directory.with_extension("log")).unwrap_or_default();
        let lines: Vec<_> = text.lines().rev().take(12).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Ends it with SIGTERM, as an operator would.
    ///
    /// # Errors
    /// [`Error`] if it does not end in time.
    pub async fn stop(mut self) -> Result<ExitStatus, Error> {
        self.signal(Signal::TERM)?;
        match timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(status) => status.map_err(io_error("cannot wait")),
            Err(_elapsed) => Err(self.too_slow("stopped", STOP_TIMEOUT)),
        }
    }

    /// Kills it with SIGKILL, as a power cut would.
    ///
    /// # Errors
    /// [`Error`] if the operating system refuses.
    pub async fn kill(mut self) -> Result<(), Error> {
        self.child.kill().await.map_err(io_error(format!("cannot kill {}", self.name)))
    }

    /// Sends `signal`, such as SIGSTOP.
    ///
    /// # Errors
    /// [`Error`] if it is gone.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        let gone = || io::Error::new(io::ErrorKind::NotFound, "the process is gone");
        let pid = pid.ok_or_else(gone).map_err(io_error(format!("cannot signal {}", self.name)))?;
        kill_process(pid, signal)
            .map_err(|error| io_error(format!("cannot signal {}", self.name))(error.into()))
    }

    /// CPU seconds it has used so far, user and system (Linux; 0 elsewhere).
    #[must_use]
    pub fn cpu_seconds(&self) -> f64 {
        cpu_seconds(self.run.pid)
    }

    /// Resident memory now and at its highest, in bytes (Linux; 0 elsewhere).
    #[must_use]
    pub fn memory(&self) -> Memory {
        let text = fs::read_to_string(format!("/proc/{}/status", self.run.pid)).unwrap_or_default();
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name))
                .and_then(|rest| rest.split_whitespace().next())
                .and_then(|kib| kib.parse::<u64>().ok())
                .map_or(0, |kib| kib * 1024)
        };
        Memory { now_bytes: field("VmRSS:"), peak_bytes: field("VmHWM:") }
    }
}

/// Resident memory of a process.
#[derive(Debug, Clone, Copy)]
pub struct Memory {
    /// Now.
    pub now_bytes: u64,
    /// At its highest.
    pub peak_bytes: u64,
}

/// Why a process did not get ready.
enum Outcome {
    Ended(ExitStatus),
    Failed(Error),
}

impl From<Error> for Outcome {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// CPU seconds of process `pid`; clock ticks are 1/100 s on every Linux we run on.
#[must_use]
pub fn cpu_seconds(pid: u32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let fields: Vec<&str> =
        text.rsplit(')').next().map(|rest| rest.split_whitespace().collect()).unwrap_or_default();
    let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<f64>().ok()).unwrap_or_default();
    (ticks(11) + ticks(12)) / 100.0
}

fn read_run(path: &Path) -> Option<Run> {
    serde_json::from_str(&fs::read_to_string(path).ok()?).ok()
}
