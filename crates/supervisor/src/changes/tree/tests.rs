use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;

use rustix::fs::{CWD, Mode, XattrFlags};

use super::super::contents::SPARSE;
use super::*;

/// An upper tree and a workspace beside it.
struct Trees {
    base: tempfile::TempDir,
    since: Moment,
    done: HashSet<PathBuf>,
}

impl Trees {
    fn new() -> Self {
        let base = tempfile::tempdir().expect("a directory");
        for name in ["upper", "host"] {
            fs::create_dir(base.path().join(name)).expect("a directory");
        }
        Self { base, since: (i64::MAX, 0), done: HashSet::new() }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.base.path().join(path)
    }

    fn write(&self, path: &str, text: &str) -> &Self {
        fs::create_dir_all(self.at(path).parent().expect("a parent")).expect("a directory");
        fs::write(self.at(path), text).expect("a file");
        self
    }

    /// As overlayfs marks what was deleted. SOURCE: Documentation/filesystems/overlayfs.rst.
    fn whiteout(&self, path: &str) -> &Self {
        fs::create_dir_all(self.at(path).parent().expect("a parent")).expect("a directory");
        let kind = FileType::CharacterDevice;
        rustix::fs::mknodat(CWD, self.at(path), kind, Mode::empty(), 0).expect("a whiteout");
        self
    }

    fn mark(&self, path: &str, name: &str, value: &[u8]) -> &Self {
        let name = format!("user.overlay.{name}");
        rustix::fs::setxattr(self.at(path), name, value, XattrFlags::CREATE).expect("a mark");
        self
    }

    fn mode(&self, path: &str, mode: u32) -> &Self {
        fs::set_permissions(self.at(path), Permissions::from_mode(mode)).expect("set");
        self
    }

    fn changes(&self) -> Vec<Change> {
        let open = |name| File::open(self.at(name)).expect("opened").into();
        read(open("upper"), open("host"), self.since, &self.done).expect("read")
    }

    /// Such as `M a`, with `!` where it is barred and `?` where it is a conflict.
    #[track_caller]
    fn check(&self, expected: &[&str]) {
        let told: Vec<_> = self.changes().iter().map(told).collect();
        assert_eq!(told, expected);
    }
}

fn told(change: &Change) -> String {
    let kind = match change.kind {
        ChangeKind::Added => "A",
        ChangeKind::Modified => "M",
        ChangeKind::Deleted => "D",
        ChangeKind::Replaced => "T",
    };
    let barred = if change.barred.is_some() { "!" } else { "" };
    let conflict = if change.conflict { "?" } else { "" };
    format!("{kind} {}{barred}{conflict}", change.path.display())
}

#[test]
fn what_is_the_same_is_no_change() {
    let trees = Trees::new();
    trees.write("host/a", "x").write("upper/a", "x").mode("upper/a", 0o644).mode("host/a", 0o644);
    trees.write("host/d/b", "y").write("upper/d/b", "y").whiteout("upper/never-was");
    symlink("a", trees.at("host/l")).expect("a link");
    symlink("a", trees.at("upper/l")).expect("a link");
    trees.check(&[]);
}

#[test]
fn each_kind_of_change_is_told() {
    let trees = Trees::new();
    trees.write("host/a", "x").write("upper/a", "longer");
    trees.write("host/b", "x").write("upper/b", "y");
    trees.write("host/gone", "x").whiteout("upper/gone");
    trees.write("host/tree/deep/x", "x").whiteout("upper/tree");
    trees.write("upper/new/n", "x");
    trees.write("host/was-file", "x").write("upper/was-file/in", "x");
    trees.write("host/mode", "x").write("upper/mode", "x");
    trees.mode("host/mode", 0o644).mode("upper/mode", 0o755);
    symlink("b", trees.at("upper/was-dir")).expect("a link");
    fs::create_dir(trees.at("host/was-dir")).expect("a directory");
    trees.check(&[
        "M a",
        "M b",
        "D gone",
        "M mode",
        "A new",
        "A new/n",
        "D tree",
        "T was-dir",
        "T was-file",
        "A was-file/in",
    ]);
    let changes = trees.changes();
    assert_eq!(changes[3].mode, Some((0o644, 0o755)));
    assert_eq!(changes[6].thing, Thing::Directory(2));
    assert_eq!(changes[7].thing, Thing::Link("b".into()));
}

