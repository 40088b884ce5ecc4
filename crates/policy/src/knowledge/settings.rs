//! Git's settings from the environment: `GIT_CONFIG_COUNT`, and a key and a value for
//! each. Agents switch off by them what a repository could have Git run.

use std::borrow::Cow;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt as _;

use super::glob::glob;
use super::table::ROWS;
use super::words::is_any;
use crate::attempt::Exec;

/// How many settings are looked at; agents set eight.
const MOST: usize = 64;

/// The attempt without settings from the environment that name no program. With one
/// that does, or one that is not all there, it is what it was.
///
/// SOURCE: git-config(1), `GIT_CONFIG_COUNT`.
pub(super) fn told(exec: &Exec) -> Cow<'_, Exec> {
    let is_setting = |(name, _): &&(OsString, OsString)| {
        let name = name.as_bytes();
        name == b"GIT_CONFIG_COUNT"
            || name.starts_with(b"GIT_CONFIG_KEY_")
            || name.starts_with(b"GIT_CONFIG_VALUE_")
    };
    if !exec.environment.iter().any(|pair| is_setting(&pair)) || !all_are_plain(exec) {
        return Cow::Borrowed(exec);
    }
    let environment = exec.environment.iter().filter(|pair| !is_setting(pair)).cloned().collect();
    Cow::Owned(Exec { environment, ..exec.clone() })
}

fn all_are_plain(exec: &Exec) -> bool {
    // Of a name that is there twice nobody knows which counts.
    let value = |name: &str| {
        let mut found = exec.environment.iter().filter(|(known, _)| known == OsStr::new(name));
        found.next().filter(|_| found.next().is_none()).map(|(_, value)| value.as_bytes())
    };
    let count = value("GIT_CONFIG_COUNT").and_then(|count| std::str::from_utf8(count).ok());
    let Some(count) = count.and_then(|count| count.parse::<usize>().ok()) else { return false };
    count <= MOST
        && (0..count).all(|number| {
            let key = value(&format!("GIT_CONFIG_KEY_{number}"));
            let set = value(&format!("GIT_CONFIG_VALUE_{number}"));
            key.zip(set).is_some_and(|(key, set)| is_plain(&[key, b"=", set].concat()))
        })
}

/// Whether `git -c` with this would name no program.
fn is_plain(setting: &[u8]) -> bool {
    let known = ROWS.iter().find(|row| row.options.contains(&"-c=core.pager*"));
    known.is_some_and(|row| {
        let patterns = row.options.iter().filter_map(|option| option.strip_prefix("-c="));
        is_any(setting, row.harmless) || !patterns.into_iter().any(|it| glob(it, setting))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{exec, place};
    use super::super::{findings, is_poisoned};
    use super::*;

    fn with(pairs: &[(&str, &str)]) -> Exec {
        let environment = pairs.iter().map(|(name, value)| (name.into(), value.into())).collect();
        Exec { environment, ..exec("git log") }
    }

    #[test]
    fn what_switches_off_is_not_asked_about_and_everything_else_is() {
        let off = [
            ("GIT_CONFIG_COUNT", "2"),
            ("GIT_CONFIG_KEY_0", "core.hooksPath"),
            ("GIT_CONFIG_KEY_1", "user.name"),
            ("GIT_CONFIG_VALUE_0", ""),
            ("GIT_CONFIG_VALUE_1", "ada"),
        ];
        assert_eq!(findings(&with(&off), &place()), []);
        assert!(!is_poisoned(&with(&off), |_| true));
        let mut on = off;
        on[3].1 = "/tmp/hooks";
        let mut alias = off;
        alias[2].1 = "alias.log";
        let twice = [off.to_vec(), vec![("GIT_CONFIG_VALUE_0", "/tmp/hooks")]].concat();
        for pairs in [&on[..], &alias, &off[..3], &twice] {
            assert!(!findings(&with(pairs), &place()).is_empty(), "{pairs:?}");
            assert!(is_poisoned(&with(pairs), |_| true), "{pairs:?}");
        }
    }
}
