//! Texts that anybody may have written, such as a project's own.

use bolero::{check, produce};
use remit_policy::{Connect, Layer};

use crate::common::{rules, settings, try_compile};

const SETTINGS: [&str; 30] = [
    "[network]\n",
    "[sandbox]\n",
    "[commands]\n",
    "[sandbox.limits]\n",
    "allow",
    "deny",
    "ask",
    "default",
    "git",
    "write",
    "hidden",
    "protect",
    " = ",
    "[",
    "]",
    "\"",
    "\"**.a.example\"",
    "\"10.0.0.0/8\"",
    "\"~/../x\"",
    "\"commit\"",
    "\"ask\"",
    "\n",
    ",",
    "1",
    "-1",
    "99999999999999999999",
    "\"1 GiB\"",
    "\u{0}",
    "é",
    "{ x = 1 }",
];

const RULES: [&str; 30] = [
    "prefix_rule(",
    "pattern",
    "decision",
    "justification",
    "=",
    "[",
    "]",
    "(",
    ")",
    "\"git\"",
    "\"push\"",
    "\"forbidden\"",
    "\"prompt\"",
    "\"allow\"",
    ",",
    "\n",
    " ",
    "    ",
    "for x in ",
    "def f():\n",
    "lambda x: ",
    "x",
    "+",
    "*",
    "%",
    "\"",
    "'",
    "\\",
    "\u{202e}",
    "not ",
];

fn text(picks: &[u8], pieces: &[&str]) -> String {
    picks.iter().map(|pick| pieces[usize::from(*pick) % pieces.len()]).collect()
}

#[test]
fn no_settings_end_the_program() {
    let picks = produce::<Vec<u8>>().with().len(0..20_usize);
    check!().with_iterations(1_000).with_generator(picks).for_each(|picks| {
        let _ = try_compile(&[settings(Layer::Project, &text(picks, &SETTINGS))], None);
    });
}

#[test]
fn no_rules_end_the_program() {
    let picks = produce::<Vec<u8>>().with().len(0..24_usize);
    check!().with_iterations(300).with_generator(picks).for_each(|picks| {
        let _ = try_compile(&[rules(Layer::Project, &text(picks, &RULES))], None);
    });
}

const OURS: [&str; 26] = [
    "\ncommand_rule('git'",
    "\ncommand_rule(['rm', './x']",
    "\nfile_rule('./a/**'",
    "\nfile_rule(['/x', '~/*']",
    "\ntool_rule('s', 't*'",
    "\nprefix_rule(['git', ['a', 'b']]",
    ", decision='forbidden'",
    ", decision='allow'",
    ", 'prompt'",
    ", 'write'",
    ", access=['read']",
    ", subcommand=['a', ['b', 'c']]",
    ", any_flags=['-f', '--x=y']",
    ", all_flags=['-é']",
    ", cwd=['./**', '~/*/x']",
    ", cwd=['/**/a/**/b*']",
    ", env=['A', 'B=c']",
    ", stdin_is_script=True",
    ", place='offline'",
    ", until='2027-02-29'",
    ", until='2024-02-29'",
    ", match=['git -f', ['rm']]",
    ", not_match=['\\'x']",
    ", arguments={'a': ['*']}",
    ")",
    ")",
];

#[test]
fn no_rules_of_ours_end_the_program() {
    let picks = produce::<Vec<u8>>().with().len(0..16_usize);
    check!().with_iterations(500).with_generator(picks).for_each(|picks| {
        let text = rules(Layer::User, &text(picks, &OURS));
        if let Ok(policy) = try_compile(&[text], None) {
            let grants = remit_policy::Grants::default();
            for line in ["/usr/bin/git - git -c a push -xf", "./x - x --x y", "rm - rm"] {
                let _ = policy.exec(crate::common::exec(line), &grants);
            }
        }
    });
}

#[test]
fn a_host_means_the_same_when_it_is_read_again() {
    const PIECES: [&str; 24] = [
        "a",
        "A",
        "example",
        ".",
        "..",
        "-",
        ":",
        "443",
        "0",
        "65536",
        "[",
        "]",
        "::",
        "::ffff:10.0.0.1",
        "10.0.0.1",
        "0x7f.1",
        "127.1",
        "é",
        "xn--",
        " ",
        "\0",
        "_",
        "%eth0",
        "+80",
    ];
    let picks = produce::<Vec<u8>>().with().len(0..8_usize);
    check!().with_iterations(20_000).with_generator(picks).for_each(|picks| {
        let text = text(picks, &PIECES);
        if let Some(connect) = Connect::parse(&text) {
            assert_eq!(Connect::parse(&connect.to_string()), Some(connect), "{text:?}");
        }
    });
}
