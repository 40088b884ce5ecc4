//! What Git's configuration may come to say.
//!
//! Git runs programs that its configuration names: pagers, editors, helpers,
//! filters, hooks, transports. So a new configuration may hold what the old one
//! held, and beside that only settings known to name no program. It is read more
//! strictly than Git reads it: what two readers might read differently is not
//! written at all.

use std::collections::HashSet;

/// One setting: section, subsection, name, value, the first and third in lower
/// case.
type Setting<'t> = (String, &'t str, String, &'t str);

/// Checks a configuration that is to replace another. The error says what is in
/// the way, for a person.
///
/// `is_inside` says of a submodule's worktree, as the setting spells it, whether
/// it is where submodules are; it is absent where there are none.
pub(super) fn check(
    new: &[u8],
    old: &[u8],
    is_inside: Option<&dyn Fn(&str) -> bool>,
) -> Result<(), String> {
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| "it is not text".to_owned());
    let (new, old) = (text(new)?, text(old)?);
    // What the old one holds was not written here, so only what can be read of it
    // counts.
    let known: HashSet<_> = settings(old).filter_map(Result::ok).collect();
    for setting in settings(new) {
        let setting = setting?;
        let is_worktree = setting.0 == "core" && setting.1.is_empty() && setting.2 == "worktree";
        let is_submodules = is_worktree && is_inside.is_some_and(|is_inside| is_inside(setting.3));
        if !known.contains(&setting) && !is_submodules && !is_harmless(&setting) {
            let (section, sub, name, _) = setting;
            let sub = if sub.is_empty() { String::new() } else { format!(".{sub}") };
            return Err(format!("`{section}{sub}.{name}` can make Git run or obey something"));
        }
    }
    Ok(())
}

fn settings(text: &str) -> impl Iterator<Item = Result<Setting<'_>, String>> {
    let mut section: Option<(String, &str)> = None;
    text.split('\n').enumerate().filter_map(move |(number, line)| {
        let odd = || Err(format!("line {} is not in the form that Git writes", number + 1));
        let line = line.trim_matches([' ', '\t']);
        if line.is_empty() || line.starts_with(['#', ';']) {
            // A comment cannot go on in the next line.
            return line.contains(char::is_control).then(odd);
        }
        if line.contains(char::is_control) || line.ends_with('\\') {
            return Some(odd());
        }
        if line.starts_with('[') {
            section = header(line);
            return section.is_none().then(odd);
        }
        let (Some((section, sub)), Some((name, value))) = (&section, assignment(line)) else {
            return Some(odd());
        };
        Some(Ok((section.clone(), *sub, name, value)))
    })
}

