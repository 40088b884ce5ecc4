//! Other ways to the same place: a file system mounted twice, or a directory
//! mounted over another, shows one file under two paths.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};

/// One line of the mount table.
#[derive(Debug, PartialEq, Eq)]
struct Mounted {
    /// Major and minor number, as text.
    device: String,
    /// What of the file system is mounted.
    root: PathBuf,
    at: PathBuf,
}

/// Every other path by which these can be reached. Whether it is covered by yet
/// another mount is not asked; hiding one too many hides more.
pub(crate) fn aliases<'p>(paths: impl Iterator<Item = &'p PathBuf>) -> BTreeSet<PathBuf> {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let mounts: Vec<Mounted> = table.split(|byte| *byte == b'\n').filter_map(parse).collect();
    paths.flat_map(|path| aliases_of(path, &mounts)).collect()
}

fn aliases_of(path: &Path, mounts: &[Mounted]) -> Vec<PathBuf> {
    // The last of several at one place is the one that is seen.
    let holds = mounts.iter().filter(|mount| path.starts_with(&mount.at));
    let Some(holder) = holds.max_by_key(|mount| mount.at.as_os_str().len()) else {
        return Vec::new();
    };
    let Ok(rest) = path.strip_prefix(&holder.at) else { return Vec::new() };
    let within = holder.root.join(rest);
    mounts
        .iter()
        .filter(|other| other.device == holder.device)
        .filter_map(|other| Some(join(&other.at, within.strip_prefix(&other.root).ok()?)))
        .filter(|alias| alias != path)
        .collect()
}

fn join(at: &Path, rest: &Path) -> PathBuf {
    if rest.as_os_str().is_empty() { at.to_path_buf() } else { at.join(rest) }
}

/// SOURCE: proc_pid_mountinfo(5): id, parent, device, root, mount point, …
fn parse(line: &[u8]) -> Option<Mounted> {
    let mut fields = line.split(|byte| *byte == b' ').skip(2);
    let device = String::from_utf8(fields.next()?.to_vec()).ok()?;
    let (root, at) = (unescaped(fields.next()?), unescaped(fields.next()?));
    (root.is_absolute() && at.is_absolute()).then_some(Mounted { device, root, at })
}

/// Undoes `\040` and its like.
fn unescaped(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, after)) = rest.split_first() {
        let octal = after.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &after[3..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    OsString::from_vec(bytes).into()
}

#[cfg(test)]
mod fuzz {
    use super::*;

    #[test]
    fn any_mount_table_is_read() {
        bolero::check!().with_iterations(20_000).for_each(|bytes: &[u8]| {
            let mounts: Vec<Mounted> =
                bytes.split(|byte| *byte == b'\n').filter_map(parse).collect();
            assert!(mounts.iter().all(|mount| mount.at.is_absolute()));
            for mount in &mounts {
                let _ = aliases_of(&mount.at, &mounts);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_that_is_mounted_twice_has_two_paths() {
        let table: &[&[u8]] = &[
            b"1 0 8:1 / / rw - ext4 /dev/sda1 rw",
            b"2 1 8:2 / /home rw - ext4 /dev/sda2 rw",
            b"3 1 8:2 /ada /srv/my\\040home rw - ext4 /dev/sda2 rw",
            b"4 1 8:1 /etc /mnt/etc rw - ext4 /dev/sda1 rw",
            b"5 1 0:9 / /home/ada/mnt rw - tmpfs none rw",
        ];
        let mounts: Vec<_> = table.iter().filter_map(|line| parse(line)).collect();
        assert_eq!(mounts.len(), table.len());
        let check = |path: &str, expected: &[&str]| {
            let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(aliases_of(Path::new(path), &mounts), expected, "{path}");
        };
        check("/home/ada/.ssh", &["/srv/my home/.ssh"]);
        check("/home/ada", &["/srv/my home"]);
        check("/home/eve/.ssh", &[]);
        check("/etc/shadow", &["/mnt/etc/shadow"]);
        check("/home/ada/mnt/x", &[]);
    }
}
