//! What secrets of well-known issuers look like.
//!
//! A look is told by its public beginning, its alphabet and its length, so that
//! prose, code and compressed bytes are not mistaken for one. This finds what was
//! sent by accident or without thought. Whoever encodes, compresses or splits a
//! secret is not noticed.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, MatchKind};

/// One kind of secret.
struct Look {
    what: &'static str,
    begins: &'static [&'static str],
    /// At most so many bytes of any kind stand between beginning and secret.
    gap: usize,
    alphabet: fn(u8) -> bool,
    /// So many bytes of the alphabet follow.
    least: usize,
    /// And then none.
    ends: bool,
}

impl Look {
    const fn of(what: &'static str, begins: &'static [&'static str], least: usize) -> Self {
        Self { what, begins, gap: 0, alphabet: word, least, ends: false }
    }

    const fn exactly(self) -> Self {
        Self { ends: true, ..self }
    }

    const fn in_alphabet(self, alphabet: fn(u8) -> bool) -> Self {
        Self { alphabet, ..self }
    }

    const fn after(self, gap: usize) -> Self {
        Self { gap, ..self }
    }
}

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
}

fn capital(byte: u8) -> bool {
    byte.is_ascii_uppercase() || byte.is_ascii_digit()
}

fn base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'+' || byte == b'/'
}

/// Every kind, the more particular beginning first.
static LOOKS: &[Look] = &[
    // SOURCE: "IAM identifiers": long-term keys begin with AKIA, those of a session
    // with ASIA; 20 characters in all. Alone it is half of a key, and the other half,
    // which has no look of its own, is seldom far.
    Look::of("an AWS access key", &["AKIA", "ASIA"], 16).in_alphabet(capital).exactly(),
    // SOURCE: GitHub, "About authentication", token prefixes, and "Behind GitHub's new
    // authentication token formats": 36 characters or more follow.
    Look::of("a GitHub token", &["ghp_", "gho_", "ghu_", "ghs_", "ghr_"], 36).in_alphabet(plain),
    Look::of("a GitHub token", &["github_pat_"], 60),
    // SOURCE: GitLab, "Token overview", token prefixes; 20 characters or more.
    Look::of("a GitLab token", &["glpat-", "gldt-", "glrt-", "glptt-"], 20),
    // SOURCE: Slack, "Token types"; the shortest have two numbers of ten digits.
    Look::of("a Slack token", &["xoxa-", "xoxb-", "xoxp-", "xoxr-", "xoxs-", "xapp-"], 24),
    // SOURCE: Anthropic's console: `sk-ant-api03-` and about 95 more.
    Look::of("an Anthropic key", &["sk-ant-"], 40),
    // SOURCE: OpenRouter, "API authentication": 64 hexadecimal digits.
    Look::of("an OpenRouter key", &["sk-or-v1-"], 64).in_alphabet(plain),
    // SOURCE: OpenAI's platform: keys of projects and service accounts are 100 and
    // more long; the older ones have 48 letters and digits.
    Look::of("an OpenAI key", &["sk-proj-", "sk-svcacct-", "sk-admin-"], 40),
    Look::of("an OpenAI key", &["sk-"], 48).in_alphabet(plain).exactly(),
    // SOURCE: Google Cloud, "API keys": 39 characters in all.
    Look::of("a Google API key", &["AIza"], 35).exactly(),
    // SOURCE: Stripe, "API keys"; test keys open nothing.
    Look::of("a Stripe key", &["sk_live_", "rk_live_"], 24).in_alphabet(plain),
    // SOURCE: npm, "About access tokens", and GitHub's blog on its new format.
    Look::of("an npm token", &["npm_"], 36).in_alphabet(plain).exactly(),
    // SOURCE: PyPI's tokens are macaroons; their first bytes are the same.
    Look::of("a PyPI token", &["pypi-AgEI"], 50),
    // SOURCE: Hugging Face, "User access tokens"; 34 letters.
    Look::of("a Hugging Face token", &["hf_"], 34).in_alphabet(plain).exactly(),
    // SOURCE: RFC 7468 §10 and §11, OpenSSH's PROTOCOL.key, RFC 9580 §6.2. The gap has
    // room for line ends, escaped ones and quotes. A mention of the header is no key.
    Look::of(
        "a private key",
        &[
            "-----BEGIN PRIVATE KEY-----",
            "-----BEGIN ENCRYPTED PRIVATE KEY-----",
            "-----BEGIN OPENSSH PRIVATE KEY-----",
            "-----BEGIN PGP PRIVATE KEY BLOCK-----",
        ],
        40,
    )
    .in_alphabet(base64)
    .after(16),
    // SOURCE: RFC 1421 §4.6: headers with the cipher may stand before the key.
    Look::of(
        "a private key",
        &[
            "-----BEGIN RSA PRIVATE KEY-----",
            "-----BEGIN EC PRIVATE KEY-----",
            "-----BEGIN DSA PRIVATE KEY-----",
        ],
        40,
    )
    .in_alphabet(base64)
    .after(112),
];

