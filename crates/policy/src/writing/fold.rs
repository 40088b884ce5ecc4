//! Names as the most forgiving file system would compare them.

use std::borrow::Cow;
use std::ffi::OsStr;

/// Folds a name so that two names a file system may take for one come out
/// equal: case, characters without a width, a trailing dot or space, a stream
/// after a colon, and the short name that Windows file systems give `.git`.
///
/// SOURCE: ext4 and f2fs fold by NFDICF; HFS+ and Git's `is_hfs_dotgit`,
/// `is_ntfs_dotgit`. It folds more than any of them; what is lost is a few odd
/// names that cannot be written.
pub fn fold(name: &OsStr) -> Cow<'_, str> {
    let text = name.to_string_lossy();
    let plain = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase() && byte != b':';
    if text.bytes().all(plain) && !text.ends_with(['.', ' ']) {
        return if text == "git~1" { ".git".into() } else { text };
    }
    let text = text.split(':').next().unwrap_or_default();
    let folded: String = text
        .chars()
        .filter(|c| !is_ignorable(*c))
        .flat_map(char::to_lowercase)
        // The long s is the one letter that meets an ASCII one only by its upper
        // case. SOURCE: Unicode, CaseFolding.txt.
        .map(|c| if c == '\u{17f}' { 's' } else { c })
        .collect();
    let folded = folded.trim_end_matches(['.', ' ']);
    if folded == "git~1" { ".git".into() } else { folded.to_owned().into() }
}

/// Code points that have no shape of their own.
/// SOURCE: Unicode, `Default_Ignorable_Code_Point`.
fn is_ignorable(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(name: &str, expected: &str) {
        assert_eq!(fold(OsStr::new(name)), expected, "{name:?}");
    }

    #[test]
    fn names_that_some_file_system_takes_for_one_fold_alike() {
        for name in [".git", ".GIT", ".Git", ".g\u{200c}it", ".git.", ".git ", ".git. .", "GIT~1"] {
            check(name, ".git");
        }
        check(".git::$INDEX_ALLOCATION", ".git");
        check("\u{feff}.git", ".git");
        check("HOO\u{212a}S", "hooks");
        check(".v\u{17f}code", ".vscode");
        check("a b", "a b");
        check("gitlab", "gitlab");
        check(".gitignore", ".gitignore");
        check(".g\u{131}t", ".g\u{131}t");
    }
}
