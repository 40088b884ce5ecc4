//! One look at the files of the policy, without reading them.

use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use crate::files::Places;

/// What was seen of every place where policy may be. Two looks that are equal saw
/// the same files, unless one was written twice within a tick of the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Look(Vec<(PathBuf, Seen, Seen)>);

/// Of a name itself, and of what it leads to: what identifies the contents, or the
/// number of the error.
type Seen = Result<[u64; 7], Option<i32>>;

impl Look {
    pub(crate) fn at(places: &Places, workspace: &Path) -> Self {
        let mut look = Self(Vec::new());
        let project = workspace.join(".remit");
        for directory in [&places.system, &places.config, &project] {
            let rules = directory.join("rules");
            look.add(directory.clone());
            look.add(directory.join("config.toml"));
            let mut files: Vec<PathBuf> = match fs::read_dir(&rules) {
                Ok(entries) => entries.flatten().map(|entry| entry.path()).collect(),
                // The directory itself says what is wrong.
                Err(_) => Vec::new(),
            };
            look.add(rules);
            files.sort();
            files.retain(|path| path.extension().is_some_and(|extension| extension == "rules"));
            files.into_iter().for_each(|path| look.add(path));
        }
        look
    }

    fn add(&mut self, path: PathBuf) {
        let seen = |found: std::io::Result<Metadata>| {
            found.map(|about| identity(&about)).map_err(|error| error.raw_os_error())
        };
        let (itself, target) = (seen(path.symlink_metadata()), seen(path.metadata()));
        self.0.push((path, itself, target));
    }
}

/// The kernel sets the time of the last change; nobody chooses it.
fn identity(about: &Metadata) -> [u64; 7] {
    [
        about.dev(),
        about.ino(),
        about.size(),
        u64::from(about.mode()),
        u64::from(about.uid()),
        about.ctime().cast_unsigned(),
        about.ctime_nsec().cast_unsigned(),
    ]
}
