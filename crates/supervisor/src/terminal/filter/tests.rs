//! Bytes in, bytes out.

use super::*;
use crate::terminal::lexer::Lexer;
use crate::terminal::screen::Screen;

pub(super) fn filtered<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let (mut lexer, mut room, mut out) = (Lexer::default(), Vec::new(), Vec::new());
    for part in parts {
        for byte in part {
            lexer.push(*byte, &mut |token| {
                if let Some(token) = clean(token, &mut room) {
                    token.write(&mut out);
                }
            });
        }
    }
    out
}

/// The same with the screen in between, which takes plain text at once.
pub(super) fn relayed(printed: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    Screen::new(80, 24).feed(printed, &mut out);
    out
}

/// What a program prints, and what the terminal hears of it. However the bytes
/// are read, it is the same.
#[track_caller]
fn check(printed: impl AsRef<[u8]>, heard: impl AsRef<[u8]>) {
    let (printed, heard) = (printed.as_ref(), heard.as_ref());
    let show = |bytes: &[u8]| bytes.escape_ascii().to_string();
    for split in 0..=printed.len() {
        let (left, right) = printed.split_at(split);
        assert_eq!(show(&filtered([left, right])), show(heard), "{}", show(printed));
    }
    assert_eq!(show(&relayed(printed)), show(heard), "{}", show(printed));
}

#[track_caller]
fn passes(printed: impl AsRef<[u8]>) {
    check(&printed, &printed);
}

/// Nothing of it is heard, and what is around it is.
#[track_caller]
fn vanishes(printed: impl AsRef<[u8]>) {
    check([b"a", printed.as_ref(), b"b"].concat(), "ab");
}

#[test]
fn what_draws_moves_and_colours_passes() {
    passes("plain é 字 🦀 e\u{301}\t\r\n\x08\x07\x0e\x0f");
    passes("\x1b[1;31m\x1b[38;2;1;2;3m\x1b[4:3m\x1b[58:5:1m\x1b[m");
    passes(
        "\x1b[H\x1b[2;3H\x1b[5A\x1b[2J\x1b[3J\x1b[K\x1b[?2K\x1b[4L\x1b[2M\x1b[P\x1b[@\x1b[3X\x1b[2S\x1b[2T\x1b[3b",
    );
    passes(
        "\x1b[2;5r\x1b[r\x1b[3;9s\x1b[s\x1b[u\x1b7\x1b8\x1bD\x1bE\x1bM\x1bH\x1b[3g\x1b[2Z\x1bc\x1b[!p",
    );
    passes("\x1b(0\x1b)B\x1b*A\x1b+0\x1bn\x1bo\x1b#8\x1b=\x1b>");
    passes("\x1b[2 q\x1b[ q\x1b['}\x1b[1;2;3;4$z\x1b[#{\x1b[#}");
}

#[test]
fn modes_and_keyboards_pass() {
    passes("\x1b[?1049h\x1b[?1049l\x1b[?47h\x1b[?1;25l\x1b[?7h\x1b[4h\x1b[20l");
    passes("\x1b[?1000;1002;1003;1004;1006;1015;1016h\x1b[?2004h\x1b[?2026h\x1b[?2027h\x1b[?2048h");
    passes("\x1b[>1u\x1b[<u\x1b[=5;1u\x1b[?u\x1b[>4;2m\x1b[?4m\x1b[>4n");
}

#[test]
fn harmless_questions_pass() {
    passes("\x1b[c\x1b[>c\x1b[=c\x1b[>q\x1b[5n\x1b[6n\x1b[?6n\x1b[?996n\x1b[?2026$p\x1b[4$p");
    passes("\x1b[14t\x1b[16t\x1b[18t\x1b[22;0;0t\x1b[23;0;0t");
    passes("\x1b]10;?\x07\x1b]11;?\x1b\\\x1b]12;?\x07\x1b]4;1;?\x07");
}

#[test]
fn titles_colours_and_links_to_the_web_pass() {
    passes("\x1b]0;title\x07\x1b]2;⠋ réglé; ok\x1b\\\x1b]1;\x07");
    passes(
        "\x1b]11;#1e1e2e\x07\x1b]4;1;rgb:ff/00/00;2;red\x07\x1b]104\x07\x1b]104;1\x07\x1b]111\x1b\\",
    );
    passes("\x1b]8;;https://example.com/a?b=c;d\x1b\\x\x1b]8;;\x1b\\");
    passes("\x1b]8;id=1;http://example.com\x07x\x1b]8;;\x07");
}

#[test]
fn the_clipboard_is_out_of_reach() {
    vanishes("\x1b]52;c;?\x07");
    vanishes("\x1b]52;c;cm0gLXJm\x07");
    vanishes("\x1b]52;;cm0gLXJm\x1b\\");
    vanishes("\x1b]052;c;cm0gLXJm\x07");
    vanishes("\x1b]5522;type=read\x07");
    vanishes("\x1bPtmux;\x1b\x1b]52;c;cm0gLXJm\x07\x1b\\");
}

