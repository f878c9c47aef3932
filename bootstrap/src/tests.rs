//! A bootstrap node in this process, over sockets of loopback; and the changes its owner signs.

mod changes;
mod doors;

use std::path::Path;

use cosmic_common::id::OperatorId;
use cosmic_identity::key::SecretKey;
use cosmic_runtime::{
    admin,
    config::{self, Sources},
};

use crate::config::Config;

fn network_key() -> SecretKey {
    SecretKey::from_seed(&[1; 32])
}

fn operator(number: u8) -> OperatorId {
    SecretKey::from_seed(&[number; 32]).operator_id()
}

/// Free ports of loopback.
fn loopback() -> Config {
    Config { listen: ([127, 0, 0, 1], 0).into(), admin: admin::Config::on(0), ..Config::default() }
}

#[test]
fn the_example_file_states_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/bootstrap.toml");
    assert_eq!(config::load::<Config>(&Sources::new().file(&path)).unwrap(), Config::default());
    let text = std::fs::read_to_string(path).unwrap();
    for key in config::keys::<Config>() {
        let name = key.path.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("{name} = ")), "{} is missing in the example file", key.path);
    }
}
