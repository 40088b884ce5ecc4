//! Scripts that come down a pipe: `curl … | sh`, whichever end starts second.

use std::path::Path;

use super::names::{self, View};
use super::table::{DECODERS, DOWNLOADERS, INTERPRETERS, SHELLS, is_one_of};
use super::{Finding, Risk};
use crate::attempt::Exec;

pub(super) fn findings(exec: &Exec, view: &View<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let is_interpreter = any(&view.names, SHELLS) || any(&view.names, INTERPRETERS);
    let fed = |list| is_end(exec.fed_by.as_deref(), list);
    if is_interpreter && reads_its_script(&view.arguments) {
        if fed(DOWNLOADERS) {
            findings.push(download());
        } else if fed(DECODERS) {
            findings.push(Finding {
                class: "hidden-command".to_owned(),
                risk: Risk::Medium,
                reason: "it runs a script that another program decodes while it runs".to_owned(),
                undo: None,
            });
        }
    }
    // How the reader was started is not known here; a shell reads its script.
    if any(&view.names, DOWNLOADERS) && is_end(exec.feeds.as_deref(), SHELLS) {
        findings.push(download());
    }
    // Between the two, whichever starts last.
    if fed(DOWNLOADERS) && is_end(exec.feeds.as_deref(), SHELLS) {
        findings.push(download());
    }
    if is_interpreter && runs_a_descriptor(&view.arguments) {
        findings.push(Finding {
            class: "download-and-run".to_owned(),
            risk: Risk::Medium,
            reason: "it runs a script that is in no file, such as what a download prints"
                .to_owned(),
            undo: None,
        });
    }
    findings
}

fn download() -> Finding {
    Finding {
        class: "download-and-run".to_owned(),
        risk: Risk::High,
        reason: "what is downloaded runs at once, and nobody has seen it".to_owned(),
        undo: None,
    }
}

/// Whether it reads its script from standard input: no script is named, and none
/// is given as an argument (`-c`, `-e`, `-m` and the like).
fn reads_its_script(arguments: &[&[u8]]) -> bool {
    for word in arguments {
        match *word {
            b"-" | b"-s" | b"/dev/stdin" | b"/dev/fd/0" | b"/proc/self/fd/0" => return true,
            b"-c" | b"-e" | b"-E" | b"-m" | b"-p" | b"-r" | b"-n" | b"--eval" | b"--print"
            | b"--version" => {
                return *word == b"-n" && arguments.len() == 1;
            }
            [b'-', b'-', ..] => {}
            // `-lc`, `-ne`, `-es`: as the letters say.
            [b'-', letters @ ..] => {
                if letters.contains(&b's') {
                    return true;
                }
                if letters.iter().any(|b| b"cemp".contains(b)) {
                    return false;
                }
            }
            _ => return false,
        }
    }
    true
}

/// `bash <(curl …)` gives a script by descriptor.
fn runs_a_descriptor(arguments: &[&[u8]]) -> bool {
    let script = arguments.iter().find(|word| !word.starts_with(b"-"));
    let script = script.copied().unwrap_or_default();
    let texts = arguments
        .iter()
        .any(|word| matches!(*word, [b'-', rest @ ..] if rest.last() == Some(&b'c')));
    let descriptor = script.starts_with(b"/dev/fd/")
        || (script.starts_with(b"/proc/") && super::words::holds(script, b"/fd/"));
    descriptor && !texts && !script.ends_with(b"/0")
}

fn is_end(program: Option<&Path>, list: &[&str]) -> bool {
    program.is_some_and(|program| is_one_of(names::name_of(program), list))
}

fn any(names: &[&[u8]], list: &[&str]) -> bool {
    names.iter().any(|name| is_one_of(name, list))
}