/// So many different bytes a secret has at least; `xxxx…` in a manual has fewer.
const LEAST_DIFFERENT: usize = 7;

/// What bytes that begin with a beginning are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// So many bytes show it.
    Is(usize),
    IsNot,
    /// The next bytes decide.
    Open,
}

impl Look {
    /// `bytes` start with a beginning of `begin` bytes. `last`: nothing follows them.
    fn read(&self, begin: usize, bytes: &[u8], last: bool) -> Seen {
        for from in begin..=begin + self.gap {
            let here = bytes.get(from..).unwrap_or_default();
            let run = here.iter().take(self.least + 1).take_while(|b| (self.alphabet)(**b)).count();
            let at_end = run == here.len() && !last;
            let undecided = if self.ends { run <= self.least } else { run < self.least };
            if at_end && undecided {
                return Seen::Open;
            }
            let fits = run == self.least || run > self.least && !self.ends;
            if fits && is_varied(&here[..self.least]) {
                return Seen::Is(from + self.least);
            }
        }
        Seen::IsNot
    }
}

fn is_varied(bytes: &[u8]) -> bool {
    let mut met = [false; 256];
    bytes.iter().for_each(|byte| met[usize::from(*byte)] = true);
    met.iter().filter(|met| **met).count() >= LEAST_DIFFERENT
}

static BEGINNINGS: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .match_kind(MatchKind::LeftmostLongest)
        .build(LOOKS.iter().flat_map(|look| look.begins))
        .expect("a table of some forty words fits an automaton")
});

/// The first secret in some bytes, or what may become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum First {
    Found {
        what: &'static str,
        from: usize,
        until: usize,
    },
    /// Bytes from here on may be the beginning of one.
    Open(usize),
}

/// Looks through `bytes`. `last`: nothing follows them.
pub(super) fn first(bytes: &[u8], last: bool) -> First {
    let mut searched = 0;
    while let Some(hit) = BEGINNINGS.find(&bytes[searched..]) {
        let from = searched + hit.start();
        let here = &bytes[from..];
        let looks = LOOKS.iter().flat_map(|look| look.begins.iter().map(move |it| (look, it)));
        for (look, begin) in looks.filter(|(_, begin)| here.starts_with(begin.as_bytes())) {
            match look.read(begin.len(), here, last) {
                Seen::Is(length) => {
                    return First::Found { what: look.what, from, until: from + length };
                }
                Seen::Open => return First::Open(from),
                Seen::IsNot => {}
            }
        }
        // `sk-` is whole and `sk-or-v1-` may come of it yet.
        if !last && continues(here) {
            return First::Open(from);
        }
        searched = from + 1;
    }
    First::Open(if last { bytes.len() } else { searched + open_end(&bytes[searched..]) })
}

/// Where the longest end of `bytes` begins that a beginning continues.
fn open_end(bytes: &[u8]) -> usize {
    /// No beginning is longer.
    const LONGEST: usize = 48;
    (bytes.len().saturating_sub(LONGEST)..bytes.len())
        .find(|from| continues(&bytes[*from..]))
        .unwrap_or(bytes.len())
}

