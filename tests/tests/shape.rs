//! The crate arrows of `docs/architecture.md`, compared with `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

/// Each crate and the crates of ours it may depend on. Tests may see everything.
const ARROWS: &[(&str, &[&str])] = &[
    ("common", &[]),
    ("identity", &["common"]),
    ("log", &["common", "identity"]),
    ("space", &["common", "identity", "log"]),
    ("seal", &["common", "identity", "space"]),
    ("sync", &["common", "log", "space"]),
    ("erasure", &["common"]),
    ("ring", &["common", "identity"]),
    ("custody", &["common", "identity", "erasure", "ring"]),
    ("summary", &["common", "identity", "ring"]),
    ("turn", &["common"]),
    ("runtime", &["common"]),
    ("cli", &["runtime"]),
    ("net", &["common", "identity", "runtime"]),
    ("store", &["common", "runtime"]),
    ("membership", &["common", "identity", "ring", "net", "runtime"]),
    (
        "node",
        &[
            "common",
            "identity",
            "log",
            "space",
            "seal",
            "sync",
            "erasure",
            "ring",
            "custody",
            "runtime",
            "cli",
            "net",
            "membership",
        ],
    ),
    (
        "supernode",
        &[
            "common",
            "identity",
            "log",
            "space",
            "sync",
            "erasure",
            "ring",
            "custody",
            "summary",
            "runtime",
            "cli",
            "net",
            "store",
            "turn",
            "membership",
        ],
    ),
    ("bootstrap", &["common", "identity", "ring", "net", "runtime", "cli", "membership"]),
];

/// Crates that may depend on anything of ours.
const OBSERVERS: &[&str] = &["cosmic-tests", "cosmic-loadtest"];

/// Heavy crates and their one owner (I8).
const OWNERS: &[(&str, &str)] = &[
    ("libp2p", "cosmic-net"),
    ("libp2p-stream", "cosmic-net"),
    ("quinn", "cosmic-net"),
    ("rocksdb", "cosmic-store"),
    ("rusqlite", "cosmic-node"),
    ("loro", "cosmic-node"),
    ("reqwest", "cosmic-cli"),
    ("hpke", "cosmic-seal"),
    ("chacha20poly1305", "cosmic-seal"),
];

/// What a rule may never name: it would bring a clock, a disk, a socket or randomness (I2).
const NOT_IN_RULES: &[&str] = &["tokio", "getrandom", "axum", "libp2p", "rocksdb", "rusqlite", "reqwest"];
const RULES: &[&str] =
    &["common", "identity", "log", "space", "seal", "sync", "erasure", "ring", "custody", "summary", "turn"];

#[expect(clippy::expect_used, reason = "a test fails by panicking")]
fn metadata() -> Metadata {
    MetadataCommand::new()
        .manifest_path(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml"))
        .no_deps()
        .other_options(vec!["--offline".to_owned()])
        .exec()
        .expect("cargo metadata reads the workspace")
}

/// Normal dependencies of each workspace member.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    metadata()
        .packages
        .iter()
        .map(|package| {
            let names = package
                .dependencies
                .iter()
                .filter(|dependency| dependency.kind != DependencyKind::Development)
                .map(|dependency| dependency.name.clone())
                .collect();
            (package.name.to_string(), names)
        })
        .collect()
}

#[test]
fn every_arrow_between_crates_is_listed() {
    let allowed: BTreeMap<String, BTreeSet<String>> = ARROWS
        .iter()
        .map(|(name, targets)| {
            (format!("cosmic-{name}"), targets.iter().map(|target| format!("cosmic-{target}")).collect())
        })
        .collect();
    for (name, dependencies) in dependencies() {
        if OBSERVERS.contains(&name.as_str()) {
            continue;
        }
        let allowed = allowed.get(&name).unwrap_or_else(|| panic!("{name} is not in the list of arrows"));
        for target in dependencies.iter().filter(|target| target.starts_with("cosmic-")) {
            assert!(allowed.contains(target), "{name} must not depend on {target} (docs/architecture.md)");
        }
    }
}

#[test]
fn heavy_crates_have_one_owner() {
    for (name, dependencies) in dependencies() {
        for (heavy, owner) in OWNERS {
            let plays_an_app = *heavy == "reqwest" && OBSERVERS.contains(&name.as_str());
            assert!(
                !dependencies.contains(*heavy) || name == *owner || plays_an_app,
                "{name} depends on {heavy}, which only {owner} may"
            );
        }
    }
}

#[test]
fn rules_bring_no_clock_disk_or_socket() {
    let dependencies = dependencies();
    for rule in RULES {
        for forbidden in NOT_IN_RULES {
            assert!(
                !dependencies[&format!("cosmic-{rule}")].contains(*forbidden),
                "cosmic-{rule} is a rule and must not depend on {forbidden}"
            );
        }
    }
}

#[test]
fn a_supernode_cannot_name_seal_not_even_through_others() {
    let dependencies = dependencies();
    let mut reachable = BTreeSet::new();
    let mut open = vec!["cosmic-supernode".to_owned(), "cosmic-bootstrap".to_owned()];
    while let Some(name) = open.pop() {
        for target in dependencies.get(&name).into_iter().flatten() {
            if target.starts_with("cosmic-") && reachable.insert(target.clone()) {
                open.push(target.clone());
            }
        }
    }
    assert!(reachable.contains("cosmic-custody"), "the walk finds what supernodes do use");
    assert!(
        !reachable.contains("cosmic-seal"),
        "whoever carries ciphertext cannot name the crate that opens it"
    );
}

#[test]
fn every_crate_obeys_the_workspace_lints() {
    for package in metadata().packages {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("a readable manifest");
        let manifest: toml::Table = manifest.parse().expect("a valid manifest");
        assert_eq!(
            manifest.get("lints").and_then(|lints| lints.get("workspace")).and_then(toml::Value::as_bool),
            Some(true),
            "{} must say [lints] workspace = true",
            package.name
        );
    }
}
