//! What the demo promises, with a small file.

use cosmic_loadtest::demo;

use super::ground::Ground;

const FILE_BYTES: u64 = 6 * 1024 * 1024 + 7;

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_keeps_its_promises() {
    let directory = Ground::new();
    let file = directory.path().join("shared.bin");
    demo::random_file(&file, FILE_BYTES, 1).unwrap();
    demo::run(&demo::Options { file: Some(file), ..demo::Options::default() }).await.unwrap();
}