/// `[section]` or `[section "sub"]`, and nothing behind it.
fn header(line: &str) -> Option<(String, &str)> {
    let inner = line.strip_prefix('[')?.strip_suffix(']')?;
    let (section, sub) = match inner.split_once(" \"") {
        Some((section, sub)) => (section, sub.strip_suffix('"')?),
        None => (inner, ""),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let fits = !section.is_empty() && section.chars().all(plain) && !sub.contains(['"', '\\', ']']);
    fits.then(|| (section.to_ascii_lowercase(), sub))
}

/// `name = value`, or `name` alone.
fn assignment(line: &str) -> Option<(String, &str)> {
    let (name, value) = line.split_once('=').unwrap_or((line, "true"));
    let name = name.trim_end_matches([' ', '\t']);
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let fits = name.starts_with(|c: char| c.is_ascii_alphabetic()) && name.chars().all(plain);
    fits.then(|| (name.to_ascii_lowercase(), value.trim_start_matches([' ', '\t'])))
}

fn is_harmless((section, sub, name, value): &Setting<'_>) -> bool {
    let one_of = |names: &[&str]| names.contains(&name.as_str());
    // Quotes are taken out by Git, wherever in a value they are.
    if value.contains(['"', '\\']) {
        return false;
    }
    match (section.as_str(), sub.is_empty()) {
        ("core", true) => one_of(&[
            "repositoryformatversion",
            "filemode",
            "bare",
            "logallrefupdates",
            "ignorecase",
            "precomposeunicode",
            "symlinks",
            "autocrlf",
            "eol",
            "safecrlf",
            "quotepath",
            "sparsecheckout",
            "sparsecheckoutcone",
            "untrackedcache",
            "preloadindex",
            "abbrev",
        ]),
        ("extensions", true) => one_of(&[
            "objectformat",
            "refstorage",
            "worktreeconfig",
            "partialclone",
            "relativeworktrees",
        ]),
        ("user" | "author" | "committer", true) => one_of(&["name", "email"]),
        ("init", true) => one_of(&["defaultbranch"]),
        ("pull", true) => one_of(&["rebase", "ff"]) && is_word(value),
        ("push", true) => one_of(&["default", "autosetupremote", "followtags"]) && is_word(value),
        ("fetch", true) => one_of(&["prune", "prunetags"]) && is_word(value),
        ("merge", true) => one_of(&["ff", "conflictstyle", "renames"]) && is_word(value),
        ("rebase", true) => one_of(&["autosquash", "autostash", "updaterefs"]) && is_word(value),
        ("gc", true) => one_of(&["auto", "autodetach", "pruneexpire"]) && is_word(value),
        ("index", true) => one_of(&["version", "threads"]) && is_word(value),
        ("color", true) => one_of(&["ui"]) && is_word(value),
        ("advice", true) => matches!(*value, "true" | "false"),
        ("lfs", true) => one_of(&["repositoryformatversion"]),
        ("remote", false) => match name.as_str() {
            "url" | "pushurl" => is_plain_address(value),
            "fetch" | "push" | "tagopt" | "prune" | "mirror" | "promisor"
            | "partialclonefilter" => {
                !value.starts_with("--") || *value == "--no-tags" || *value == "--tags"
            }
            _ => false,
        },
        ("branch", false) => {
            one_of(&["remote", "merge", "rebase", "pushremote", "description"])
                && is_plain_address(value)
        }
        ("submodule", _) => match name.as_str() {
            "url" => is_plain_address(value),
            "active" | "branch" | "path" | "shallow" | "recurse" | "fetchrecursesubmodules" => true,
            "update" => matches!(*value, "checkout" | "rebase" | "merge" | "none"),
            _ => false,
        },
        _ => false,
    }
}

fn is_word(value: &str) -> bool {
    value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
}

/// Somewhere to fetch from that runs no helper: `ext::sh -c …` is one, and an
/// option in place of a host another.
fn is_plain_address(value: &str) -> bool {
    let value = value.trim_matches('"');
    !value.starts_with('-')
        && !value.contains("::")
        && !value.contains("://-")
        && !value.contains('\\')
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: &str = "[core]\n\tbare = false\n\tpager = less\n[credential]\n\thelper = store\n";

    #[track_caller]
    fn check_all(added: &str, expected: Result<(), &str>) {
        let new = format!("{OLD}{added}");
        let found = check(new.as_bytes(), OLD.as_bytes(), Some(&|path| path == "../../../x"));
        match (found, expected) {
            (Ok(()), Ok(())) => {}
            (Err(reason), Err(part)) => assert!(reason.contains(part), "{added:?}: {reason}"),
            (found, _) => panic!("{added:?}: {found:?}"),
        }
    }

    #[test]
    fn what_git_writes_for_its_own_purposes_passes() {
        check_all("", Ok(()));
        check_all("[user]\n\tname = Ada\n\temail = ada@example.org\n", Ok(()));
        check_all(
            "[remote \"origin\"]\n\turl = https://example.org/a.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n",
            Ok(()),
        );
        check_all("[remote \"origin\"]\n\turl = git@example.org:a/b.git\n", Ok(()));
        check_all("[branch \"main\"]\n\tremote = origin\n\tmerge = refs/heads/main\n", Ok(()));
        check_all("[submodule \"x\"]\n\turl = /srv/x\n\tactive = true\n", Ok(()));
        check_all("[core]\n\tworktree = ../../../x\n", Ok(()));
        check_all("# words\n\n; more\n", Ok(()));
    }

    #[test]
    fn what_names_a_program_does_not() {
        check_all("[core]\n\tfsmonitor = ./x\n", Err("core.fsmonitor"));
        check_all("[core]\n\tpager = ./x\n", Err("core.pager"));
        check_all("[CORE]\n\tsshCommand = x\n", Err("core.sshcommand"));
        check_all("[core]\n\thooksPath = x\n", Err("core.hookspath"));
        check_all("[core]\n\tworktree = /home/ada\n", Err("core.worktree"));
        check_all("[credential]\n\thelper = !x\n", Err("credential.helper"));
        check_all(
            "[credential \"https://a\"]\n\thelper = store\n",
            Err("credential.https://a.helper"),
        );
        check_all("[alias]\n\tst = !x\n", Err("alias.st"));
        check_all("[filter \"x\"]\n\tclean = x\n", Err("filter.x.clean"));
        check_all("[diff \"x\"]\n\ttextconv = x\n", Err("diff.x.textconv"));
        check_all("[include]\n\tpath = x\n", Err("include.path"));
        check_all("[includeIf \"gitdir:x\"]\n\tpath = x\n", Err("includeif"));
        check_all("[remote \"o\"]\n\turl = ext::sh -c x\n", Err("remote.o.url"));
        check_all("[remote \"o\"]\n\turl = ext:\"\":sh -c x\n", Err("remote.o.url"));
        check_all("[remote \"o\"]\n\turl = ssh://-oProxyCommand=x/y\n", Err("remote.o.url"));
        check_all("[remote \"o\"]\n\tuploadpack = x\n", Err("remote.o.uploadpack"));
        check_all("[remote \"o\"]\n\tvcs = x\n", Err("remote.o.vcs"));
        check_all("[submodule \"o\"]\n\tupdate = !x\n", Err("submodule.o.update"));
        check_all("[core]\n\tworktree = ../../../\n", Err("core.worktree"));
        check_all("[gc]\n\trecentObjectsHook = make\n", Err("gc.recentobjectshook"));
        check_all("[user]\n\temail = \"x\n", Err("user.email"));
        check_all("[merge]\n\ttool = x\n", Err("merge.tool"));
        check_all("[gpg]\n\tprogram = x\n", Err("gpg.program"));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_not_written() {
        for odd in [
            "[core] pager = x\n",
            "[core]\n\tbare = false \\\n\tpager = x\n",
            "# words \\\n[core]\r\n\tpager = x\n",
            "[core]\n\tbare = fal\0se\n",
            "[core.sub]\n\tx = y\n",
            "[core \"a\\\"]\n",
            "\u{feff}[core]\n\tbare = false\n",
            "[core\n",
        ] {
            check_all(odd, Err("line"));
        }
        assert!(check(b"\xff", b"", None).is_err());
    }
}
