//! The run file is private, complete at any moment, and gone in the end.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::data_dir::Owner;

const OWNER: Owner = Owner { program: "cosmic-test", format: 1 };

fn run() -> Run {
    let http = "127.0.0.1:7421".parse().unwrap();
    Run::new("cosmic-test", "0.1.0", Timestamp::from_unix_ms(5), http)
}

#[test]
fn it_tells_what_changed_and_goes_in_the_end() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(read(folder.path()).unwrap(), None);
    let directory = DataDir::open(folder.path(), OWNER).unwrap();
    let mut file = RunFile::create(&directory, run()).unwrap();
    file.update(|run| {
        run.ready = true;
        run.token = Some(Token::new("secret"));
        run.addresses.push("/ip4/127.0.0.1/tcp/1".parse().unwrap());
    })
    .unwrap();
    let told = read(folder.path()).unwrap().unwrap();
    assert_eq!(&told, file.run());
    assert!(told.ready && told.pid == process::id());
    let mode = fs::metadata(folder.path().join(NAME)).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    drop(file);
    assert_eq!(read(folder.path()).unwrap(), None);
}

#[test]
fn its_fields_are_a_promise_to_scripts() {
    let mut run = run();
    run.pid = 7;
    run.token = Some(Token::new("secret"));
    let json = serde_json::to_value(&run).unwrap();
    let expected = serde_json::json!({
        "pid": 7, "program": "cosmic-test", "version": "0.1.0", "started": 5, "ready": false,
        "http": "127.0.0.1:7421", "addresses": [], "token": "secret",
    });
    assert_eq!(json, expected);
    assert!(!format!("{run:?}").contains("secret"));
}

#[test]
fn what_is_not_ours_is_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(NAME), "{}").unwrap();
    assert!(read(folder.path()).unwrap_err().to_string().contains("remove it"));
}