#[test]
fn nothing_of_the_terminals_own_comes_back_as_input() {
    vanishes("\x1b[20t");
    vanishes("\x1b[21t");
    vanishes("\x1b[021t");
    vanishes("\x1b[>2t");
    vanishes("\x05");
    vanishes("\x1bZ");
    vanishes("\x1bP$qm\x1b\\");
    vanishes("\x1bP+q544e\x1b\\");
    vanishes("\x1b[1;1;1;1;5;5*y");
    vanishes("\x1b[1$w");
    vanishes("\x1b[1$u");
    vanishes("\x1b[&u");
    vanishes("\x1b[x");
    vanishes("\x1b[#|");
    vanishes("\x1b[?26n");
    vanishes("\x1b]50;?\x07");
    vanishes("\x1b]3;?PROPERTY\x07");
    vanishes("\x1b[1'z\x1b['|");
}

#[test]
fn what_defines_prints_moves_or_reads_files_vanishes() {
    vanishes("\x1bP0;1|17/726d\x1b\\"); // user-defined keys
    vanishes("\x1bPq#0;2;0;0;0~~\x1b\\"); // an image
    vanishes("\x1b_Gt=f,a=T;L2V0Yy9wYXNzd2Q=\x1b\\");
    vanishes("\x1b^private\x1b\\");
    vanishes("\x1bXstring\x1b\\");
    vanishes("\x1bkwindow\x1b\\");
    vanishes("\x1b]1337;File=name=eA==:AAAA\x07");
    vanishes("\x1b]1337;RequestUpload=format=tgz\x07");
    vanishes(
        "\x1b]9;buy\x07\x1b]99;;buy\x1b\\\x1b]777;notify;a;b\x07\x1b]51;x\x07\x1b]7;file:///x\x07",
    );
    vanishes("\x1b]I/etc/x\x07\x1b]lx\x07\x1b]Lx\x07");
    vanishes("\x1b[5i\x1b[?5i\x1b[4i\x1b[i");
    vanishes("\x1b[1t\x1b[3;0;0t\x1b[8;1;1t\x1b[9;1t\x1b[30t\x1b[t");
    vanishes("\x1b[2h\x1b[12h\x1b[?2l\x1b[?3h\x1b[?46h\x1b[?1001h\x1b[?38h");
    vanishes("\x1b[?1001s\x1b[?1001r\x1b[>1s\x1b[62;0\"p\x1b[1;1;1;1;1T");
    vanishes("\x1b G\x1b F\x1b%@\x1b%G\x1bl\x1bm\x1b-A");
    vanishes("\x1b(%%0\x1b()0");
    vanishes("\x11\x13\x18\x1a\x7f\x01");
}

#[test]
fn modes_that_may_not_be_set_are_taken_out_of_a_list() {
    check("\x1b[?3;4;1003h", "\x1b[?4;1003h");
    check("\x1b[2;4;12h", "\x1b[4h");
}

#[test]
fn titles_are_short_and_visible() {
    check("\x1b]0;a\u{202e}b\u{9b}c\u{200b}\nd\x07", "\x1b]0;abcd\x07");
    check(b"\x1b]2;a\xff\x9bb\x07", "\x1b]2;a\u{fffd}\u{fffd}b\x07");
    let title = |length| format!("\x1b]2;{}\x1b\\", "é".repeat(length));
    assert_eq!(filtered([title(300).as_bytes()]), title(256).as_bytes());
    assert_eq!(filtered([title(3000).as_bytes()]), b"", "too long to look at");
}

#[test]
fn links_lead_to_the_web_only() {
    for target in
        ["file:///home/me/project/run.desktop", "vscode://x", "http:/x", "x\u{e9}", "https://a b"]
    {
        check(format!("\x1b]8;;{target}\x1b\\x"), "\x1b]8;;\x1b\\x");
    }
    check("\x1b]8;\x07x", "\x1b]8;;\x07x");
    check("\x1b]11;red\nx\x07", "");
}

#[test]
fn eight_bit_controls_are_no_controls() {
    check(b"a\x9b21tb", "a\u{fffd}21tb");
    check(b"a\x9d52;c;eA==\x9cb", "a\u{fffd}52;c;eA==\u{fffd}b");
    check(b"a\x90$qm\x9cb", "a\u{fffd}$qm\u{fffd}b");
    check("a\u{9b}21t\u{9d}b", "a21tb");
    check(b"a\xc0\x9bb", "a\u{fffd}\u{fffd}b");
    check(b"a\xe0\x82\x9bb", "a\u{fffd}b");
    // Bytes of the same values within characters.
    passes("\u{6db}\u{15b}\u{29d}✝✛");
}

#[test]
fn sequences_are_written_anew() {
    check("\x1b[3\n1mx", "\n\x1b[31mx");
    check("\x1b[3\x181mx", "1mx");
    check("\x1b[2\x1b]52;c;eA==\x07x", "x");
    check("\x1b]0;a\x1b[21tb", "b");
    check("\x1b]0;a\x1b]52;c;eA==\x07b", "b");
    check("\x1b\x1b[31mx", "\x1b[31mx");
    check("\x1b[?1?2hx\x1b[ 1mx\x1b[1>cx", "xxx");
    check("x\x1b[31", "x");
    check("x\x1b]0;title", "x");
}
