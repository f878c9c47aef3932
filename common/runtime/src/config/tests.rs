//! Precedence of the layers, and mistakes in each of them.

use std::net::SocketAddr;

use serde::Deserialize;

use super::*;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct House {
    name: String,
    admin: Admin,
    peers: Vec<String>,
    region: Option<String>,
    weight: f64,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Admin {
    listen: SocketAddr,
    patience_ms: u64,
    open: bool,
    token: Option<String>,
}

impl Default for House {
    fn default() -> Self {
        let listen = "127.0.0.1:7401".parse().unwrap();
        Self {
            name: "house".to_owned(),
            admin: Admin { listen, patience_ms: 500, open: false, token: None },
            peers: Vec::new(),
            region: None,
            weight: 1.0,
        }
    }
}

impl Settings for House {
    fn check(&self, mistakes: &mut Mistakes) {
        mistakes.within("admin", |mistakes| {
            if self.admin.patience_ms == 0 {
                mistakes.refuse("patience_ms", "must be at least 1");
            }
        });
    }
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("house.toml");
    std::fs::write(&path, text).unwrap();
    (folder, path)
}

fn environment(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
    pairs.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

fn told(sources: &Sources) -> Vec<String> {
    load::<House>(sources).unwrap_err().iter().map(ToString::to_string).collect()
}

#[test]
fn without_sources_the_defaults_hold() {
    assert_eq!(load::<House>(&Sources::new()).unwrap(), House::default());
    let absent = Sources::new().file_if_present("/nowhere/house.toml");
    assert_eq!(load::<House>(&absent).unwrap(), House::default());
}

#[test]
fn flag_beats_environment_beats_file_beats_default() {
    let (_folder, path) = file("name = 'f'\nregion = 'f'\n[admin]\npatience_ms = 1\nopen = true\n");
    let sources = Sources::new()
        .file(path)
        .environment(environment(&[("COSMIC_NAME", "e"), ("COSMIC_ADMIN_PATIENCE_MS", "2")]))
        .flag("--name", "name", Some("123".to_owned()))
        .flag("--region", "region", None);
    let house = load::<House>(&sources).unwrap();
    assert_eq!((house.name.as_str(), house.region.as_deref()), ("123", Some("f")));
    assert_eq!((house.admin.patience_ms, house.admin.open), (2, true));
    assert_eq!(house.admin.listen, House::default().admin.listen);
}

#[test]
fn text_becomes_what_the_key_needs() {
    let variables = environment(&[
        ("COSMIC_PEERS", "a, b"),
        ("COSMIC_WEIGHT", "2"),
        ("COSMIC_ADMIN_TOKEN", "007"),
        ("COSMIC_ADMIN_OPEN", "true"),
        ("COSMIC_REGION", ""),
        ("PATH", "/bin"),
        ("COSMIC_DATA_DIR", "/data"),
        ("COSMIC_TICKET_FILE", "x"),
    ]);
    let sources = Sources::new()
        .environment(variables)
        .not_a_setting("COSMIC_TICKET_FILE")
        .assignment("admin.listen = [::1]:80");
    let house = load::<House>(&sources).unwrap();
    assert_eq!(house.peers, ["a", "b"]);
    assert_eq!(house.admin.token.as_deref(), Some("007"));
    assert_eq!(house.admin.listen, "[::1]:80".parse().unwrap());
    assert!(house.admin.open && house.region.is_none() && (house.weight - 2.0).abs() < f64::EPSILON);
    let list = Sources::new().assignment("peers = ['x', 'y,z']");
    assert_eq!(load::<House>(&list).unwrap().peers, ["x", "y,z"]);
}

#[test]
fn every_mistake_is_told_with_its_place() {
    let (_folder, path) = file(
        "nam = 'x'\nadmin.listen = 'home'\nadmin.patience_ms = -1\nlisten = 1\npeers = [1]\nzzz.y = 0\n",
    );
    let shown = path.display().to_string();
    let sources = Sources::new()
        .file(path)
        .environment(environment(&[("COSMIC_ADMIN_LISTNE", "x"), ("COSMIC_WEIGHT", "heavy")]))
        .assignment("admin.patience_ms=0")
        .assignment("admin=1");
    let told = told(&sources);
    let expected = [
        format!("{shown}:2: admin.listen: invalid socket address syntax"),
        format!("{shown}:3: admin.patience_ms: invalid value: integer `-1`, expected u64"),
        format!("{shown}:5: peers: invalid type: integer `1`, expected a string"),
        format!("{shown}:1: there is no setting nam; did you mean name?"),
        format!("{shown}:4: there is no setting listen; did you mean admin.listen?"),
        format!("{shown}:6: there is no setting zzz"),
        "COSMIC_ADMIN_LISTNE: there is no setting COSMIC_ADMIN_LISTNE; did you mean COSMIC_ADMIN_LISTEN?"
            .into(),
        "COSMIC_WEIGHT: weight: invalid type: string \"heavy\", expected f64".into(),
        "--set admin: admin is a table of settings, not a value".into(),
        "--set admin.patience_ms: admin.patience_ms: must be at least 1".into(),
    ];
    for mistake in &expected {
        assert!(told.contains(mistake), "{mistake} is not in {told:#?}");
    }
    assert_eq!(told.len(), expected.len(), "{told:#?}");
}

#[test]
fn a_file_may_be_missing_broken_or_of_other_shape() {
    assert!(told(&Sources::new().file("/nowhere/house.toml"))[0].contains("cannot be read: No such file"));
    let (_folder, path) = file("name = 'x'\nname = 'y'\nregion = = 3\nadmin = 7\n");
    let told = told(&Sources::new().file(&path));
    assert!(told.iter().any(|mistake| mistake.contains(":2: not TOML: duplicate key")), "{told:?}");
    assert!(told.iter().any(|mistake| mistake.contains(":3: not TOML")), "{told:?}");
    assert!(told.iter().any(|mistake| mistake.contains(":4: admin is a table")), "{told:?}");
}

#[test]
fn one_mistake_is_one_line() {
    let mistakes = load::<House>(&Sources::new().assignment("weight=x")).unwrap_err();
    assert_eq!(
        mistakes.to_string(),
        "the configuration has a mistake: --set weight: weight: invalid type: string \"x\", expected f64"
    );
    assert_eq!(crate::Error::from(mistakes).exit_code(), crate::exit::Code::Configuration);
}

#[test]
fn keys_are_listed_for_manuals() {
    let keys = keys::<House>();
    let listen = keys.iter().find(|key| key.path == "admin.listen").unwrap();
    assert_eq!(listen.variable, "COSMIC_ADMIN_LISTEN");
    assert_eq!(listen.default, "127.0.0.1:7401");
    assert_eq!(keys.len(), 8);
}

#[test]
fn a_key_without_its_unit_is_near() {
    let sources = Sources::new()
        .environment(environment(&[("COSMIC_ADMIN_PATIENCE", "1")]))
        .assignment("admin.patience=1")
        .assignment("x=1");
    let told = told(&sources);
    assert!(told[0].ends_with("did you mean COSMIC_ADMIN_PATIENCE_MS?"), "{told:?}");
    assert!(told[1].ends_with("did you mean admin.patience_ms?"), "{told:?}");
    assert!(told[2].ends_with("there is no setting x"), "{told:?}");
}

#[test]
fn distances_are_those_of_levenshtein() {
    for (left, right, distance) in
        [("", "", 0), ("abc", "", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2)]
    {
        assert_eq!(keys::edits(left, right), distance);
        assert_eq!(keys::edits(right, left), distance);
    }
}

#[test]
fn a_file_that_cannot_be_there_is_no_mistake() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let below = file.join("house.toml");
    assert_eq!(load::<House>(&Sources::new().file_if_present(&below)).unwrap(), House::default());
    assert!(load::<House>(&Sources::new().file(&below)).is_err());
    // What is there and cannot be read is a mistake, wherever it lies.
    assert!(load::<House>(&Sources::new().file_if_present(folder.path())).is_err());
}

#[test]
fn who_writes_the_name_of_a_flag_is_told_its_key() {
    let sources = |wrong: &str| Sources::new().flag("--http", "admin.listen", None).assignment(wrong);
    for wrong in ["htp=1", "http=1"] {
        let told = told(&sources(wrong));
        assert!(told.iter().all(|told| told.ends_with("did you mean admin.listen?")), "{told:?}");
    }
    let variables = environment(&[("COSMIC_HTTP", "x")]);
    let told = told(&Sources::new().flag("--http", "admin.listen", None).environment(variables));
    assert!(told.iter().all(|told| told.ends_with("did you mean COSMIC_ADMIN_LISTEN?")), "{told:?}");
}
