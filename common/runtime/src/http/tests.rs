//! Tokens, hosts and listeners.

use std::time::Duration;

use axum::{http::HeaderValue, routing::get};

use super::*;
use crate::clock::Clock;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())).collect()
}

#[test]
fn a_token_comes_in_two_headers() {
    let token = Token::new("abc");
    for good in [("authorization", "Bearer abc"), ("authorization", "bearer abc"), ("x-api-key", "abc")] {
        assert!(token.is_in(&headers(&[good])), "{good:?}");
    }
    for bad in
        [("authorization", "Bearer ab"), ("authorization", "Basic abc"), ("x-api-key", "abcd"), ("x", "abc")]
    {
        assert!(!token.is_in(&headers(&[bad])), "{bad:?}");
    }
    assert_ne!(Token::random(), Token::random());
    assert_eq!(format!("{token:?}"), "Token(…)");
}

#[test]
fn only_hosts_that_no_web_page_can_take_are_ours() {
    let names = ["home.example".to_owned()];
    let cases: [(&[(&str, &str)], bool); 9] = [
        (&[("host", "127.0.0.1:7421")], true),
        (&[("host", "[::1]:7421")], true),
        (&[("host", "LocalHost")], true),
        (&[("host", "home.example:80")], true),
        (&[("host", "evil.example")], false),
        (&[], false),
        (&[("host", "localhost:1"), ("origin", "http://localhost:1")], true),
        (&[("host", "localhost:1"), ("origin", "https://evil.example")], false),
        (&[("host", "localhost:1"), ("origin", "null")], false),
    ];
    for (pairs, expected) in cases {
        let pairs: HeaderMap =
            pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        assert_eq!(is_own_host(&pairs, &names), expected, "{pairs:?}");
    }
}

#[tokio::test]
async fn guards_answer_with_problems() {
    let tasks = Tasks::new(Clock::system());
    let listener = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let url = format!("http://{}/secret", listener.address());
    let token = Token::random();
    let router = token.guard(Router::new().route("/secret", get(async || "plans")));
    listener.serve(&tasks, "api", guard_hosts(router, Vec::new()));
    let client = reqwest::Client::new();

    let answer = client.get(&url).send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "application/problem+json");
    assert_eq!(answer.json::<Problem>().await.unwrap().code, "unauthorized");
    let foreign = client.get(&url).bearer_auth(token.secret_text()).header("host", "evil.example");
    assert_eq!(foreign.send().await.unwrap().json::<Problem>().await.unwrap().code, "foreign-host");
    let good = client.get(&url).bearer_auth(token.secret_text()).send().await.unwrap();
    assert_eq!(good.text().await.unwrap(), "plans");
    tasks.stop(Duration::from_secs(10)).await.unwrap();
}

#[tokio::test]
async fn a_taken_port_is_one_sentence() {
    let first = Listener::bind(([127, 0, 0, 1], 0).into()).await.unwrap();
    let error = Listener::bind(first.address()).await.unwrap_err();
    assert!(error.to_string().contains("the port is taken"), "{error}");
}
