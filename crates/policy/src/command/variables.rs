//! Variables that change what a program does, in values that change nothing.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// Whether this value only says that nothing is to be shown page by page, or edited.
/// Agents set these for every command.
pub(super) fn is_harmless(name: &OsStr, value: &OsStr) -> bool {
    let name = name.as_bytes();
    let runs_one = name.ends_with(b"PAGER") || name.ends_with(b"EDITOR");
    runs_one
        && matches!(
            value.as_bytes(),
            b"" | b"cat"
                | b"true"
                | b":"
                | b"/bin/cat"
                | b"/bin/true"
                | b"/usr/bin/cat"
                | b"/usr/bin/true"
        )
}
