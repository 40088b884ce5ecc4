//! Shells and interpreters: where the text comes from that they run.

use std::os::unix::ffi::OsStrExt as _;

use super::{INTERPRETERS, Inner, Run, SCRIPTED, gives_nothing, is_called, names};
use crate::attempt::{Exec, Stdin};
use crate::shell::Doubt;

/// Shells whose language is read.
const SHELLS: [&str; 12] = [
    "sh",
    "bash",
    "dash",
    "zsh",
    "ksh",
    "ksh93",
    "mksh",
    "ash",
    "rbash",
    "yash",
    "rzsh",
    "bash-static",
];

/// Programs that take a text of another language by `-c`.
const OTHERS: [&str; 10] =
    ["fish", "csh", "tcsh", "nu", "elvish", "xonsh", "pwsh", "powershell", "rc", "es"];

/// What reads its script on standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reader {
    Shell,
    Other,
}

/// The arguments of a shell.
#[derive(Default)]
struct Arguments {
    /// The text after `-c`.
    text: Option<usize>,
    /// The first word that is not an option.
    operand: Option<usize>,
    from_stdin: bool,
    interactive: bool,
    /// An argument whose meaning is not known.
    unclear: Option<usize>,
}

pub(super) fn texts(exec: &Exec, names: &[&[u8]], inner: &mut Inner) {
    let any = |known: &[&str]| names.iter().any(|name| known.iter().any(|k| is_called(name, k)));
    let (shell, other) = (any(&SHELLS), any(&OTHERS));
    if !shell && !other {
        return;
    }
    let arguments = read(exec);
    if let Some(at) = arguments.unclear {
        let what = exec.argv[at].to_string_lossy();
        inner.doubts.push(Doubt::new(&what, "what this argument means is not known"));
    }
    if arguments.interactive {
        let why = "an interactive shell reads files of its own and knows other words";
        inner.doubts.push(Doubt::new("-i", why));
    }
    let Some(text) = arguments.text.and_then(|at| exec.argv.get(at)) else { return };
    if other {
        inner.doubts.push(Doubt::new(&text.to_string_lossy(), "its language is not known"));
    }
    inner.runs.push(Run::Text { text: text.clone(), by: exec.clone() });
}

/// Whether it runs what it reads on standard input, from a source that can hold a
/// script.
pub(crate) fn reads_script(exec: &Exec) -> Option<Reader> {
    let names = names(exec);
    let any = |known: &[&str]| names.iter().any(|name| known.iter().any(|k| is_called(name, k)));
    if gives_nothing(exec.stdin) {
        return None;
    }
    if any(&SHELLS) {
        let arguments = read(exec);
        let script = arguments.operand.and_then(|at| exec.argv.get(at));
        let stdin = arguments.from_stdin
            || script.is_none_or(|script| is_stdin(script.as_bytes()))
            || arguments.unclear.is_some();
        return (arguments.text.is_none() && stdin).then_some(Reader::Shell);
    }
    let named = exec.argv.iter().skip(1).any(|word| is_stdin(word.as_bytes()));
    let operand = exec.argv.iter().skip(1).any(|word| !word.as_bytes().starts_with(b"-"));
    let reads = any(INTERPRETERS) && (named || (!operand && exec.stdin != Stdin::Unknown));
    (reads || (any(SCRIPTED) && named)).then_some(Reader::Other)
}

/// Whether an argument stands for standard input.
fn is_stdin(word: &[u8]) -> bool {
    matches!(word, b"-" | b"-f-" | b"/dev/stdin" | b"/dev/fd/0" | b"/proc/self/fd/0")
        || word.ends_with(b"=-")
}

/// SOURCE: bash(1), OPTIONS; dash(1); zshoptions(1); POSIX.1-2024, `sh`.
fn read(exec: &Exec) -> Arguments {
    let mut arguments = Arguments::default();
    let mut command = false;
    let mut at = 1;
    while let Some(word) = exec.argv.get(at) {
        let Some(letters) = word.to_str().and_then(|word| word.strip_prefix('-')) else {
            match word.as_bytes().first() {
                Some(b'+') => arguments.unclear = Some(at),
                _ => break,
            }
            at += 1;
            continue;
        };
        at += 1;
        match letters {
            "" | "-" => break,
            "-rcfile" | "-init-file" => {
                arguments.unclear = Some(at - 1);
                at += 1;
            }
            "-login" | "-noprofile" | "-norc" | "-posix" | "-verbose" | "-noediting" => {}
            _ if letters.starts_with('-') => arguments.unclear = Some(at - 1),
            _ => {
                for letter in letters.chars() {
                    match letter {
                        'c' => command = true,
                        's' => arguments.from_stdin = true,
                        'i' => arguments.interactive = true,
                        'o' | 'O' => at += 1,
                        'l' | 'e' | 'u' | 'f' | 'x' | 'v' | 'h' | 'm' | 'p' | 'r' | 'B' | 'C'
                        | 'E' | 'H' | 'n' | 'a' | 'b' => {}
                        _ => arguments.unclear = Some(at - 1),
                    }
                }
            }
        }
    }
    match command {
        true => arguments.text = Some(at),
        false => arguments.operand = Some(at),
    }
    if arguments.unclear.is_some() && !command {
        // Somewhere there may be a text.
        let c = |word: &&std::ffi::OsString| {
            word.as_bytes().starts_with(b"-") && word.as_bytes().contains(&b'c')
        };
        arguments.interactive |= exec.argv.iter().skip(1).any(|word| c(&word));
    }
    arguments
}
