//! Removing trees, however deep and however closed they are.

use std::ffi::OsStr;
use std::io;
use std::os::fd::AsFd;

use rustix::fs::AtFlags;
use rustix::io::Errno;

use super::within;

/// Removes what a directory holds under this name, links themselves and not
/// what they lead to. `progress` hears of every thing removed.
///
/// A directory below is moved up before it is emptied, so that neither our
/// stack nor our descriptors grow with the depth of the tree.
pub(super) fn tree(parent: impl AsFd, name: &OsStr, progress: &mut dyn FnMut()) -> io::Result<()> {
    if removed(&parent, name, progress)? {
        return Ok(());
    }
    let top = within::forced(&parent, name)?;
    loop {
        let names = within::names(&top)?;
        if names.is_empty() {
            break;
        }
        for name in names {
            if removed(&top, &name, progress)? {
                continue;
            }
            let inner = within::forced(&top, &name)?;
            for below in within::names(&inner)? {
                if !removed(&inner, &below, progress)? {
                    // What is moved must be ours to write, for its `..` changes.
                    drop(within::forced(&inner, &below)?);
                    rustix::fs::renameat(&inner, &below, &top, within::draft()?)?;
                }
            }
            rustix::fs::unlinkat(&top, &name, AtFlags::REMOVEDIR)?;
            progress();
        }
    }
    rustix::fs::unlinkat(&parent, name, AtFlags::REMOVEDIR)?;
    progress();
    Ok(())
}

/// Removes anything but a directory. False for a directory.
fn removed(parent: impl AsFd, name: &OsStr, progress: &mut dyn FnMut()) -> io::Result<bool> {
    match rustix::fs::unlinkat(parent, name, AtFlags::empty()) {
        Ok(()) => {
            progress();
            Ok(true)
        }
        Err(Errno::NOENT) => Ok(true),
        Err(Errno::ISDIR) => Ok(false),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::{self, File};
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    #[test]
    fn a_deep_closed_tree_goes_and_what_its_links_lead_to_stays() {
        let base = tempfile::tempdir().expect("a directory");
        let kept = base.path().join("kept");
        fs::write(&kept, "x").expect("a file");
        let top = base.path().join("top");
        fs::create_dir(&top).expect("a directory");
        symlink(base.path(), top.join("link")).expect("a link");
        // Deeper than a path can name.
        let mut at: std::os::fd::OwnedFd = File::open(&top).expect("opened").into();
        for _ in 0..1200 {
            rustix::fs::mkdirat(&at, "deep", rustix::fs::Mode::RWXU).expect("made");
            at = within::directory(&at, OsStr::new("deep")).expect("opened");
        }
        fs::create_dir_all(top.join("closed/inner")).expect("a directory");
        fs::set_permissions(top.join("closed/inner"), fs::Permissions::from_mode(0o000))
            .expect("set");
        fs::set_permissions(top.join("closed"), fs::Permissions::from_mode(0o000)).expect("set");
        let parent = File::open(base.path()).expect("opened");
        let mut count = 0;
        tree(&parent, OsStr::new("top"), &mut || count += 1).expect("removed");
        assert!(!top.exists());
        assert!(kept.exists());
        assert_eq!(count, 1200 + 4);
    }
}
