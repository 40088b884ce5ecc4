//! Other ways to the same place: a file system mounted twice, or a directory
//! mounted over another, shows one file under two paths.

use std::collections::{BTreeSet, HashMap};
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
    let mounts = Mounts::of(table.split(|byte| *byte == b'\n').filter_map(parse).collect());
    paths.flat_map(|path| mounts.aliases_of(path)).collect()
}

/// Where the host shows, once more, what a session has of its own: processes,
/// terminals, queues, and what the kernel's debugging tells.
pub(crate) fn of_other_namespaces() -> Vec<PathBuf> {
    let table = fs::read("/proc/self/mountinfo").unwrap_or_default();
    let lines = table.split(|byte| *byte == b'\n');
    lines.filter_map(|line| foreign(line).filter(|at| !is_replaced(at) && at.is_dir())).collect()
}

/// Directories that the view has its own of.
fn is_replaced(at: &Path) -> bool {
    ["/proc", "/dev", "/run", "/tmp", "/var/tmp"].iter().any(|own| at.starts_with(own))
}

fn foreign(line: &[u8]) -> Option<PathBuf> {
    const TYPES: [&[u8]; 8] =
        [b"proc", b"devpts", b"mqueue", b"debugfs", b"tracefs", b"securityfs", b"pstore", b"bpf"];
    let mut fields = line.split(|byte| *byte == b' ');
    let at = unescaped(fields.nth(4)?);
    // Optional fields end with a dash; the type follows.
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    TYPES.contains(&kind).then_some(at)
}

#[derive(Debug, Default)]
struct Mounts {
    /// By where they are. The last of several at one place is the one that is seen.
    at: HashMap<PathBuf, Mounted>,
    /// What of a device is mounted where, for those mounted more than once.
    twice: HashMap<String, Vec<(PathBuf, PathBuf)>>,
}

impl Mounts {
    fn of(table: Vec<Mounted>) -> Self {
        let mut mounts = Self::default();
        for Mounted { device, root, at } in &table {
            mounts.twice.entry(device.clone()).or_default().push((root.clone(), at.clone()));
        }
        mounts.twice.retain(|_, places| places.len() > 1);
        mounts.at = table.into_iter().map(|mount| (mount.at.clone(), mount)).collect();
        mounts
    }

    fn aliases_of(&self, path: &Path) -> Vec<PathBuf> {
        let Some(holder) = path.ancestors().find_map(|above| self.at.get(above)) else {
            return Vec::new();
        };
        let Some(places) = self.twice.get(&holder.device) else { return Vec::new() };
        let Ok(rest) = path.strip_prefix(&holder.at) else { return Vec::new() };
        let within = join(&holder.root, rest);
        let others =
            places.iter().filter_map(|(root, at)| Some(join(at, within.strip_prefix(root).ok()?)));
        others.filter(|alias| alias != path).collect()
    }
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
            let places: Vec<PathBuf> = mounts.iter().map(|mount| mount.at.clone()).collect();
            let table = Mounts::of(mounts);
            for place in &places {
                let _ = table.aliases_of(place);
            }
            for line in bytes.split(|byte| *byte == b'\n') {
                let _ = foreign(line);
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
        let mounts = Mounts::of(mounts);
        let check = |path: &str, expected: &[&str]| {
            let expected: Vec<_> = expected.iter().map(PathBuf::from).collect();
            assert_eq!(mounts.aliases_of(Path::new(path)), expected, "{path}");
        };
        check("/home/ada/.ssh", &["/srv/my home/.ssh"]);
        check("/home/ada", &["/srv/my home"]);
        check("/home/eve/.ssh", &[]);
        check("/etc/shadow", &["/mnt/etc/shadow"]);
        check("/home/ada/mnt/x", &[]);
    }

    #[test]
    fn a_second_view_of_processes_is_found() {
        let at = |line: &[u8]| foreign(line);
        assert_eq!(
            at(b"9 1 0:5 / /srv/c\\040/proc rw shared:1 - proc proc rw"),
            Some("/srv/c /proc".into())
        );
        assert_eq!(
            at(b"9 1 0:5 / /sys/kernel/debug rw - debugfs none rw"),
            Some("/sys/kernel/debug".into())
        );
        assert_eq!(at(b"9 1 8:1 / / rw - ext4 /dev/sda1 rw"), None);
    }
}
