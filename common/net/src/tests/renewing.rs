//! A certificate is replaced while WebSockets are listened for.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};

use super::{ECHO, SOON, start};
use crate::{Config, Error, Handle, WebSocket};

/// Tries until a new certificate is served: whoever connects first after the change has it looked at.
const TRIES: usize = 3;

fn certificate() -> CertifiedKey {
    generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap()
}

fn write(directory: &Path, name: &str, pem: &str) -> Option<PathBuf> {
    let path = directory.join(name);
    fs::write(&path, pem).unwrap();
    Some(path)
}

/// Whether somebody who believes in `authority` alone reaches `far`, as a peer of its own.
async fn reaches(seed: u8, authority: Option<PathBuf>, far: &Handle) -> Result<(), Error> {
    let websocket = WebSocket { authorities: authority, ..WebSocket::default() };
    let near = start(seed, Config { bulk: false, websocket, ..Config::default() }).await;
    near.add_addresses(far.local_peer(), &far.listening()).await?;
    near.open(far.local_peer(), ECHO, SOON).await.map(drop)
}

#[tokio::test]
async fn a_certificate_is_taken_over_while_running() {
    let directory = tempfile::tempdir().unwrap();
    let (old, new) = (certificate(), certificate());
    let believed = |name: &str, of: &CertifiedKey| write(directory.path(), name, &of.cert.pem());
    let (in_old, in_new) = (believed("old.crt", &old), believed("new.crt", &new));
    let serve = |of: &CertifiedKey| write(directory.path(), "web.crt", &of.cert.pem());
    let sign = |of: &CertifiedKey| write(directory.path(), "web.key", &of.key_pair.serialize_pem());
    let websocket = WebSocket {
        listen: Some(([127, 0, 0, 1], 0).into()),
        certificate: serve(&old),
        key: sign(&old),
        authorities: None,
    };
    let far = start(1, Config { bulk: false, websocket, ..Config::default() }).await;
    let _incoming = far.accept(ECHO).unwrap();
    reaches(2, in_old.clone(), &far).await.unwrap();
    reaches(3, in_new.clone(), &far).await.unwrap_err();

    // A certificate without its key is half of a renewal.
    serve(&new);
    for seed in 4..7 {
        reaches(seed, in_old.clone(), &far).await.unwrap();
    }
    sign(&new);
    let mut tried = 0;
    while let Err(error) = reaches(10, in_new.clone(), &far).await {
        tried += 1;
        assert!(tried < TRIES, "{error}");
    }
    reaches(11, in_old, &far).await.unwrap_err();
}
