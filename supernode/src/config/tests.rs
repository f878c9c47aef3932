//! The example file says what the code says, and flags mean what they meant.

use std::path::Path;

use cosmic_net::Transport;
use cosmic_runtime::config::{Sources, keys, load};

use super::{Config, Flags};

fn example() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/config/supernode.toml")
}

#[test]
fn the_example_file_holds_every_setting_with_its_default() {
    let loaded: Config = load(&Sources::new().file(example())).unwrap();
    assert_eq!(loaded, Config::default());
    let text = std::fs::read_to_string(example()).unwrap();
    for key in keys::<Config>() {
        let name = key.path.rsplit('.').next().unwrap();
        let line = |line: &str| line.trim_start_matches("# ").starts_with(&format!("{name} = "));
        assert!(text.lines().any(line), "{} is missing from the example file", key.path);
    }
}

#[test]
fn one_address_means_both_transports() {
    let folder = tempfile::tempdir().unwrap();
    let flags = Flags {
        listen: Some("127.0.0.1:0".to_owned()),
        http: Some("127.0.0.1:0".to_owned()),
        set: vec!["objects.in_flight_max=2".to_owned()],
        ..Flags::default()
    };
    let config = super::load(&flags, folder.path()).unwrap();
    let net = config.net().unwrap();
    let listen: Vec<&str> = net.listen.iter().map(|address| address.as_str()).collect();
    assert_eq!(listen, ["/ip4/127.0.0.1/udp/0/quic-v1", "/ip4/127.0.0.1/tcp/0"]);
    assert_eq!(
        (net.prefer, config.admin.listen.port(), config.objects.in_flight_max),
        (Transport::Tcp, 0, 2)
    );
}

#[test]
fn bulk_has_the_port_after_unless_told_otherwise() {
    let bulk = |settings: &[&str]| {
        let sources = settings.iter().fold(Sources::new(), |sources, one| sources.assignment(one));
        let net = load::<Config>(&sources).unwrap().net().unwrap();
        net.bulk_listen.filter(|_| net.bulk).map(|address| address.to_string())
    };
    assert_eq!(bulk(&[]).as_deref(), Some("0.0.0.0:7411"));
    assert_eq!(bulk(&["listen=127.0.0.1:0"]).as_deref(), Some("127.0.0.1:0"));
    assert_eq!(bulk(&["bulk_port=9000"]).as_deref(), Some("0.0.0.0:9000"));
    assert_eq!(bulk(&["bulk=false"]), None);
}

#[test]
fn what_makes_no_sense_is_refused_with_all_mistakes() {
    let sources = ["objects.in_flight_max=0", "sessions.spaces_max=0"];
    let sources = sources.iter().fold(Sources::new(), |sources, one| sources.assignment(one));
    let mistakes = load::<Config>(&sources).unwrap_err();
    assert_eq!(mistakes.iter().count(), 2, "{mistakes}");
}
