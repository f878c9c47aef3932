//! Files whose upload or download is interrupted by SIGKILL.

use cosmic_loadtest::{
    api::{self, App},
    demo,
    network::Network,
    process::Process,
};
use reqwest::Method;
use serde_json::Value;
use tokio::{io::AsyncWriteExt as _, net::TcpStream};

use super::{ground::Ground, notes::PATIENCE};

const SUPERNODES: usize = 6;
const ZONES: usize = 3;
const FILE_BYTES: u64 = 12 * 1024 * 1024 + 1;
const NAME: &str = "film.bin";

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_files_become_whole() {
    let directory = Ground::new();
    let file = directory.path().join("source.bin");
    demo::random_file(&file, FILE_BYTES, 2).unwrap();
    let content = std::fs::read(&file).unwrap();
    let network = Network::start(directory.path(), SUPERNODES, ZONES).await.unwrap();

    let writer = network.start_node("writer", &[]).await.unwrap();
    let space = App::new(&writer).create_space("Films").await.unwrap();
    let ticket = App::new(&writer).invite(&space, "viewer").await.unwrap();
    send_half(&writer, &space, &content).await;
    writer.kill().await.unwrap();

    let writer = network.start_node("writer", &[]).await.unwrap();
    let refused = App::new(&writer).download(&space, NAME).await.unwrap_err();
    assert!(matches!(refused, api::Error::Refused { status: 404, .. }), "half a file is no file: {refused}");
    App::new(&writer).upload(&space, NAME, content.clone()).await.unwrap();
    writer.kill().await.unwrap();

    let writer = network.start_node("writer", &[]).await.unwrap();
    let durable = |answer: &Value| {
        answer.get("level").and_then(Value::as_str) == Some("durable")
            && answer.get("survives").and_then(Value::as_u64) >= Some(3)
    };
    let path = format!("spaces/{space}/files/{NAME}/durability");
    App::new(&writer).wait_until(&path, "durable, survives 3", PATIENCE, durable).await.unwrap();
    writer.stop().await.unwrap();

    let reader = network.start_node("reader", &[]).await.unwrap();
    let app = App::new(&reader);
    app.join(&ticket).await.unwrap();
    let listed =
        |answer: &Value| answer.get("files").and_then(Value::as_array).is_some_and(|files| !files.is_empty());
    app.wait_until(&format!("spaces/{space}/files"), "the file", PATIENCE, listed).await.unwrap();
    let mut answer = app.download(&space, NAME).await.unwrap();
    assert!(answer.chunk().await.unwrap().is_some(), "the download has begun");
    reader.kill().await.unwrap();

    let reader = network.start_node("reader", &[]).await.unwrap();
    let read = App::new(&reader).download(&space, NAME).await.unwrap().bytes().await.unwrap();
    assert!(read == content, "the file is read as it was stored, byte for byte");
    reader.stop().await.unwrap();
    network.stop().await.unwrap();
}

/// Begins an upload and sends half of it.
async fn send_half(node: &Process, space: &str, content: &[u8]) {
    let request =
        App::new(node).request(Method::PUT, &format!("spaces/{space}/files/{NAME}")).build().unwrap();
    let run = node.run();
    let head = format!(
        "PUT {} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Length: {}\r\n\r\n",
        request.url().path(),
        run.http,
        run.token.as_deref().unwrap(),
        content.len(),
    );
    let mut stream = TcpStream::connect(&run.http).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&content[..content.len() / 2]).await.unwrap();
}
