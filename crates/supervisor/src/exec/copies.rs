//! Which programs that the policy knows a file is another name or a copy of.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use remit_policy::Policy;

use super::contents::Contents;
use super::loader::LOADERS;
use crate::resolve::{Identity, Place};

/// The programs that the policy in force knows, by their files.
#[derive(Debug)]
pub(crate) struct Copies {
    policy: Arc<Policy>,
    known: Index,
    /// The index of the session's first policy, while it is still being made.
    coming: Option<JoinHandle<Index>>,
}

#[derive(Debug, Default)]
struct Index {
    /// Device and inode to the names of that file.
    files: HashMap<(u64, u64), Vec<PathBuf>>,
    /// Length to one file of each, with one of its names.
    lengths: HashMap<i64, Vec<(PathBuf, Identity)>>,
}

/// A file with more names than this does what it is called by, so that its other
/// names say nothing about it.
const MOST_NAMES: usize = 8;

impl Copies {
    /// Looks at the known programs in a thread of its own.
    pub(crate) fn new(policy: Arc<Policy>) -> Self {
        let task = std::process::id();
        let of = Arc::clone(&policy);
        let look = move || Index::of_policy(&of, task);
        let coming = std::thread::Builder::new().name("programs".to_owned()).spawn(look).ok();
        let known = match coming {
            Some(_) => Index::default(),
            None => Index::of_policy(&policy, task),
        };
        Self { policy, known, coming }
    }

    /// The known programs that a file is, its own names aside. `program` is its
    /// path inside, `called` the one that it was started by.
    pub(crate) fn of(
        &mut self,
        policy: &Arc<Policy>,
        place: &Place,
        program: Option<&Path>,
        called: &Path,
        contents: &mut Contents,
    ) -> Vec<PathBuf> {
        self.follow(policy);
        self.known.others(place, [program, Some(called)], contents)
    }

    /// Knows what the policy in force knows.
    fn follow(&mut self, policy: &Arc<Policy>) {
        if let Some(coming) = self.coming.take() {
            // It only looks at files; what it could not see it does not know.
            self.known = coming.join().unwrap_or_default();
        }
        if !Arc::ptr_eq(&self.policy, policy) {
            if self.policy.known_programs() != policy.known_programs() {
                self.known = Index::of_policy(policy, std::process::id());
            }
            self.policy = Arc::clone(policy);
        }
    }
}

impl Index {
    /// The known programs that a file is, but for the names that it goes by.
    fn others(
        &self,
        place: &Place,
        goes_by: [Option<&Path>; 2],
        contents: &mut Contents,
    ) -> Vec<PathBuf> {
        let own = |path: &PathBuf| goes_by.contains(&Some(path.as_path()));
        let identity = place.identity();
        if let Some(names) = self.files.get(&(identity.device, identity.inode)) {
            let mut others: Vec<_> = names.iter().filter(|path| !own(path)).cloned().collect();
            if names.len() > MOST_NAMES {
                let goes_by_one = others.len() < names.len();
                others.truncate(if goes_by_one { 0 } else { 1 });
            }
            return others;
        }
        match goes_by[0].is_some_and(is_system) {
            true => Vec::new(),
            false => self.alike(place, contents),
        }
    }

    /// Known programs that say the same, byte for byte.
    fn alike(&self, place: &Place, contents: &mut Contents) -> Vec<PathBuf> {
        let Some(candidates) = self.lengths.get(&place.identity().size) else {
            return Vec::new();
        };
        let Ok(own) = contents.digest(place) else {
            // What cannot be read may be any of them.
            return candidates.iter().map(|(path, _)| path.clone()).collect();
        };
        let mut same = |path: &Path| {
            let known = Place::of(std::process::id(), path, None);
            known.and_then(|known| contents.digest(&known)).is_ok_and(|known| known == own)
        };
        let alike = candidates.iter().filter(|(path, _)| same(path));
        let names = alike.filter_map(|(_, file)| self.files.get(&(file.device, file.inode)));
        names.flat_map(|names| names.iter().take(MOST_NAMES)).cloned().collect()
    }

    fn of_policy(policy: &Policy, task: u32) -> Self {
        let mut paths = policy.known_programs().clone();
        paths.extend(LOADERS.map(PathBuf::from));
        Self::of(&paths, task)
    }

    fn of(paths: &BTreeSet<PathBuf>, task: u32) -> Self {
        let mut index = Self::default();
        for path in paths {
            let Ok(place) = Place::of(task, path, None) else { continue };
            if !place.is_executable() {
                continue;
            }
            let identity = place.identity();
            let names = index.files.entry((identity.device, identity.inode)).or_default();
            if names.is_empty() {
                index.lengths.entry(identity.size).or_default().push((path.clone(), identity));
            }
            // `/bin/sh` and `/usr/bin/sh` are one name where one is a link to the other.
            let real = place.path().is_some_and(|real| real == *path);
            match names.iter().any(|name| name.file_name() == path.file_name()) {
                true => {}
                // The file's own name comes first.
                false if real => names.insert(0, path.clone()),
                false => names.push(path.clone()),
            }
        }
        index
    }
}

/// Whether nobody inside can have put a file there.
fn is_system(path: &Path) -> bool {
    ["/usr/bin", "/usr/sbin", "/usr/lib", "/usr/lib64", "/usr/libexec", "/bin", "/sbin", "/lib"]
        .iter()
        .any(|system| path.starts_with(system))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_copy_a_hard_link_and_another_name_are_the_known_program() {
        let folder = tempfile::tempdir().expect("a directory");
        let at = |name: &str| folder.path().join(name);
        let put = |name: &str, text: &str| {
            fs::write(at(name), text).expect("a file");
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).expect("a mode");
        };
        put("tool", "does things");
        put("copy", "does things");
        put("like", "does thingz");
        put("longer", "does things ");
        fs::hard_link(at("tool"), at("link")).expect("a link");
        symlink(at("tool"), at("alias")).expect("a link");
        let known = BTreeSet::from([at("tool"), at("alias"), at("gone")]);
        let index = Index::of(&known, std::process::id());
        let check = |name: &str, expected: &[&str]| {
            let place = Place::of(std::process::id(), &at(name), None).expect("a file");
            let (program, called) = (place.path(), at(name));
            let goes_by = [program.as_deref(), Some(called.as_path())];
            let found = index.others(&place, goes_by, &mut Contents::default());
            let expected: Vec<_> = expected.iter().map(|name| at(name)).collect();
            assert_eq!(found, expected, "{name}");
        };
        check("tool", &["alias"]);
        check("copy", &["tool", "alias"]);
        check("link", &["tool", "alias"]);
        check("alias", &[]);
        check("like", &[]);
        check("longer", &[]);
    }
}
