//! What is said to a host over SSH: a program and its arguments, and nothing
//! else that a shell would obey.

use std::fmt;

/// A command that means the same to every shell of Unix: it is sent as
/// [`Display`](fmt::Display) writes it, not as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Command {
    /// `git-upload-pack`; `git upload-pack` is the same.
    name: String,
    arguments: Vec<String>,
}

/// Why a text is not a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct CommandError(&'static str);

/// Longer than the longest path, shorter than what a shell takes.
const LONGEST: usize = 8 * 1024;

/// The server's halves of Git, which take one repository and nothing else.
const GIT: [&str; 3] = ["git-upload-pack", "git-receive-pack", "git-upload-archive"];

impl Command {
    /// Parses words of safe letters, of `'…'`, and of `\'` and `\!`, as Git
    /// quotes them. What any shell would expand, split, chain or redirect is
    /// an error, and so are controls and what is not UTF-8.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self, CommandError> {
        if bytes.len() > LONGEST {
            return Err(CommandError("it is longer than 8 KiB"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| CommandError("it is not UTF-8"))?;
        if text.chars().any(char::is_control) {
            return Err(CommandError("it has a control character in it"));
        }
        let mut words = words(text)?.into_iter();
        let mut name = words.next().ok_or(CommandError("it is empty"))?;
        if name == "git" {
            let part = words.next().ok_or(CommandError("`git` does nothing by itself"))?;
            if part.starts_with('-') {
                return Err(CommandError("options between `git` and its command are not taken"));
            }
            name = format!("git-{part}");
        }
        if name.is_empty()
            || !name.chars().all(is_plain)
            || name.contains('=')
            || name.starts_with('-')
        {
            return Err(CommandError("its first word is not the name of a program"));
        }
        let arguments: Vec<_> = words.collect();
        let one = matches!(&arguments[..], [path] if !path.starts_with('-') && !path.is_empty());
        if GIT.contains(&name.as_str()) && !one {
            return Err(CommandError("it takes one repository and nothing else"));
        }
        Ok(Self { name, arguments })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for Command {
    /// `git-upload-pack '/team/it'\''s.git'`: every argument quoted, as Git does.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        for argument in &self.arguments {
            // An exclamation mark is history to C shells, even within quotes.
            write!(f, " '{}'", argument.replace('\'', r"'\''").replace('!', r"'\!'"))?;
        }
        Ok(())
    }
}

/// Letters that no shell gives a meaning, wherever they stand.
fn is_plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-_./:@%+,=".contains(c)
}

fn words(text: &str) -> Result<Vec<String>, CommandError> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        if c == ' ' {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_default();
        match c {
            '\'' => loop {
                match rest.next() {
                    Some('\'') => break,
                    Some(c) => word.push(c),
                    None => return Err(CommandError("a quotation in it does not end")),
                }
            },
            '\\' => match rest.next() {
                Some(c @ ('\'' | '!')) => word.push(c),
                _ => return Err(CommandError("a `\\` in it quotes something else than Git does")),
            },
            c if is_plain(c) => word.push(c),
            _ => return Err(CommandError("a shell would do more than run one program for it")),
        }
    }
    words.extend(word);
    Ok(words)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let parsed = Command::parse(text.as_bytes());
        let parsed = parsed.map(|command| command.to_string()).map_err(|error| error.to_string());
        match expected {
            Ok(sent) => assert_eq!(parsed.as_deref(), Ok(sent), "{text}"),
            Err(part) => {
                assert!(parsed.as_ref().is_err_and(|e| e.contains(part)), "{text} {parsed:?}")
            }
        }
    }

    #[test]
    fn what_git_sends_is_sent_on() {
        let fetch = Ok("git-upload-pack '/team/a.git'");
        check("git-upload-pack '/team/a.git'", fetch);
        check("git upload-pack '/team/a.git'", fetch);
        check("git-upload-pack /team/a.git", fetch);
        check("'git-upload-pack'   '/team'/a.git ", fetch);
        check(r"git-receive-pack 'it'\''s'\!'.git'", Ok(r"git-receive-pack 'it'\''s'\!'.git'"));
        check("git-upload-pack '~me/a b;c$(d).git'", Ok("git-upload-pack '~me/a b;c$(d).git'"));
        check("git-lfs-authenticate a.git download", Ok("git-lfs-authenticate 'a.git' 'download'"));
        check("uptime", Ok("uptime"));
        check("touch ''", Ok("touch ''"));
    }

    #[test]
    fn what_a_shell_would_do_more_for_is_no_command() {
        for tail in [
            "; id", " && id", "|id", " &", "$(id)", "`id`", " >x", " <x", "\"x\"", " *", " ~",
            " {a,b}", " [a]", " #", " a?", "\\x", " !x", " ^x", " é",
        ] {
            check(&format!("git-upload-pack 'a'{tail}"), Err(""));
        }
        check("git-upload-pack 'a'\nid", Err("control"));
        check("git-upload-pack 'a'\0", Err("control"));
        check("git-upload-pack 'a\u{85}b'", Err("control"));
        check("git-upload-pack 'a", Err("does not end"));
        check("A=b git-upload-pack 'a'", Err("name of a program"));
        check("'git-upload-pack a'", Err("name of a program"));
        check("-x", Err("name of a program"));
        check("'' x", Err("name of a program"));
        check("   ", Err("empty"));
        check("", Err("empty"));
        check("git", Err("by itself"));
        check("git -c a=b upload-pack 'a'", Err("between"));
        assert!(Command::parse(b"git-upload-pack '\xff'").is_err());
        assert!(Command::parse(&[b'a'; LONGEST + 1]).is_err());
    }

    #[test]
    fn gits_halves_take_one_repository() {
        for arguments in ["", " ''", " --exec=x 'a'", " '--exec=x'", " 'a' 'b'", " -- a"] {
            check(&format!("git-upload-pack{arguments}"), Err("one repository"));
            check(&format!("git receive-pack{arguments}"), Err("one repository"));
        }
    }

    #[test]
    fn a_real_shell_reads_the_words_that_were_judged() {
        let odd = r"a b;c $(id) `id` > < | & * ? ~ # \ ! ' é \' --x";
        let quoted = odd.replace('\'', r"'\''");
        let command =
            Command::parse(format!("printf %s '{quoted}'").as_bytes()).expect("a command");
        let said =
            std::process::Command::new("/bin/sh").arg("-c").arg(command.to_string()).output();
        // Dash prints what it read; `'\!'` is an exclamation mark to every shell.
        assert_eq!(String::from_utf8_lossy(&said.expect("a shell").stdout), odd);
    }
}
