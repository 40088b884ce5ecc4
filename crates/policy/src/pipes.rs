//! What a pipe between two programs tells: that one runs what another fetched.

use std::ffi::OsStr;
use std::path::Path;

use crate::attempt::Exec;

/// Programs that write to standard output what they fetch from the network.
const DOWNLOADERS: &[&str] = &[
    "curl", "wget", "wget2", "fetch", "aria2c", "http", "https", "httpie", "xh", "curlie", "lynx",
];

/// Programs that run what they read on standard input, if no script is named.
const INTERPRETERS: &[&str] = &[
    "sh",
    "bash",
    "dash",
    "zsh",
    "ksh",
    "mksh",
    "ash",
    "fish",
    "csh",
    "tcsh",
    "python",
    "pypy",
    "perl",
    "ruby",
    "node",
    "nodejs",
    "deno",
    "bun",
    "php",
    "lua",
    "luajit",
    "osascript",
    "pwsh",
    "tclsh",
    "Rscript",
];

/// Options whose value is the script itself.
const SCRIPT_OPTIONS: &[&str] = &["-c", "-e", "-E", "-p", "-r", "-m", "--eval", "--print", "-lc"];

/// Whether it is a program that fetches from the network.
pub fn downloads(exec: &Exec) -> bool {
    names(exec).any(|name| DOWNLOADERS.contains(&unversioned(name)))
}

/// Whether it interprets a script.
pub fn interprets(exec: &Exec) -> bool {
    names(exec).any(|name| INTERPRETERS.contains(&unversioned(name)))
}

/// Whether it is an interpreter that reads its script from a pipe: no script is
/// named, or the one that is named is a descriptor.
pub fn runs_its_input(exec: &Exec) -> bool {
    if !interprets(exec) {
        return false;
    }
    let mut words = exec.argv.iter().skip(1).map(|word| word.to_string_lossy());
    let script = words.find(|word| {
        SCRIPT_OPTIONS.contains(&word.as_ref()) || !word.starts_with('-') || *word == "-"
    });
    // `sh -s -- arguments`, `bash -s stable`.
    let said_so = exec.argv.iter().any(|word| word == "-s");
    said_so || script.is_none_or(|script| is_descriptor(&script))
}

/// Whether what it starts is that something fetched is run: it is the one who
/// fetches, the one who runs, or between them.
pub fn runs_a_download(exec: &Exec) -> bool {
    let named = |path: &Option<std::path::PathBuf>, known: fn(&Exec) -> bool| {
        path.as_ref().is_some_and(|path| {
            known(&Exec { path: path.clone(), argv: vec![path.into()], ..Exec::default() })
        })
    };
    let fetched = downloads(exec) || named(&exec.fed_by, downloads);
    let run = (exec.fed_by.is_some() && runs_its_input(exec)) || named(&exec.feeds, interprets);
    fetched && run
}

fn is_descriptor(word: &str) -> bool {
    word == "-"
        || ["/dev/stdin", "/dev/fd/", "/proc/self/fd/", "/proc/thread-self/fd/"]
            .iter()
            .any(|prefix| word.starts_with(prefix))
}

/// The names under which it may be known, without directories.
fn names(exec: &Exec) -> impl Iterator<Item = &str> {
    let called = exec.argv.first().map(|word| Path::new(word.as_os_str()));
    let paths = [Some(exec.path.as_path()), exec.program.as_deref(), called];
    let paths = paths.into_iter().flatten().chain(exec.copy_of.iter().map(|path| path.as_path()));
    // `-sh` is how a login shell is called.
    paths
        .filter_map(Path::file_name)
        .filter_map(OsStr::to_str)
        .map(|name| name.strip_prefix('-').unwrap_or(name))
}

/// `python3.11` is `python`.
fn unversioned(name: &str) -> &str {
    name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(line: &str) -> Exec {
        let argv: Vec<_> = line.split(' ').map(std::ffi::OsString::from).collect();
        Exec { path: (&argv[0]).into(), argv, ..Exec::default() }
    }

    #[test]
    fn an_interpreter_without_a_script_runs_what_it_reads() {
        let check = |line: &str, expected: bool| {
            assert_eq!(runs_its_input(&exec(line)), expected, "{line}");
        };
        check("sh", true);
        check("/bin/bash", true);
        check("-bash", true);
        check("bash -x", true);
        check("sh -s stable", true);
        check("bash -s -- --yes", true);
        check("python3.11 -", true);
        check("python3 -u", true);
        check("bash /dev/fd/63", true);
        check("node /dev/stdin", true);
        check("sh install.sh", false);
        check("bash -lc id", false);
        check("python3 -c pass", false);
        check("python3 -m json.tool", false);
        check("cat", false);
    }

    #[test]
    fn both_ends_and_what_is_between_them_run_a_download() {
        let between = |fed_by: Option<&str>, line: &str, feeds: Option<&str>| {
            let ends =
                Exec { fed_by: fed_by.map(Into::into), feeds: feeds.map(Into::into), ..exec(line) };
            runs_a_download(&ends)
        };
        assert!(between(Some("/usr/bin/curl"), "sh", None));
        assert!(between(None, "wget -qO- x", Some("/bin/bash")));
        assert!(between(Some("/usr/bin/curl"), "base64 -d", Some("/usr/bin/python3.11")));
        assert!(!between(Some("/usr/bin/curl"), "jq .", None));
        assert!(!between(Some("/usr/bin/curl"), "sh install.sh", None));
        assert!(!between(Some("/usr/bin/cat"), "sh", None));
        assert!(!between(None, "curl x", Some("/usr/bin/tar")));
        assert!(!between(None, "sh", None));
    }
}
