//! A process that answers from a thread, and what its command line makes of it.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    path::Path,
    thread::{self, JoinHandle},
};

use cosmic_runtime::{data_dir::Home, exit::sentence};
use serde_json::{Value, json};

use super::*;

const HOUSE: House = House { program: "cosmic-shed", noun: "shed", home: Home::User };

/// Answers `/health`, then one request with `answer`; returns that request.
fn process(directory: &Path, answer: &'static str) -> JoinHandle<String> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let run = json!({
        "pid": 1, "program": "cosmic-shed", "version": "1", "started": 0, "ready": true,
        "http": listener.local_addr().unwrap(), "token": "secret",
    });
    fs::write(directory.join("run.json"), run.to_string()).unwrap();
    thread::spawn(move || {
        let mut heard = String::new();
        for answer in ["HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}", answer] {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.windows(4).any(|end| end == b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend(byte);
            }
            stream.write_all(answer.as_bytes()).unwrap();
            heard = String::from_utf8(request).unwrap();
        }
        heard
    })
}

#[test]
fn a_request_carries_the_token_and_nothing_is_null() {
    let directory = tempfile::tempdir().unwrap();
    let process = process(directory.path(), "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n");
    let answer = Client::find(HOUSE, directory.path()).unwrap().delete("tools/saw").unwrap();
    assert_eq!(answer, Value::Null);
    let heard = process.join().unwrap().to_lowercase();
    assert!(heard.starts_with("delete /api/v1/tools/saw http/1.1"), "{heard}");
    assert!(heard.contains("authorization: bearer secret"), "{heard}");
}

#[test]
fn a_refusal_is_told_with_its_code() {
    let directory = tempfile::tempdir().unwrap();
    let answer = "HTTP/1.1 404 Not Found\r\nconnection: close\r\n\r\n\
                  {\"status\":404,\"code\":\"no-tool\",\"title\":\"no such tool\",\"detail\":\"there is no saw\"}";
    let process = process(directory.path(), answer);
    let refused = Client::find(HOUSE, directory.path()).unwrap().get::<Value>("tools/saw").unwrap_err();
    assert_eq!(sentence(&refused), "there is no saw [no-tool]");
    process.join().unwrap();
}

#[test]
fn an_answer_of_something_else_is_told_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let process = process(directory.path(), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n<html>");
    let refused = Client::find(HOUSE, directory.path()).unwrap().get::<Value>("tools").unwrap_err();
    assert!(sentence(&refused).starts_with("the shed answered something unknown"), "{refused}");
    process.join().unwrap();
}

#[test]
fn nobody_there_is_told_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let words = format!("start it with: cosmic-shed run --data-dir {}", directory.path().display());
    let find = || sentence(&Client::find(HOUSE, directory.path()).unwrap_err());
    assert!(find().contains(&words), "{}", find());
    // A killed process leaves its file behind, and nobody listens any more.
    let left = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let run = json!({
        "pid": 1, "program": "cosmic-shed", "version": "1", "started": 0, "ready": true, "http": left,
    });
    fs::write(directory.path().join("run.json"), run.to_string()).unwrap();
    assert!(find().contains(&words), "{}", find());
}

#[test]
fn a_segment_holds_any_name() {
    assert_eq!(segment("a/b c~é"), "a%2Fb%20c~%C3%A9");
}
