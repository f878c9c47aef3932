//! Each route through a real socket.

use std::time::Duration;

use super::*;
use crate::{clock::Clock, http::Listener, tasks::Tasks};

const PATIENCE: Duration = Duration::from_secs(10);

async fn serve(config: &Config, health: Health) -> (Tasks, String) {
    let tasks = Tasks::new(Clock::system());
    let listener = Listener::bind(config.listen).await.unwrap();
    let base = format!("http://{}", listener.address());
    let admin = Admin::new(config, health, Registry::new()).status(|| async { json!({ "plates": 3 }) });
    listener.serve(&tasks, "admin", admin.router());
    (tasks, base)
}

async fn get(url: String) -> (u16, String) {
    let answer = reqwest::get(url).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

#[tokio::test]
async fn health_and_readiness_follow_the_rooms() {
    let health = Health::new();
    let (tasks, base) = serve(&Config::on(0), health.clone()).await;
    assert_eq!(get(format!("{base}/health")).await, (200, r#"{"healthy":true,"troubles":{}}"#.to_owned()));
    assert_eq!(get(format!("{base}/ready")).await.0, 503);
    health.set_ready(true);
    assert_eq!(get(format!("{base}/ready")).await, (200, r#"{"ready":true}"#.to_owned()));
    health.trouble("store", "the disk is full");
    let (code, text) = get(format!("{base}/health")).await;
    assert!(code == 503 && text.contains("the disk is full"), "{text}");
    assert_eq!(get(format!("{base}/status")).await, (200, r#"{"plates":3}"#.to_owned()));
    tasks.stop(PATIENCE).await.unwrap();
}

#[tokio::test]
async fn metrics_ask_for_their_token() {
    let config = Config { metrics_token: Some(Token::random()), ..Config::on(0) };
    let (tasks, base) = serve(&config, Health::new()).await;
    let url = format!("{base}/metrics");
    assert_eq!(get(url.clone()).await.0, 401);
    let token = config.metrics_token.unwrap();
    let answer = reqwest::Client::new().get(url).bearer_auth(token.secret_text()).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], OPEN_METRICS);
    assert!(answer.text().await.unwrap().ends_with("# EOF\n"));
    tasks.stop(PATIENCE).await.unwrap();
}

#[test]
fn a_short_token_is_refused() {
    let mut mistakes = Mistakes::default();
    let config = Config { metrics_token: Some(Token::new("short")), ..Config::on(0) };
    mistakes.within("admin", |mistakes| config.check(mistakes));
    assert!(mistakes.to_string().contains("admin.metrics_token: must have at least 16"), "{mistakes}");
}
