//! Words and variables that shells themselves obey.

/// Why the rest of a text may do something else than it says, after this command;
/// or why this command may do more than it says.
pub(super) fn doubt_about(argv: &[String]) -> Option<&'static str> {
    // `command`, `builtin` and their like before it change nothing of that.
    let passed = |word: &String| {
        matches!(word.as_str(), "command" | "builtin" | "exec" | "time") || word.starts_with('-')
    };
    let at = match argv.first().is_some_and(|word| word.starts_with('-')) {
        true => 0,
        false => argv.iter().position(|word| !passed(word)).unwrap_or(argv.len()),
    };
    let Some(name) = argv.get(at) else {
        let exec = argv.first().is_some_and(|word| word == "exec");
        return exec.then_some("it changes what all later commands read and write");
    };
    let arguments = &argv[at + 1..];
    if argv[0] == "exec" && argv[1..at].iter().any(|word| word.starts_with('-')) {
        return Some("it gives a program another name");
    }
    if argv[0] == "time" && RESERVED.contains(&name.as_str()) {
        return Some("some shells take it for a word of the language");
    }
    let evaluates = |word: &String| word.contains(['[', '$', '`']);
    match name.as_str() {
        "cd" if at > 0 => Some("it changes where later commands run"),
        "set" if arguments.iter().all(|word| stops_earlier(word)) && !arguments.is_empty() => None,
        "export" if arguments.iter().all(|word| is_plain_export(word)) => None,
        "printf" if arguments.first().is_some_and(|word| word.starts_with("-v")) => {
            Some("it sets a variable")
        }
        "[" | "[[" | "test" => {
            let last = arguments.len().saturating_sub(1);
            let operands = match name.as_str() {
                "test" => arguments,
                "[" if arguments.last().is_some_and(|word| word == "]") => &arguments[..last],
                "[[" if arguments.last().is_some_and(|word| word == "]]") => &arguments[..last],
                _ => return Some("it does not end as it should"),
            };
            operands.iter().any(evaluates).then_some("some shells evaluate it")
        }
        "exit" | "return" | "break" | "continue" | "shift" | "wait" | "kill" | "ulimit"
        | "umask" | "times" => arguments.iter().any(evaluates).then_some("some shells evaluate it"),
        name if POISONS.contains(&name) => Some("it changes what later commands do"),
        name if RUNS_TEXT.contains(&name) => Some("it runs text as commands"),
        _ => None,
    }
}

/// The `e` and `u` of `set -euo pipefail`, and the like: a shell that is told so
/// ends earlier, and does nothing else.
fn stops_earlier(word: &str) -> bool {
    match word.strip_prefix('-') {
        Some(letters) => !letters.is_empty() && letters.chars().all(|c| "euo".contains(c)),
        None => matches!(word, "pipefail" | "errexit" | "nounset"),
    }
}

fn is_plain_export(word: &str) -> bool {
    let name = word.split('=').next().unwrap_or_default();
    !name.is_empty() && name.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
}

/// Whether a shell obeys a variable of this name, so that setting it changes more
/// than what one program is told.
pub fn is_obeyed_by_shells(name: &str) -> bool {
    OBEYED.contains(&name)
        || ["LD_", "DYLD_", "BASH_", "BASHOPTS", "ZSH", "KSH_", "PS"]
            .iter()
            .any(|start| name.starts_with(start))
}

/// SOURCE: the manuals of bash 5.2 ("Shell Variables"), zsh 5.9 ("Parameters Set
/// By The Shell", "Parameters Used By The Shell"), dash and ksh93.
const OBEYED: [&str; 44] = [
    "ARGV0",
    "BASH",
    "CDPATH",
    "COMP_WORDBREAKS",
    "ENV",
    "EXECIGNORE",
    "FCEDIT",
    "FIGNORE",
    "FPATH",
    "FUNCNEST",
    "GLOBIGNORE",
    "HISTFILE",
    "HOME",
    "IFS",
    "INPUTRC",
    "LANG",
    "LC_ALL",
    "LC_CTYPE",
    "MAIL",
    "MAILPATH",
    "MODULE_PATH",
    "NULLCMD",
    "OLDPWD",
    "PATH",
    "POSIXLY_CORRECT",
    "POSTEDIT",
    "PROMPT",
    "PROMPT_COMMAND",
    "PWD",
    "READNULLCMD",
    "REPORTTIME",
    "RPROMPT",
    "SHELL",
    "SHELLOPTS",
    "SHLVL",
    "STTY",
    "TIMEFMT",
    "VISUAL",
    "ZDOTDIR",
    "cdpath",
    "fpath",
    "histchars",
    "module_path",
    "path",
];

/// Words of the language, in command position.
pub(super) const RESERVED: [&str; 25] = [
    "!", "{", "}", "if", "then", "elif", "else", "fi", "while", "until", "for", "do", "done",
    "case", "esac", "in", "function", "select", "coproc", "[[", "]]", "foreach", "end", "repeat",
    "always",
];

/// Commands of a shell after which others may do something else, in any shell.
const POISONS: [&str; 70] = [
    "alias",
    "autoload",
    "bg",
    "bind",
    "bindkey",
    "caller",
    "chdir",
    "compdef",
    "compgen",
    "complete",
    "compopt",
    "declare",
    "dirs",
    "disable",
    "disown",
    "emulate",
    "enable",
    "export",
    "fc",
    "fg",
    "float",
    "function",
    "functions",
    "getln",
    "getopts",
    "hash",
    "hist",
    "history",
    "jobs",
    "integer",
    "let",
    "limit",
    "local",
    "logout",
    "mapfile",
    "nameref",
    "popd",
    "print",
    "private",
    "pushd",
    "pushln",
    "read",
    "readarray",
    "readonly",
    "rehash",
    "set",
    "setopt",
    "shopt",
    "suspend",
    "sysopen",
    "syswrite",
    "typeset",
    "unalias",
    "unfunction",
    "unhash",
    "unlimit",
    "unset",
    "unsetopt",
    "vared",
    "zcompile",
    "zformat",
    "zle",
    "zmodload",
    "zparseopts",
    "zpty",
    "zsocket",
    "zstyle",
    "zsystem",
    "ztcp",
    "setenv",
];

/// Commands of a shell that take their words, or what they find, for commands.
const RUNS_TEXT: [&str; 16] = [
    ".",
    "-",
    "always",
    "coproc",
    "end",
    "eval",
    "foreach",
    "noglob",
    "nocorrect",
    "repeat",
    "sched",
    "select",
    "source",
    "trap",
    "add-zsh-hook",
    "zargs",
];

/// What the grammar of Bash has nodes of their own for.
pub(super) fn is_not_a_command(name: &str) -> bool {
    matches!(name, "[" | "[[" | "declare" | "typeset" | "export" | "readonly" | "local" | "unset")
}
