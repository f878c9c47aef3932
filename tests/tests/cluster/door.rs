//! The API's door: who may come in, and what it answers to conditions and ranges.

use std::path::Path;

use cosmic_loadtest::{
    api::{self, App},
    process::Process,
};
use reqwest::{Client, Method, StatusCode, header};
use serde_json::json;

use super::{ground::Ground, notes};

/// A node on its own, without a network.
async fn alone(directory: &Path) -> Process {
    let listen = ["--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"];
    Process::start("cosmic-node", &directory.join("node"), &listen).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_comes_in_without_a_token_or_from_a_foreign_page() {
    let directory = Ground::new();
    let node = alone(directory.path()).await;
    let url = format!("http://{}/api/v1/spaces", node.run().http);
    let status = |request: reqwest::RequestBuilder| async { request.send().await.unwrap().status() };
    assert_eq!(status(Client::new().get(&url)).await, StatusCode::UNAUTHORIZED);
    assert_eq!(status(Client::new().get(&url).bearer_auth("guessed")).await, StatusCode::UNAUTHORIZED);
    let app = App::new(&node);
    let spaces = || app.request(Method::GET, "spaces");
    assert_eq!(status(spaces()).await, StatusCode::OK);
    assert_eq!(status(spaces().header(header::HOST, "evil.example")).await, StatusCode::FORBIDDEN);
    for origin in ["http://evil.example", "null"] {
        assert_eq!(status(spaces().header(header::ORIGIN, origin)).await, StatusCode::FORBIDDEN);
    }
    let own = format!("http://{}", node.run().http);
    assert_eq!(status(spaces().header(header::ORIGIN, own)).await, StatusCode::OK);
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_an_outdated_version_is_refused() {
    let directory = Ground::new();
    let node = alone(directory.path()).await;
    let app = App::new(&node);
    let space = app.create_space("Alone").await.unwrap();
    let path = notes::path(&space, "note");
    let put = |tag: Option<String>, number: u32| {
        let app = app.clone();
        let path = path.clone();
        async move {
            let build = |request: reqwest::RequestBuilder| {
                let request = request.json(&json!({ "number": number }));
                tag.iter().fold(request, |request, tag| request.header(header::IF_MATCH, tag))
            };
            let answer = app.send(Method::PUT, &path, build).await?;
            Ok::<_, api::Error>(answer.headers()[header::ETAG].to_str().unwrap().to_owned())
        }
    };
    let first = put(None, 1).await.unwrap();
    let second = put(Some(first.clone()), 2).await.unwrap();
    assert_ne!(first, second);
    let refused = put(Some(first), 3).await.unwrap_err();
    assert!(matches!(refused, api::Error::Refused { status: 412, .. }), "{refused}");
    assert_eq!(app.get(&path).await.unwrap()["value"], json!({ "number": 2 }));
    node.stop().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_read_in_part() {
    let directory = Ground::new();
    let node = alone(directory.path()).await;
    let app = App::new(&node);
    let space = app.create_space("Alone").await.unwrap();
    let content: Vec<u8> =
        (0..5_000_000_u32).map(|number| number.to_le_bytes()[number as usize % 3]).collect();
    app.upload(&space, "numbers", content.clone()).await.unwrap();
    let path = format!("spaces/{space}/files/numbers");
    let total = content.len();
    let ranges = [
        ("bytes=0-0", 0..1),
        ("bytes=4000000-4400000", 4_000_000..4_400_001),
        ("bytes=-7", total - 7..total),
    ];
    for (text, range) in ranges {
        let answer =
            app.send(Method::GET, &path, |request| request.header(header::RANGE, text)).await.unwrap();
        assert_eq!(answer.status(), StatusCode::PARTIAL_CONTENT);
        let told = format!("bytes {}-{}/{total}", range.start, range.end - 1);
        assert_eq!(answer.headers()[header::CONTENT_RANGE], told.as_str());
        assert!(answer.bytes().await.unwrap() == content[range], "{text}");
    }
    let beyond =
        app.send(Method::GET, &path, |request| request.header(header::RANGE, "bytes=9000000-")).await;
    assert!(matches!(beyond, Err(api::Error::Refused { status: 416, .. })), "{beyond:?}");
    node.stop().await.unwrap();
}
