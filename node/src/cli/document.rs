//! `doc`: put, get, patch, delete, list, watch, durability.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
};

use clap::{Args, Subcommand};
use cosmic_cli::{Client, Error, Output, cell, input, segment};
use serde_json::{Value, json};

use super::Wait;

/// Which document.
#[derive(Debug, Args)]
pub(crate) struct Which {
    /// The space (its id or a beginning of it)
    space: String,
    /// The collection
    collection: String,
    /// The document's id
    id: String,
}

impl Which {
    fn path(&self) -> String {
        format!("{}/{}", documents(&self.space, &self.collection), segment(&self.id))
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Create or replace a document with the JSON on standard input or in a file
    Put {
        #[command(flatten)]
        which: Which,
        /// A file with the JSON (default: standard input)
        file: Option<PathBuf>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Print a document
    Get {
        #[command(flatten)]
        which: Which,
    },
    /// Change fields with a JSON merge patch (RFC 7396)
    Patch {
        #[command(flatten)]
        which: Which,
        /// A file with the patch (default: standard input)
        file: Option<PathBuf>,
        #[command(flatten)]
        wait: Wait,
    },
    /// Delete a document
    Delete {
        #[command(flatten)]
        which: Which,
    },
    /// Documents of a collection
    #[command(alias = "ls")]
    List {
        /// The space
        space: String,
        /// The collection
        collection: String,
        /// At most this many
        #[arg(long, default_value_t = 100)]
        limit: u32,
        /// Go on after the cursor of the page before
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Print every change as it happens, one JSON object a line
    Watch {
        /// The space
        space: String,
    },
    /// How safe a document is
    Durability {
        #[command(flatten)]
        which: Which,
    },
}

fn documents(space: &str, collection: &str) -> String {
    format!("spaces/{}/collections/{}/documents", segment(space), segment(collection))
}

pub(crate) fn carry_out(command: Command, client: &Client, out: Output) -> Result<(), Error> {
    match command {
        Command::Put { which, file, wait } => {
            let answer =
                client.put(&format!("{}{}", which.path(), wait.query()), &json_input(file.as_ref())?)?;
            out.show(&answer, stored)
        }
        Command::Patch { which, file, wait } => {
            let answer =
                client.patch(&format!("{}{}", which.path(), wait.query()), &json_input(file.as_ref())?)?;
            out.show(&answer, stored)
        }
        Command::Get { which } => {
            let answer = client.get(&which.path())?;
            out.show(&answer, |answer| format!("{:#}", answer.get("value").unwrap_or(&Value::Null)))
        }
        Command::Delete { which } => {
            let answer = client.delete(&which.path())?;
            out.show(&answer, |_answer| "deleted".to_owned())
        }
        Command::List { space, collection, limit, cursor } => {
            let cursor = cursor.map(|cursor| format!("&cursor={}", segment(&cursor))).unwrap_or_default();
            let answer = client.get(&format!("{}?limit={limit}{cursor}", documents(&space, &collection)))?;
            out.table(&answer, "/documents", &["id", "version", "value"])
        }
        Command::Watch { space } => watch(client, &space, out),
        Command::Durability { which } => {
            let answer = client.get(&format!("{}/durability", which.path()))?;
            out.show(&answer, |answer| match answer.get("survives").and_then(Value::as_u64) {
                Some(survives) => format!("{}, survives {survives}", cell(answer.get("level"))),
                None => cell(answer.get("level")),
            })
        }
    }
}

fn json_input(file: Option<&PathBuf>) -> Result<Value, Error> {
    serde_json::from_str(&input(file)?).map_err(Error::Json)
}

fn stored(answer: &Value) -> String {
    format!("version {}, {}", cell(answer.get("version")), cell(answer.get("level")))
}

fn watch(client: &Client, space: &str, out: Output) -> Result<(), Error> {
    let events = client.stream(&format!("events?space={}", segment(space)))?;
    for line in BufReader::new(events).lines() {
        let line = line.map_err(Error::Input)?;
        let Some(data) = line.strip_prefix("data:") else { continue };
        let event: Value = serde_json::from_str(data.trim()).unwrap_or_else(|_error| json!({"raw": data}));
        out.show(&event, ToString::to_string)?;
    }
    Ok(())
}
