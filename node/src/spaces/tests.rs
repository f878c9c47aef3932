//! Two devices share a space without a network: what one stored is handed to the other.

use cosmic_space::rights::Role;
use serde_json::json;

use crate::{documents::store::Change, error::Error, testing::TestDevice};

#[tokio::test]
async fn a_device_joins_by_ticket_with_the_inviter_offline_and_both_converge() {
    let (a, b) = (TestDevice::new(1), TestDevice::new(2));
    let space = a.create_space().await;
    a.put(space, "one", json!({"text": "from A"})).await;
    a.seal(space).await;
    let ticket = a.invite(space, Role::Editor).await;

    assert_eq!(b.join(ticket).await, space);
    let refused = b.change(space, "two", Change::Put(json!({}))).await;
    assert!(matches!(refused, Err(Error::NotYet { .. })), "nothing can be written before the keys are here");
    assert!(b.pull(space, &a).await > 0);
    assert_eq!(b.value(space, "one").await, Some(json!({"text": "from A"})));

    b.change(space, "one", Change::Patch(json!({"more": "from B"}))).await.unwrap();
    a.change(space, "one", Change::Patch(json!({"even": "more from A"}))).await.unwrap();
    b.seal(space).await;
    a.seal(space).await;
    a.pull(space, &b).await;
    b.pull(space, &a).await;
    let merged = json!({"even": "more from A", "more": "from B", "text": "from A"});
    assert_eq!(a.value(space, "one").await, Some(merged.clone()));
    assert_eq!(b.value(space, "one").await, Some(merged));
}

#[tokio::test]
async fn a_viewer_reads_and_cannot_write() {
    let (a, b) = (TestDevice::new(1), TestDevice::new(2));
    let space = a.create_space().await;
    a.put(space, "one", json!({"n": 1})).await;
    a.seal(space).await;
    b.join(a.invite(space, Role::Viewer).await).await;
    b.pull(space, &a).await;
    assert_eq!(b.value(space, "one").await, Some(json!({"n": 1})));
    let refused = b.change(space, "one", Change::Put(json!({"n": 2}))).await;
    assert!(matches!(refused, Err(Error::NotAllowed(_))));
    let refused = b
        .write(move |core, connection| {
            let invitation = super::Invitation { role: Role::Viewer, expires: None, peers: Vec::new() };
            core.invite(connection, &space, invitation, &super::Seeds::random())
        })
        .await;
    assert!(matches!(refused, Err(Error::NotAllowed(_))));
}

#[tokio::test]
async fn a_third_device_invited_by_an_admin_reads_everything() {
    let (a, b, c) = (TestDevice::new(1), TestDevice::new(2), TestDevice::new(3));
    let space = a.create_space().await;
    a.put(space, "one", json!({"n": 1})).await;
    a.seal(space).await;
    b.join(a.invite(space, Role::Admin).await).await;
    b.pull(space, &a).await;
    c.join(b.invite(space, Role::Editor).await).await;
    c.pull(space, &b).await;
    assert_eq!(c.value(space, "one").await, Some(json!({"n": 1})));
    c.put(space, "two", json!({"from": "c"})).await;
    c.seal(space).await;
    a.pull(space, &c).await;
    assert_eq!(a.value(space, "two").await, Some(json!({"from": "c"})));
}

#[tokio::test]
async fn everything_is_there_after_a_restart_and_pending_changes_are_sealed_then() {
    let (a, b) = (TestDevice::new(1), TestDevice::new(2));
    let space = a.create_space().await;
    let ticket = a.invite(space, Role::Editor).await;
    a.put(space, "one", json!({"n": 1})).await;
    let a = a.restart(1, 11);
    assert_eq!(a.value(space, "one").await, Some(json!({"n": 1})));
    a.change(space, "one", Change::Patch(json!({"m": 2}))).await.unwrap();
    a.seal(space).await;
    b.join(ticket).await;
    b.pull(space, &a).await;
    assert_eq!(b.value(space, "one").await, Some(json!({"m": 2, "n": 1})));
}

#[tokio::test]
async fn a_copied_data_directory_writes_into_logs_of_its_own() {
    let (a, b) = (TestDevice::new(1), TestDevice::new(2));
    let space = a.create_space().await;
    let ticket = a.invite(space, Role::Editor).await;
    a.put(space, "one", json!({"n": 1})).await;
    let copy = tempfile::tempdir().unwrap();
    for file in std::fs::read_dir(a.directory.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), copy.path().join(file.file_name())).unwrap();
    }
    let twin = TestDevice::on(copy, 1, 12);
    a.change(space, "one", Change::Patch(json!({"a": 1}))).await.unwrap();
    twin.change(space, "one", Change::Patch(json!({"twin": 1}))).await.unwrap();
    a.seal(space).await;
    twin.seal(space).await;
    b.join(ticket).await;
    b.pull(space, &a).await;
    b.pull(space, &twin).await;
    a.pull(space, &twin).await;
    assert_eq!(b.value(space, "one").await, Some(json!({"a": 1, "n": 1, "twin": 1})));
    assert_eq!(a.value(space, "one").await, b.value(space, "one").await);
    let forks = a
        .database
        .read(|connection| {
            Ok::<i64, Error>(connection.query_row("SELECT count(*) FROM forks", [], |row| row.get(0))?)
        })
        .await
        .unwrap();
    assert_eq!(forks, 0);
}

#[tokio::test]
async fn a_forged_entry_stores_nothing() {
    let (a, b) = (TestDevice::new(1), TestDevice::new(2));
    let space = a.create_space().await;
    a.put(space, "one", json!({"n": 1})).await;
    a.seal(space).await;
    b.join(a.invite(space, Role::Editor).await).await;
    let mut runs = a.runs(space).await;
    let frame = runs.last_mut().unwrap().frames.last_mut().unwrap();
    *frame.last_mut().unwrap() ^= 1;
    let refused = b.write(move |core, connection| core.ingest(connection, &space, &runs)).await;
    assert!(refused.is_err());
    let entries = b
        .database
        .read(|connection| {
            Ok::<i64, Error>(connection.query_row("SELECT count(*) FROM entries", [], |row| row.get(0))?)
        })
        .await
        .unwrap();
    assert_eq!(entries, 0);
}

#[tokio::test]
async fn leaving_forgets_everything() {
    let a = TestDevice::new(1);
    let space = a.create_space().await;
    a.put(space, "one", json!({"n": 1})).await;
    a.write(move |core, connection| core.leave_space(connection, &space)).await.unwrap();
    assert_eq!(a.value(space, "one").await, None);
    let again = a.change(space, "one", Change::Put(json!({}))).await;
    assert!(matches!(again, Err(Error::NoSpace { .. })));
}
