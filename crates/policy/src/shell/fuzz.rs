//! Texts that an adversary may have written.

use bolero::{check, produce};

use super::*;

const PIECES: [&str; 64] = [
    " ",
    "\n",
    ";",
    "&&",
    "||",
    "|",
    "&",
    "(",
    ")",
    "{",
    "}",
    "'",
    "\"",
    "\\",
    "$",
    "$(",
    "`",
    "${",
    "<<",
    "<<<",
    "<(",
    ">",
    ">>",
    "<",
    "2>&1",
    ">/dev/null",
    "#",
    "=",
    "*",
    "?",
    "[",
    "]",
    "[[",
    "]]",
    "!",
    "~",
    "if",
    "then",
    "fi",
    "for",
    "in",
    "do",
    "done",
    "case",
    "esac",
    "while",
    "function",
    "time",
    "X=1",
    "cd",
    "export",
    "eval",
    "git",
    "push",
    "sh",
    "-c",
    "EOF",
    "\n\tEOF\n",
    "a",
    "b c",
    "é",
    "\r",
    "\u{a0}",
    "\0",
];

fn text(choices: &[u8]) -> String {
    choices.iter().map(|choice| PIECES[usize::from(*choice) % PIECES.len()]).collect()
}

#[test]
fn any_text_is_read_and_its_places_are_right() {
    check!().with_generator(produce::<Vec<u8>>().with().len(0..60_usize)).for_each(|choices| {
        let script = read(&text(choices));
        for simple in &script.commands {
            assert!(!simple.argv.is_empty() && !simple.directories.is_empty());
            assert!(simple.fed_by.end <= script.commands.len());
            assert!(simple.feeds.end <= script.commands.len());
        }
    });
}

#[test]
fn any_bytes_are_read() {
    check!().with_type::<String>().for_each(|text| {
        read(text);
    });
}

#[test]
fn words_quoted_in_any_way_are_the_same_words() {
    check!().with_generator(produce::<(Vec<Vec<u8>>, u8)>()).for_each(|(choices, style)| {
        let words: Vec<String> =
            choices.iter().take(8).map(|c| text(&c[..c.len().min(6)])).collect();
        let clean = |word: &String| !word.contains(['\r', '\0', '\u{a0}']);
        if words.is_empty() || !words.iter().all(clean) {
            return;
        }
        let quoted: Vec<String> = words.iter().map(|word| quote(word, *style)).collect();
        let script = read(&quoted.join(" "));
        assert_eq!(script.commands[0].argv, words, "{quoted:?}");
    });
}

fn quote(word: &str, style: u8) -> String {
    match style % 3 {
        0 => format!("'{}'", word.replace('\'', "'\\''")),
        1 => {
            let escaped = word.chars().map(|c| match c {
                '$' | '`' | '"' | '\\' => format!("\\{c}"),
                c => c.to_string(),
            });
            format!("\"{}\"", escaped.collect::<String>())
        }
        _ => {
            let escaped = word.chars().map(|c| match c {
                '\n' => "'\n'".to_owned(),
                c => format!("\\{c}"),
            });
            format!("''{}", escaped.collect::<String>())
        }
    }
}
