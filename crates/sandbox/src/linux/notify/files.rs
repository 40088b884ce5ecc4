//! Trapped calls about files, told apart. All spellings of one thing become one
//! call here, so that none of them is forgotten later.

use std::os::fd::RawFd;

use libc::{c_int, c_long};

use super::attributes::Attributes;

/// A path in the caller's memory and the directory it starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named {
    /// The caller's descriptor, or `None` for its working directory.
    pub directory: Option<RawFd>,
    /// The caller's address of the path.
    pub path: u64,
}

/// What a caller wants done to a name. Addresses are the caller's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileCall {
    /// `open` with flags that make, cut or write.
    Open {
        at: Named,
        flags: c_int,
        mode: u32,
    },
    MakeDirectory {
        at: Named,
        mode: u32,
    },
    /// `flags` are those of `renameat2`.
    Rename {
        from: Named,
        to: Named,
        flags: u32,
    },
    /// `flags` are those of `linkat`.
    Link {
        from: Named,
        to: Named,
        flags: c_int,
    },
    /// `text` is what the link says.
    MakeLink {
        text: u64,
        at: Named,
    },
    Truncate {
        at: Named,
        length: i64,
    },
    /// `flags` are those of `unlinkat`. Trapped where no mount holds a name.
    Remove {
        at: Named,
        flags: c_int,
    },
    /// Mode, owner or times, trapped where no read-only view holds them.
    Attributes(Attributes),
    /// `inotify_add_watch`, trapped where nothing covers what is hidden.
    Watch {
        instance: RawFd,
        at: Named,
        mask: u32,
    },
}

/// `IN_DONT_FOLLOW`: a link at the end of the path is watched itself.
pub const DONT_FOLLOW: u32 = libc::IN_DONT_FOLLOW;

/// `None` for a call that is not about files.
pub(super) fn parse(call: c_long, arguments: [u64; 6]) -> Option<FileCall> {
    let [a, b, c, d, e, _] = arguments;
    #[cfg(target_arch = "x86_64")]
    if let Some(old) = parse_old(call, arguments) {
        return Some(old);
    }
    Some(match call {
        libc::SYS_openat => FileCall::Open { at: at(a, b), flags: c as c_int, mode: d as u32 },
        libc::SYS_mkdirat => FileCall::MakeDirectory { at: at(a, b), mode: c as u32 },
        libc::SYS_renameat => FileCall::Rename { from: at(a, b), to: at(c, d), flags: 0 },
        libc::SYS_renameat2 => FileCall::Rename { from: at(a, b), to: at(c, d), flags: e as u32 },
        libc::SYS_linkat => FileCall::Link { from: at(a, b), to: at(c, d), flags: e as c_int },
        libc::SYS_symlinkat => FileCall::MakeLink { text: a, at: at(b, c) },
        libc::SYS_truncate => FileCall::Truncate { at: here(a), length: b as i64 },
        libc::SYS_unlinkat => FileCall::Remove { at: at(a, b), flags: c as c_int },
        libc::SYS_inotify_add_watch => {
            FileCall::Watch { instance: a as RawFd, at: here(b), mask: c as u32 }
        }
        other => FileCall::Attributes(Attributes::of(other, arguments)?),
    })
}

/// The spellings that only older architectures have.
#[cfg(target_arch = "x86_64")]
fn parse_old(call: c_long, [a, b, c, ..]: [u64; 6]) -> Option<FileCall> {
    const CREAT: c_int = libc::O_CREAT | libc::O_WRONLY | libc::O_TRUNC;
    Some(match call {
        libc::SYS_open => FileCall::Open { at: here(a), flags: b as c_int, mode: c as u32 },
        libc::SYS_creat => FileCall::Open { at: here(a), flags: CREAT, mode: b as u32 },
        libc::SYS_mkdir => FileCall::MakeDirectory { at: here(a), mode: b as u32 },
        libc::SYS_rename => FileCall::Rename { from: here(a), to: here(b), flags: 0 },
        libc::SYS_link => FileCall::Link { from: here(a), to: here(b), flags: 0 },
        libc::SYS_symlink => FileCall::MakeLink { text: a, at: here(b) },
        libc::SYS_unlink => FileCall::Remove { at: here(a), flags: 0 },
        libc::SYS_rmdir => FileCall::Remove { at: here(a), flags: libc::AT_REMOVEDIR },
        _ => return None,
    })
}

fn here(path: u64) -> Named {
    Named { directory: None, path }
}

fn at(directory: u64, path: u64) -> Named {
    // The kernel reads an int; its upper half is ignored.
    let directory = directory as c_int;
    Named { directory: (directory != libc::AT_FDCWD).then_some(directory), path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_call_comes_out_alike() {
        let cwd = libc::AT_FDCWD as u64;
        let plain = FileCall::Rename { from: here(1), to: here(2), flags: 0 };
        assert_eq!(parse(libc::SYS_renameat, [cwd, 1, cwd, 2, 0, 0]), Some(plain));
        assert_eq!(parse(libc::SYS_renameat2, [cwd, 1, cwd, 2, 0, 0]), Some(plain));
        let upper = cwd & 0xffff_ffff;
        assert_eq!(parse(libc::SYS_renameat2, [upper, 1, cwd, 2, 0, 0]), Some(plain));
        #[cfg(target_arch = "x86_64")]
        assert_eq!(parse(libc::SYS_rename, [1, 2, 0, 0, 0, 0]), Some(plain));
        assert_eq!(parse(libc::SYS_read, [0; 6]), None);
    }
}
