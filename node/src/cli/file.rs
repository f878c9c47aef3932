//! `file`: put and get with progress, list, remove, durability, deletion.

use std::{
    fs::File,
    io::{self, IsTerminal as _, Write as _},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use clap::Subcommand;
use cosmic_cli::{Client, Error, Output, cell, segment};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::WaitLevel;

/// How often the level is looked at while a command waits for it.
const POLL: Duration = Duration::from_millis(100);

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Store a file
    Put {
        /// The space (its id or a beginning of it)
        space: String,
        /// The file
        path: PathBuf,
        /// Its name in the space [default: the file's name]
        #[arg(long)]
        name: Option<String>,
        /// Return only when the file is this safe
        #[arg(long, value_name = "LEVEL")]
        wait: Option<WaitLevel>,
        /// Give up waiting after this many seconds
        #[arg(long, default_value_t = 600)]
        timeout_secs: u64,
    },
    /// Read a file
    Get {
        /// The space
        space: String,
        /// The file's name in the space
        name: String,
        /// Where to write it (`-`: standard output) [default: its name, here]
        #[arg(long, short)]
        output: Option<PathBuf>,
    },
    /// Files of a space
    #[command(alias = "ls")]
    List {
        /// The space
        space: String,
    },
    /// Remove a file from the space
    Remove {
        /// The space
        space: String,
        /// The file's name
        name: String,
        /// Do it without asking
        #[arg(long)]
        yes: bool,
    },
    /// What became of a removed file: who has signed that it deleted its parts, and who has not
    Deletion {
        /// The space
        space: String,
        /// The file's name
        name: String,
    },
    /// How safe a file is, and where its shards are
    Durability {
        /// The space
        space: String,
        /// The file's name
        name: String,
    },
}

pub(crate) fn carry_out(command: Command, client: &Client, out: Output) -> Result<(), Error> {
    match command {
        Command::Put { space, path, name, wait, timeout_secs } => {
            let name = name.unwrap_or_else(|| {
                path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
            });
            let mut answer = put(client, &place(&space, &name), &path)?;
            if let Some(level) = wait {
                answer = wait_for(client, &place(&space, &name), level, Duration::from_secs(timeout_secs))?;
            }
            out.show(&answer, |answer| format!("{name}: {}", cell(answer.get("level"))))
        }
        Command::Get { space, name, output } => get(client, (&space, &name), output, out),
        Command::List { space } => {
            let answer = client.get(&format!("spaces/{}/files", segment(&space)))?;
            out.table(&answer, "/files", &["name", "bytes", "level"])
        }
        Command::Remove { yes: false, .. } => {
            Err(Error::Usage("this removes the file for all members; add --yes if that is meant"))
        }
        Command::Remove { space, name, yes: true } => {
            let answer = client.delete(&place(&space, &name))?;
            out.show(&answer, |_answer| format!("{name}: removed"))
        }
        Command::Deletion { space, name } => {
            out.fields(&client.get(&format!("{}/deletion", place(&space, &name)))?)
        }
        Command::Durability { space, name } => {
            out.fields(&client.get(&format!("{}/durability", place(&space, &name)))?)
        }
    }
}

fn place(space: &str, name: &str) -> String {
    format!("spaces/{}/files/{}", segment(space), segment(name))
}

fn progress(bytes: u64) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{bar:32} {bytes}/{total_bytes} {bytes_per_sec} {eta}");
    ProgressBar::new(bytes).with_style(style.unwrap_or_else(|_error| ProgressStyle::default_bar()))
}

fn put(client: &Client, place: &str, path: &Path) -> Result<Value, Error> {
    let failed = |source| Error::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let bytes = file.metadata().map_err(failed)?.len();
    let bar = progress(bytes);
    let answer = client.upload(place, bar.wrap_read(file), bytes);
    bar.finish_and_clear();
    answer
}

#[expect(clippy::disallowed_methods, reason = "a command line waits in real time, beside the node")]
fn wait_for(client: &Client, place: &str, level: WaitLevel, within: Duration) -> Result<Value, Error> {
    let start = Instant::now();
    let order = ["local", "accepted", "replicated", "durable"];
    let rank = |name: &str| order.iter().position(|known| *known == name);
    let bar = progress(0);
    loop {
        let answer = client.get::<Value>(&format!("{place}/durability"))?;
        let reached = answer.get("level").and_then(Value::as_str).and_then(rank);
        if reached >= rank(level.name()) {
            bar.finish_and_clear();
            return Ok(answer);
        }
        if start.elapsed() > within {
            return Err(Error::TooSlow(
                "the file is stored here, but not as safe as asked within the time; it goes on",
            ));
        }
        let count = |field| answer.get(field).and_then(Value::as_u64).unwrap_or_default();
        bar.set_length(count("bytes"));
        bar.set_position(count("bytes_durable"));
        std::thread::sleep(POLL);
    }
}

fn get(
    client: &Client,
    (space, name): (&str, &str),
    output: Option<PathBuf>,
    out: Output,
) -> Result<(), Error> {
    let mut answer = client.stream(&place(space, name))?;
    let bar = progress(answer.bytes().unwrap_or_default());
    let path = output.unwrap_or_else(|| PathBuf::from(name.rsplit('/').next().unwrap_or(name)));
    let failed = |source| Error::Write { path: path.clone(), source };
    if path.as_os_str() == "-" {
        io::copy(&mut bar.wrap_read(&mut answer), &mut io::stdout().lock()).map_err(Error::Output)?;
        bar.finish_and_clear();
        return Ok(());
    }
    let mut file = File::create(&path).map_err(failed)?;
    let bytes = io::copy(&mut bar.wrap_read(&mut answer), &mut file).map_err(failed)?;
    file.flush().map_err(failed)?;
    bar.finish_and_clear();
    out.show(&json!({"path": path, "bytes": bytes}), |_answer| format!("{}: {bytes} bytes", path.display()))
}
