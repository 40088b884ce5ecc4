//! Laws of the filter, tried on output that nobody thought of.

use bolero::{check, produce};

use super::tests::{filtered, relayed};
use crate::terminal::screen::Screen;

const PIECES: [&[u8]; 40] = [
    b"\x1b",
    b"\x1b[",
    b"\x1b]",
    b"\x1bP",
    b"\x1b_",
    b"\x1b\\",
    b"\x07",
    b"\x9b",
    b"\x9d",
    b"\x9c",
    "\u{9b}".as_bytes(),
    "é".as_bytes(),
    b"\xe5\xad",
    b"\x18",
    b"\x05",
    b"\n",
    b"x",
    b"52;c;eA==",
    b"0;t",
    b"8;;",
    b"https://x",
    b"21t",
    b"5i",
    b"?1049",
    b"h",
    b"l",
    b"m",
    b"1;",
    b"$q",
    b" ",
    b"\xff",
    b"k",
    b"999999999999",
    b"65535;0H",
    b"P",
    b"@",
    b"r",
    "字".as_bytes(),
    "\u{200d}\u{301}".as_bytes(),
    b"38;2;1:1m",
];

fn lawful(printed: &[u8], cuts: &[u8]) {
    let heard = filtered([printed]);
    let show = printed.escape_ascii();
    let mut reads = Vec::new();
    let mut rest = printed;
    for cut in cuts.iter().chain([&u8::MAX]) {
        let (read, after) = rest.split_at(rest.len().min(usize::from(*cut)));
        reads.push(read);
        rest = after;
    }
    reads.push(rest);
    assert_eq!(filtered(reads), heard, "{show}");
    assert_eq!(relayed(printed), heard, "{show}");
    assert_eq!(filtered([&heard[..]]), heard, "what was heard passes again: {show}");
    let text = std::str::from_utf8(&heard).unwrap_or_else(|_| panic!("UTF-8: {show}"));
    for bad in ["\x1bP", "\x1b_", "\x1bk", "\x1b]5", "\x1b]x", "\x05", "\x18", "\x1b\x1b"] {
        assert!(!text.contains(bad), "{show} lets {} through", bad.escape_default());
    }
    let controls = text.chars().filter(|c| ('\u{80}'..'\u{a0}').contains(c)).count();
    assert_eq!(controls, 0, "{show}");
}

#[test]
fn no_output_gets_anything_else_through_however_it_is_read() {
    let picks = produce::<Vec<u8>>().with().len(0..16_usize);
    let cuts = produce::<Vec<u8>>().with().len(0..6_usize);
    check!().with_iterations(6_000).with_generator((picks, cuts)).for_each(|(picks, cuts)| {
        let printed: Vec<u8> = picks
            .iter()
            .flat_map(|pick| PIECES[usize::from(*pick) % PIECES.len()].to_vec())
            .collect();
        lawful(&printed, cuts);
    });
}

#[test]
fn no_bytes_at_all_are_too_odd() {
    check!().with_iterations(3_000).for_each(|bytes: &[u8]| lawful(bytes, &[1, 2, 3]));
}

/// A popup is drawn over it and taken away again.
#[test]
fn any_screen_can_be_followed_whatever_its_size() {
    let picks = produce::<Vec<u8>>().with().len(0..40_usize);
    let input = (1..200_u16, 1..60_u16, picks);
    check!().with_iterations(2_000).with_generator(input).for_each(|(columns, rows, picks)| {
        let mut screen = Screen::new(*columns, *rows);
        let mut out = Vec::new();
        for pick in picks {
            screen.feed(PIECES[usize::from(*pick) % PIECES.len()], &mut out);
        }
    });
}