#[test]
fn an_opaque_directory_takes_away_what_it_does_not_hold() {
    let mut trees = Trees::new();
    trees.write("host/d/old", "x").write("host/d/same", "x").write("host/d/sub/x", "x");
    trees.write("upper/d/new", "x").write("upper/d/same", "x").mark("upper/d", "opaque", b"y");
    trees.check(&["A d/new", "D d/old", "D d/sub"]);
    // What was applied is not taken away by being there.
    trees.write("host/d/new", "x");
    trees.done = HashSet::from(["d/new".into()]);
    fs::remove_file(trees.at("upper/d/new")).expect("removed");
    trees.check(&["D d/old", "D d/sub"]);
    // What was made there since the session began was never the session's to delete.
    trees.done = HashSet::new();
    trees.since = (0, 0);
    trees.check(&[]);
}

#[test]
fn a_mark_of_mere_attributes_is_not_opaque() {
    let trees = Trees::new();
    trees.write("host/d/old", "x").write("host/d/gone", "x");
    trees.write("upper/d/gone", "").mark("upper/d", "opaque", b"x");
    trees.mark("upper/d/gone", "whiteout", b"");
    trees.check(&["D d/gone"]);
}

#[test]
fn what_is_not_to_be_applied_is_barred_and_listed() {
    let trees = Trees::new();
    rustix::fs::mknodat(CWD, trees.at("upper/pipe"), FileType::Fifo, Mode::RUSR, 0)
        .expect("a pipe");
    let _listener = UnixListener::bind(trees.at("upper/socket")).expect("a socket");
    trees.write("upper/set-uid", "x").mode("upper/set-uid", 0o4755);
    trees.write("upper/elsewhere", "").mark("upper/elsewhere", "metacopy", b"");
    trees.write("upper/sparse", "");
    let sparse = fs::OpenOptions::new().write(true).open(trees.at("upper/sparse")).expect("opened");
    sparse.set_len(SPARSE).expect("a hole");
    trees.check(&["A elsewhere!", "A pipe!", "A set-uid!", "A socket!", "A sparse!"]);
}

#[test]
fn a_link_in_the_place_of_a_directory_is_not_followed() {
    let trees = Trees::new();
    // The agent left a link where the workspace has a directory, and a
    // directory where the workspace has a link that leads out.
    trees.write("secret/key", "x").write("host/a/key", "y");
    symlink(trees.at("secret"), trees.at("upper/a")).expect("a link");
    trees.write("upper/b/key", "z");
    symlink(trees.at("secret"), trees.at("host/b")).expect("a link");
    trees.check(&["T a", "T b", "A b/key"]);
}

#[test]
fn what_the_workspace_changed_meanwhile_is_a_conflict() {
    let mut trees = Trees::new();
    trees.write("host/a", "x").write("upper/a", "y").write("upper/new", "z");
    trees.write("host/tree/x", "x").whiteout("upper/tree");
    trees.check(&["M a", "A new", "D tree"]);
    trees.since = (0, 0);
    trees.check(&["M a?", "A new", "D tree?"]);
}

#[test]
fn a_directory_that_is_gone_meanwhile_is_a_conflict() {
    let trees = Trees::new();
    trees.write("upper/found/x", "x").mark("upper/found", "origin", b"").write("upper/made/x", "x");
    trees.check(&["A found?", "A found/x", "A made", "A made/x"]);
}

#[test]
fn a_tree_too_deep_is_barred_where_it_gets_too_deep() {
    let trees = Trees::new();
    let deep = "d/".repeat(DEEPEST + 5);
    fs::create_dir_all(trees.at("upper").join(deep)).expect("directories");
    let changes = trees.changes();
    assert_eq!(changes.len(), DEEPEST + 1);
    assert!(changes[..DEEPEST].iter().all(|change| change.barred.is_none()));
    assert!(changes[DEEPEST].barred.is_some());
}
