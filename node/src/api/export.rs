//! A plain export: all documents and files of a space in the clear, for people who want to leave with their data.

use std::{
    fs::{self, File},
    io::{BufWriter, Write as _},
    path::{Path, PathBuf},
};

use axum::{Json, extract::State};
use futures::{StreamExt as _, pin_mut};
use rusqlite::Connection;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    error::Error,
    files::{rows, transfer},
    node::Node,
};

/// What to export, and where to.
#[derive(Debug, Deserialize)]
pub(super) struct Request {
    space: String,
    directory: PathBuf,
}

pub(super) async fn export(
    State(node): State<Node>,
    Json(request): Json<Request>,
) -> Result<Json<Value>, Error> {
    let space = node.find_space(&request.space).await?;
    let directory = request.directory;
    fs::create_dir_all(directory.join("files")).map_err(failed(&directory))?;
    let documents = directory.join("documents.jsonl");
    let (count, files) = node
        .read(move |connection| {
            let count = write_documents(connection, space.as_bytes(), &documents)?;
            Ok((count, rows::list(connection, &space)?))
        })
        .await?;
    let exported = files.len();
    for row in files {
        let path = directory.join("files").join(file_name(&row.body.name));
        let bytes = row.body.bytes;
        let pieces = transfer::read(&node, space, row.body, 0..bytes).await?;
        pin_mut!(pieces);
        let mut file = File::create(&path).map_err(failed(&path))?;
        while let Some(piece) = pieces.next().await {
            file.write_all(&piece?).map_err(failed(&path))?;
        }
    }
    Ok(Json(json!({"documents": count, "files": exported, "directory": directory})))
}

fn failed(path: &Path) -> impl Fn(std::io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Export { path: path.clone(), source }
}

/// A file's name in the space may hold anything; on disk it is one name.
fn file_name(name: &str) -> String {
    let name: String =
        name.chars().map(|c| if c == '/' || c == '\\' || c == '\0' { '_' } else { c }).collect();
    if name.starts_with('.') { format!("_{name}") } else { name }
}

fn write_documents(connection: &Connection, space: &[u8; 32], path: &Path) -> Result<u64, Error> {
    let mut out = BufWriter::new(File::create(path).map_err(failed(path))?);
    let mut statement = connection.prepare(
        "SELECT collection, document, json, version FROM documents WHERE space = ?1 AND json IS NOT NULL ORDER BY collection, document",
    )?;
    let mut rows = statement.query([space])?;
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let text: String = row.get(2)?;
        let value: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        let (collection, id, version): (String, String, String) = (row.get(0)?, row.get(1)?, row.get(3)?);
        let line = json!({"collection": collection, "id": id, "version": version, "value": value});
        writeln!(out, "{line}").map_err(failed(path))?;
        count += 1;
    }
    out.flush().map_err(failed(path))?;
    Ok(count)
}
