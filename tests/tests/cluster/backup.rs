//! A backup made while a supernode runs, and a supernode that lives on from it.

use std::fs;

use cosmic_loadtest::{
    api::App,
    network::{self, Network},
    process,
};
use serde_json::Value;

use super::{
    ground::Ground,
    notes::{self, PATIENCE},
};

const SUPERNODES: usize = 3;
const DOCUMENTS: usize = 15;

async fn write(app: &App, space: &str, name: &str) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..DOCUMENTS {
        let id = format!("{name}-{number}");
        notes::write_replicated(app, space, &id, PATIENCE).await.unwrap();
        ids.push(id);
    }
    ids
}

fn number(value: &Value, field: &str) -> u64 {
    value.get(field).and_then(Value::as_u64).unwrap()
}

/// All that is kept is on the account of the operator whose gateway the device wrote to, who may have more kept, or less.
async fn bound_the_operator(from: &str, usage: &Value, entries: u64) {
    let sponsors = usage.get("operators").and_then(Value::as_array).unwrap();
    let [sponsored] = sponsors.as_slice() else { panic!("one space has one sponsor: {usage}") };
    let operator = sponsored.get("operator").and_then(Value::as_str).unwrap();
    assert_eq!(number(sponsored, "entries"), entries, "{usage}");
    let data_dir = ["--data-dir", from, "--json"];
    let set = [&["quota", "set", "--operator", operator, "--entry-bytes", "1"], &data_dir[..]].concat();
    let set = process::command_json("cosmic-supernode", &set).await.unwrap();
    assert_eq!((number(&set, "entry_bytes_max"), number(&set, "entries")), (1, entries), "{set}");
    let lift = [&["quota", "lift", operator], &data_dir[..]].concat();
    let lifted = process::command_json("cosmic-supernode", &lift).await.unwrap();
    assert!(lifted.get("entry_bytes_max").is_some_and(Value::is_null), "{lifted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_made_while_running_is_a_supernode_again() {
    let directory = Ground::new();
    let mut network = Network::start(directory.path(), SUPERNODES, SUPERNODES).await.unwrap();
    let node = network.start_node("node", &[]).await.unwrap();
    let app = App::new(&node);
    let space = app.create_space("Backup").await.unwrap();
    let mut ids = write(&app, &space, "before").await;

    let home = network.supernode_directory(0);
    let (from, to) = (home.display().to_string(), directory.path().join("backup").display().to_string());
    let backup = ["backup", "--data-dir", &from, "--to", &to, "--json"];
    let made = process::command_json("cosmic-supernode", &backup).await.unwrap();
    assert!(number(&made, "bytes") > 0, "{made}");
    assert!(
        !directory.path().join("backup/peer.key").exists(),
        "a backup holds no key unless it is asked for"
    );
    let again = process::command("cosmic-supernode", &backup, None).await.unwrap_err();
    assert!(again.to_string().contains("nothing may be there"), "{again}");
    let verify = ["verify", "--data-dir", &to, "--json"];
    let verified = process::command_json("cosmic-supernode", &verify).await.unwrap();
    let entries =
        verified.as_array().unwrap().iter().find(|table| table.get("table") == Some(&"entries".into()));
    let backed_up = number(entries.unwrap(), "rows");
    assert!(backed_up >= DOCUMENTS as u64, "{verified}");

    // What its counters say is what the backup holds, and a plan says what would move.
    let usage =
        process::command_json("cosmic-supernode", &["usage", "--data-dir", &from, "--json"]).await.unwrap();
    assert_eq!(number(usage.get("total").unwrap(), "entries"), backed_up, "{usage}");
    bound_the_operator(&from, &usage, backed_up).await;
    let plan = ["ring", "plan", "--leave", "--data-dir", &from, "--json"];
    let plan = process::command_json("cosmic-supernode", &plan).await.unwrap();
    assert_eq!(plan.get("class_after").and_then(Value::as_str), Some("1 of 2"), "{plan}");
    assert!(number(&plan, "bytes") >= number(&plan, "bytes_least"), "{plan}");

    // The machine is lost later, with what came after the backup. Its key lies elsewhere.
    ids.extend(write(&app, &space, "after").await);
    let before = network::status(network.supernodes[0].as_ref().unwrap()).await.unwrap();
    network.kill_supernode(0).await.unwrap();
    let lost = directory.path().join("lost");
    fs::rename(&home, &lost).unwrap();
    fs::rename(directory.path().join("backup"), &home).unwrap();
    for file in ["peer.key", "member.record"] {
        fs::copy(lost.join(file), home.join(file)).unwrap();
    }
    network.start_supernode(0).await.unwrap();
    let restored = network::status(network.supernodes[0].as_ref().unwrap()).await.unwrap();
    assert_eq!(restored.get("peer"), before.get("peer"));
    assert_ne!(
        restored.get("incarnation"),
        before.get("incarnation"),
        "what came after the backup was promised"
    );
    assert!(number(&restored, "entries") >= backed_up, "{restored}");
    let filling = async {
        loop {
            let status = network::status(network.supernodes[0].as_ref().unwrap()).await.unwrap();
            if number(&status, "entries") >= number(&before, "entries") {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    };
    tokio::time::timeout(PATIENCE, filling).await.unwrap();
    notes::wait_for(&app, &space, &ids).await;
    node.stop().await.unwrap();
    network.stop().await.unwrap();
}
