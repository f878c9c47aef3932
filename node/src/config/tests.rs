//! Settings as a person meets them.

use std::path::Path;

use cosmic_runtime::config::{Sources, keys, load};

use super::Config;

#[test]
fn the_example_file_states_the_defaults() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/node.toml");
    assert_eq!(load::<Config>(&Sources::new().file(&path)).unwrap(), Config::default());
    let text = std::fs::read_to_string(path).unwrap();
    for key in keys::<Config>() {
        let name = key.path.rsplit('.').next().unwrap();
        assert!(text.contains(&format!("{name} = ")), "{} is missing in the example file", key.path);
    }
}

#[test]
fn an_address_becomes_one_for_each_transport() {
    let addresses: Vec<String> = Config::default().addresses().iter().map(ToString::to_string).collect();
    assert_eq!(addresses, ["/ip4/0.0.0.0/udp/7420/quic-v1", "/ip4/0.0.0.0/tcp/7420"]);
}