/// Whether a beginning continues these bytes.
fn continues(bytes: &[u8]) -> bool {
    let mut begins = LOOKS.iter().flat_map(|look| look.begins);
    begins.any(|it| it.len() > bytes.len() && it.as_bytes().starts_with(bytes))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// One of each kind, made up: none opens anything.
    pub(in crate::data) fn examples() -> Vec<(&'static str, String)> {
        let long =
            "Ab3dEf6hIj9lMn2pQr5tUv8xYz1aBc4eFg7iJk0mNo3qRs6uVw9yZa2cDe5gHi8kLm1oPq4sTu7wXy0";
        let start = |begin: &str, length: usize| format!("{begin}{}", &long[..length]);
        vec![
            ("an AWS access key", "AKIAQ3EGZ7T2MV5XKR4J".to_owned()),
            ("a GitHub token", start("ghp_", 36)),
            ("a GitHub token", start("ghs_", 40)),
            ("a GitHub token", format!("github_pat_{}_{}", &long[..22], &long[10..70])),
            ("a GitLab token", start("glpat-", 20)),
            ("a Slack token", "xoxb-1234567890-0987654321-AbCdEfGhIj".to_owned()),
            ("an Anthropic key", start("sk-ant-api03-", 60)),
            ("an OpenRouter key", format!("sk-or-v1-{}", "0123456789abcdef".repeat(4))),
            ("an OpenAI key", start("sk-proj-", 60)),
            ("an OpenAI key", start("sk-", 48)),
            ("a Google API key", start("AIzaSy", 33)),
            ("a Stripe key", start("sk_live_", 24)),
            ("an npm token", start("npm_", 36)),
            ("a PyPI token", start("pypi-AgEIcHlwaS5vcmc", 50)),
            ("a Hugging Face token", start("hf_", 34)),
            ("a private key", format!("-----BEGIN PRIVATE KEY-----\r\n{long}")),
            ("a private key", format!("-----BEGIN OPENSSH PRIVATE KEY-----\\n{long}")),
            (
                "a private key",
                format!(
                    "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\
                     DEK-Info: AES-128-CBC,0123456789ABCDEF0123456789ABCDEF\n\n{long}"
                ),
            ),
        ]
    }

    fn whole(text: &str) -> Option<&'static str> {
        match first(text.as_bytes(), true) {
            First::Found { what, .. } => Some(what),
            First::Open(_) => None,
        }
    }

    #[test]
    fn each_kind_is_found_alone_and_amid_other_text() {
        for (what, secret) in examples() {
            assert_eq!(whole(&secret), Some(what), "{secret}");
            for around in ["{\"a\": \"X\"}", "token=X&b=1", "a\\nX\\n", "t%3DX", "X\r\n--boundary"]
            {
                assert_eq!(whole(&around.replace('X', &secret)), Some(what), "{around} {secret}");
            }
        }
    }

    #[test]
    fn what_only_begins_so_is_no_secret() {
        for text in [
            "",
            "ghp_short",
            "ghp_xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
            "the prefix is ghp_ and the rest is drawn",
            "a task-list, a disk-image and a desk-lamp",
            "sk-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "AKIAQ3EGZ7T2MV5XKR4JABCDEFG",
            "AKIAQ3EGZ7T2MV5XKR4",
            "npm_config_registry=https://registry.example",
            "sk_test_Ab3dEf6hIj9lMn2pQr5tUv8x",
            "if text.startswith(\"-----BEGIN PRIVATE KEY-----\"):\n    raise ValueError",
            "-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE0123456789abcdefghij",
        ] {
            assert_eq!(whole(text), None, "{text}");
        }
    }

    #[test]
    fn no_beginning_is_longer_than_is_held_back_or_within_another() {
        let begins = || LOOKS.iter().flat_map(|look| look.begins);
        assert!(begins().all(|begin| begin.len() <= 48));
        for (one, other) in begins().flat_map(|one| begins().map(move |other| (one, other))) {
            assert!(!one[1..].contains(other), "{other} in {one}");
        }
    }
}
