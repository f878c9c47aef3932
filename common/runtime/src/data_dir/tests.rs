//! Who may open a data directory, and what it notices about itself.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

const OWNER: Owner = Owner { program: "cosmic-test", format: 2 };

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for item in fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        fs::copy(item.path(), to.join(item.file_name())).unwrap();
    }
}

#[test]
fn it_is_private_and_for_one_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/data");
    let first = DataDir::open(&path, OWNER).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    let error = DataDir::open(&path, OWNER).unwrap_err();
    assert!(error.to_string().contains("in use by another cosmic-test"), "{error}");
    drop(first);
    DataDir::open(&path, OWNER).unwrap();
}

#[test]
fn only_known_formats_of_our_own_open() {
    let folder = tempfile::tempdir().unwrap();
    let marker = folder.path().join(FORMAT_FILE);
    drop(DataDir::open(folder.path(), OWNER).unwrap());
    assert_eq!(fs::read_to_string(&marker).unwrap(), "cosmic-test 2\n");

    let newer = Owner { format: 3, ..OWNER };
    let mut older = DataDir::open(folder.path(), newer).unwrap();
    assert_eq!(older.format(), 2);
    older.migrated(newer).unwrap();
    assert_eq!(older.format(), 3);
    drop(older);

    let error = DataDir::open(folder.path(), OWNER).unwrap_err().to_string();
    assert!(error.contains("data format 3, this cosmic-test knows up to 2"), "{error}");
    for foreign in ["cosmic-other 1\n", "", "cosmic-test two", "\u{0}\u{1}"] {
        fs::write(&marker, foreign).unwrap();
        let error = DataDir::open(folder.path(), OWNER).unwrap_err().to_string();
        assert!(error.contains("is not a data directory of cosmic-test"), "{error}");
    }
}

#[test]
fn somebody_elses_files_are_not_mixed_with_ours() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("config.toml"), "").unwrap();
    drop(DataDir::open(folder.path(), OWNER).unwrap());
    fs::remove_file(folder.path().join(FORMAT_FILE)).unwrap();
    fs::write(folder.path().join("holiday.jpg"), "").unwrap();
    let error = DataDir::open(folder.path(), OWNER).unwrap_err().to_string();
    assert!(error.contains("it holds holiday.jpg"), "{error}");
}

#[test]
fn a_path_that_cannot_be_a_directory_is_a_sentence() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    let error = DataDir::open(&file, OWNER).unwrap_err();
    assert!(error.to_string().starts_with("cannot create the data directory"), "{error}");
}

#[test]
fn a_copy_knows_that_it_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let (here, there) = (folder.path().join("here"), folder.path().join("there"));
    let mut first = DataDir::open(&here, OWNER).unwrap();
    assert_eq!(first.life(), Life::First);
    first.begin_life().unwrap();
    drop(first);
    assert_eq!(DataDir::open(&here, OWNER).unwrap().life(), Life::Same);

    copy(&here, &there);
    let unsettled = DataDir::open(&there, OWNER).unwrap();
    assert_eq!(unsettled.life(), Life::Copied);
    drop(unsettled);
    let mut copied = DataDir::open(&there, OWNER).unwrap();
    assert_eq!(copied.life(), Life::Copied, "until its new life begins");
    copied.begin_life().unwrap();
    drop(copied);
    assert_eq!(DataDir::open(&there, OWNER).unwrap().life(), Life::Same);
    assert_eq!(DataDir::open(&here, OWNER).unwrap().life(), Life::Same);

    fs::remove_dir_all(&here).unwrap();
    copy(&there, &here);
    assert_eq!(DataDir::open(&here, OWNER).unwrap().life(), Life::Copied, "restored in place");
}

#[test]
fn a_crash_before_the_first_life_counts_as_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    drop(DataDir::open(folder.path(), OWNER).unwrap());
    assert_eq!(DataDir::open(folder.path(), OWNER).unwrap().life(), Life::Copied);
}

#[test]
fn small_files_are_replaced_whole() {
    let folder = tempfile::tempdir().unwrap();
    let directory = DataDir::open(folder.path(), OWNER).unwrap();
    assert_eq!(directory.read("key").unwrap(), None);
    directory.write("key", b"one").unwrap();
    fs::write(folder.path().join("key.new"), "half of a crash").unwrap();
    directory.write("key", b"two").unwrap();
    assert_eq!(directory.read("key").unwrap().unwrap(), b"two");
    assert_eq!(fs::metadata(folder.path().join("key")).unwrap().permissions().mode() & 0o777, 0o600);
    File::create(folder.path().join("key")).unwrap().set_len(SMALL_FILE_MAX_BYTES + 1).unwrap();
    assert!(directory.read("key").is_err());
}

#[test]
fn a_user_keeps_data_at_home() {
    let path = default_path("cosmic-test", Home::User).unwrap();
    assert!(path.ends_with("cosmic-test") && path.is_absolute());
    let service = default_path("cosmic-test", Home::Service).unwrap();
    assert_eq!(service.starts_with("/var/lib"), rustix::process::geteuid().is_root());
}
