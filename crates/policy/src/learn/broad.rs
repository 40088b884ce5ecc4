//! Which beginnings of commands are too broad to be proposed as a rule.

include!(concat!(env!("OUT_DIR"), "/broad.rs"));

/// Programs of which no beginning is narrow.
struct Never {
    names: &'static [&'static str],
    reason: &'static str,
}

/// Words that only begin a narrow rule.
struct Short {
    words: &'static [&'static str],
    reason: &'static str,
}

/// Why a rule about commands that begin with these words would permit too much.
/// The first is a program by name or path.
pub fn too_broad(words: &[&str]) -> Option<&'static str> {
    let Some((program, arguments)) = words.split_first() else {
        return Some("it is about every command");
    };
    let runs_another = runs_another(program);
    if runs_another.is_some() {
        return runs_another;
    }
    if arguments.is_empty() {
        return Some("it is about a program, whatever its arguments");
    }
    let stops_at = |short: &&Short| {
        let rest = short.words.strip_prefix(&[short.words[0]]).unwrap_or_default();
        is_called(short.words[0], program)
            && arguments.len() <= rest.len()
            && rest.starts_with(arguments)
    };
    SHORT.iter().find(stops_at).map(|short| short.reason)
}

/// Why no words after this program, by name or path, say narrowly what it will do.
pub fn runs_another(program: &str) -> Option<&'static str> {
    let is_one = |never: &&Never| never.names.iter().any(|name| is_called(name, program));
    NEVER.iter().find(is_one).map(|never| never.reason)
}

fn is_called(known: &str, program: &str) -> bool {
    let name = program.rsplit('/').next().unwrap_or(program);
    known == name || known == without_version(name)
}

/// `python3.12` and `clang-17` without what is only a version.
fn without_version(name: &str) -> &str {
    let plain = name.trim_end_matches(|c: char| c.is_ascii_digit() || matches!(c, '.' | '-' | '_'));
    if plain.is_empty() { name } else { plain }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_runs_anything_is_never_narrow() {
        let check = |words: &str, broad: bool| {
            let words: Vec<&str> = words.split(' ').filter(|word| !word.is_empty()).collect();
            assert_eq!(too_broad(&words).is_some(), broad, "{words:?}");
        };
        check("", true);
        check("bash", true);
        check("/bin/bash -lc ls", true);
        check("python3.12 -c print(1)", true);
        check("/opt/x/python3 build.py", true);
        check("env git status", true);
        check("git", true);
        check("/usr/bin/git", true);
        check("git push", true);
        check("git push origin", false);
        check("git status", false);
        check("npm run", true);
        check("npm run test", false);
        check("pip3 install", true);
        check("pip3 install -r", false);
        check("curl https://api.example", true);
        check("cargo", true);
        check("cargo test", false);
        check("make test", true);
        check("unheard-of", true);
        check("unheard-of check", false);
        check("ld-linux-x86-64.so.2 /bin/ls", true);
        check("7z x", true);
        check("c99 x", false);
    }
}
