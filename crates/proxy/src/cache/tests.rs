use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use super::*;

const KEY: &str = "GET https://api.example:443/a";

fn answers(folder: &Path) -> Arc<Answers> {
    Arc::new(Answers::open(&folder.join("cache")).expect("a cache"))
}

fn entry(key: &str) -> Entry {
    let none = HeaderMap::new();
    Entry::new(key.to_owned(), now(), StatusCode::OK, &none, &none).expect("an entry")
}

fn keep(answers: &Arc<Answers>, key: &str, body: &[u8]) {
    answers.begin(&entry(key)).expect("a draft").add(body).expect("room").finish();
}

/// The files of a cache.
fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let found = fs::read_dir(folder.join("cache")).expect("a directory");
    found.map(|entry| entry.expect("a file").path()).collect()
}

#[test]
fn what_was_kept_is_there_for_the_next_session() {
    let folder = tempfile::tempdir().expect("a directory");
    keep(&answers(folder.path()), KEY, b"a body");
    let (_, body) = answers(folder.path()).read(KEY).expect("it is there");
    assert_eq!(body, "a body");
    assert_eq!(answers(folder.path()).read("GET https://api.example:443/A"), None);
    let [file] = &files(folder.path())[..] else { panic!("one file") };
    let mode = fs::metadata(file).expect("a file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn what_is_not_finished_or_too_long_was_never_there() {
    let folder = tempfile::tempdir().expect("a directory");
    let answers = answers(folder.path());
    drop(answers.begin(&entry(KEY)).expect("a draft").add(b"half").expect("room"));
    let mut filling = answers.begin(&entry(KEY));
    let piece = vec![0; 1 << 20];
    for _ in 0..17 {
        filling = filling.and_then(|filling| filling.add(&piece));
    }
    assert!(filling.is_none(), "17 MiB");
    assert_eq!(answers.read(KEY), None);
    assert!(files(folder.path()).is_empty());
}

#[test]
fn a_file_of_another_key_a_link_and_a_cut_file_are_not_there() {
    let folder = tempfile::tempdir().expect("a directory");
    let answers = answers(folder.path());
    keep(&answers, KEY, b"a body");
    let file = files(folder.path()).remove(0);
    let other = "GET https://api.example:443/other";
    keep(&answers, other, b"another");
    let of_other = files(folder.path()).into_iter().find(|path| *path != file).expect("two");
    fs::copy(&file, &of_other).expect("a copy under another name");
    assert_eq!(answers.read(other), None);
    fs::remove_file(&of_other).expect("gone");
    keep(&answers, other, b"another");
    fs::rename(&of_other, folder.path().join("elsewhere")).expect("moved");
    symlink(folder.path().join("elsewhere"), &of_other).expect("a link");
    assert_eq!(answers.read(other), None);
    let whole = fs::read(&file).expect("a file");
    fs::write(&file, &whole[..whole.len() - 1]).expect("cut");
    assert_eq!(answers.read(KEY), None);
}

#[test]
fn a_directory_that_others_reach_is_not_used() {
    let folder = tempfile::tempdir().expect("a directory");
    let path = folder.path().join("cache");
    fs::create_dir(&path).expect("a directory");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("open to all");
    assert!(matches!(Answers::open(&path), Err(AnswersError::Open(_))));
    fs::remove_dir(&path).expect("gone");
    symlink(folder.path(), &path).expect("a link");
    assert!(matches!(Answers::open(&path), Err(AnswersError::Directory { .. })));
}

#[test]
fn the_oldest_go_first_where_there_is_too_much_and_drafts_once_they_are_abandoned() {
    let folder = tempfile::tempdir().expect("a directory");
    drop(answers(folder.path()));
    let cache = folder.path().join("cache");
    let day = std::time::Duration::from_secs(24 * 60 * 60);
    let make = |name: &str, size: u64, age: u32| {
        let file = fs::File::create(cache.join(name)).expect("a file");
        file.set_len(size).expect("a hole takes no room");
        file.set_modified(SystemTime::now() - day * age).expect("its age");
    };
    make("old", 600 << 20, 9);
    make("older", 100 << 20, 10);
    make("new", 400 << 20, 1);
    make("draft-left", 1, 3);
    make("draft-now", 1, 0);
    drop(answers(folder.path()));
    let mut left: Vec<_> = files(folder.path())
        .iter()
        .map(|path| path.file_name().expect("a name").to_string_lossy().into_owned())
        .collect();
    left.sort();
    assert_eq!(left, ["draft-now", "new"]);
}
