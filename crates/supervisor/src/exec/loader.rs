//! The dynamic loader as a program: it runs the one that its arguments name,
//! without another `execve`.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use remit_policy::Exec;

/// Options that take the next word. SOURCE: ld.so(8), "Command-line options".
const WITH_VALUE: [&str; 8] = [
    "--library-path",
    "--inhibit-rpath",
    "--audit",
    "--preload",
    "--argv0",
    "--glibc-hwcaps-mask",
    "--glibc-hwcaps-prepend",
    "--inhibit-cache-path",
];

/// Where loaders are, so that a copy of one is known for what it is.
pub(super) const LOADERS: [&str; 6] = [
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
    "/usr/bin/ld.so",
];

/// The program that a dynamic loader is told to run.
pub(super) fn loaded(exec: &Exec) -> Option<&Path> {
    let paths = [Some(exec.path.as_path()), exec.program.as_deref()];
    let paths = paths.into_iter().flatten().chain(exec.copy_of.iter().map(|path| path.as_path()));
    paths.filter_map(Path::file_name).find(|name| is_loader(name))?;
    let mut words = exec.argv.iter().skip(1).map(|word| word.as_os_str());
    while let Some(word) = words.next() {
        if WITH_VALUE.iter().any(|option| word == *option) {
            words.next();
        } else if !word.as_bytes().starts_with(b"--") {
            return Some(Path::new(word));
        }
    }
    None
}

/// `ld-linux-x86-64.so.2`, `ld-2.31.so`, `ld64.so.1`, `ld.so`, `ld-musl-x86_64.so.1`.
fn is_loader(name: &OsStr) -> bool {
    name.to_str().is_some_and(|name| name.starts_with("ld") && name.contains(".so"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loaders_own_options_are_not_the_program() {
        let check = |line: &str, expected: Option<&str>| {
            let argv: Vec<_> = line.split(' ').map(std::ffi::OsString::from).collect();
            let mut exec = Exec { path: (&argv[0]).into(), argv, ..Exec::default() };
            assert_eq!(loaded(&exec), expected.map(Path::new), "{line}");
            let loader = std::mem::replace(&mut exec.path, "/w/l".into());
            let copy = Exec { copy_of: vec![loader], ..exec };
            assert_eq!(loaded(&copy), expected.map(Path::new), "a copy: {line}");
        };
        check("/lib64/ld-linux-x86-64.so.2 ./git push", Some("./git"));
        check("/lib/ld-musl-x86_64.so.1 --library-path /x ./git push", Some("./git"));
        check("/usr/bin/ld.so --argv0 nothing --list ./git", Some("./git"));
        check("/usr/bin/ld.so --verify", None);
        check("/usr/bin/ld -o x y.o", None);
        check("/usr/bin/git push", None);
    }
}
