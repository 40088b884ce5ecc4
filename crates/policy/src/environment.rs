//! Which variables of the caller's environment pass into the boundary?

use std::collections::BTreeSet;

/// The names that pass. What is not named does not pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Environment {
    names: BTreeSet<String>,
    /// Beginnings, each ending in `_`.
    beginnings: BTreeSet<String>,
    /// What does not pass although it is named.
    withheld: BTreeSet<String>,
}

/// A variable that a session gets unless the person set it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DefaultVariable {
    pub name: &'static str,
    pub value: &'static str,
    /// Where the tool would write without it, from `~/`. Where that is writable,
    /// the variable is not needed.
    pub instead_of: &'static str,
}

impl Environment {
    /// Whether a variable of this name passes.
    ///
    /// What changes the code a program loads, and our own variables, never pass.
    /// A name that looks like a secret (`…_TOKEN`) passes only if a policy spells
    /// it in full; `GITHUB_*` does not cover `GITHUB_TOKEN`. What a credential is
    /// kept in, or is exposed as, does not pass.
    pub fn passes(&self, name: &str) -> bool {
        let begins = || self.beginnings.iter().any(|b| name.starts_with(b.as_str()));
        let may = !never(name) && !self.withheld.contains(name);
        may && (self.names.contains(name) || (!looks_secret(name) && begins()))
    }

    /// Variables for tools that find no place inside to write where they would.
    pub fn defaults() -> &'static [DefaultVariable] {
        DEFAULT_VARIABLES
    }

    /// The built-in names, and no others.
    pub(crate) fn built_in() -> Self {
        let mut environment =
            Self { names: BTreeSet::new(), beginnings: BTreeSet::new(), withheld: BTreeSet::new() };
        for name in PASS_NAMES {
            environment.pass(name).expect("built-in variables are names or beginnings");
        }
        environment
    }

    /// Lets `NAME` or `PREFIX_*` pass.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub(crate) fn pass(&mut self, text: &str) -> Result<(), String> {
        Self::check(text)?;
        match text.strip_suffix('*') {
            Some(beginning) => self.beginnings.insert(beginning.to_owned()),
            None => self.names.insert(text.to_owned()),
        };
        Ok(())
    }

    /// Keeps a variable out, whoever names it.
    pub(crate) fn withhold(&mut self, name: &str) {
        self.withheld.insert(name.to_owned());
    }

    /// Whether a policy may name this. The error says what may be written.
    pub(crate) fn check(text: &str) -> Result<(), String> {
        let beginning = text.strip_suffix('*');
        let name = beginning.unwrap_or(text);
        let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
        let ends = beginning.is_none() || name.ends_with('_');
        if name.is_empty() || !name.bytes().all(plain) || !ends {
            return Err(
                "a variable is written `NAME`, or `PREFIX_*` for all that begin so".to_owned()
            );
        }
        if never(name) {
            return Err(format!(
                "`{text}` never passes, because it is Remit's own or changes which code programs load"
            ));
        }
        Ok(())
    }
}

/// Ours, or read by the loader or C library before a program's first line.
///
/// SOURCE: ld.so(8), and the variables glibc drops for privileged programs.
fn never(name: &str) -> bool {
    const NAMES: [&str; 5] =
        ["GLIBC_TUNABLES", "GCONV_PATH", "LOCPATH", "HOSTALIASES", "RESOLV_HOST_CONF"];
    ["LD_", "DYLD_", "REMIT_"].iter().any(|beginning| name.starts_with(beginning))
        || NAMES.contains(&name)
}

fn looks_secret(name: &str) -> bool {
    const WORDS: [&str; 10] = [
        "SECRET",
        "PASSWORD",
        "PASSWD",
        "PASS",
        "PASSPHRASE",
        "CREDENTIAL",
        "CREDENTIALS",
        "AUTH",
        "COOKIE",
        "PAT",
    ];
    let name = name.to_ascii_uppercase();
    let secret =
        |word: &str| WORDS.contains(&word) || word.ends_with("KEY") || word.ends_with("TOKEN");
    name.split('_').any(secret)
}

pub(crate) const PASS: &str = include_str!("../data/environment.toml");

include!(concat!(env!("OUT_DIR"), "/pass.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_and_loader_variables_do_not_pass_by_default() {
        let environment = Environment::built_in();
        for name in ["HOME", "PATH", "LC_ALL", "CARGO_HOME", "NO_COLOR"] {
            assert!(environment.passes(name), "{name}");
        }
        for name in [
            "",
            "LD_PRELOAD",
            "LD_LIBRARY_PATH",
            "OPENAI_API_KEY",
            "GITHUB_TOKEN",
            "SSH_AUTH_SOCK",
            "AWS_SECRET_ACCESS_KEY",
            "REMIT_SESSION",
            "NODE_OPTIONS",
            "BASH_ENV",
            "LC_SECRET",
            "XDG_RUNTIME_DIR",
            "DBUS_SESSION_BUS_ADDRESS",
            "home",
        ] {
            assert!(!environment.passes(name), "{name}");
        }
    }

    #[test]
    fn a_beginning_does_not_cover_a_secret_but_a_full_name_does() {
        let mut environment = Environment::built_in();
        environment.pass("GITHUB_*").unwrap();
        assert!(environment.passes("GITHUB_REPOSITORY"));
        assert!(!environment.passes("GITHUB_TOKEN"));
        assert!(!environment.passes("GITHUB_APIKEY"));
        environment.pass("GITHUB_TOKEN").unwrap();
        assert!(environment.passes("GITHUB_TOKEN"));
    }

    #[test]
    fn what_a_tool_gets_lies_in_the_sessions_own_place() {
        for variable in Environment::defaults() {
            assert!(variable.value.starts_with("/tmp/"), "{variable:?}");
            assert!(variable.instead_of.starts_with("~/"), "{variable:?}");
            assert!(Environment::check(variable.name).is_ok(), "{variable:?}");
        }
    }

    #[test]
    fn what_never_passes_cannot_be_named() {
        for bad in ["LD_PRELOAD", "LD_*", "REMIT_X", "*", "X*", "", "A B", "A=B", "GCONV_PATH", "é"]
        {
            assert!(Environment::built_in().pass(bad).is_err(), "{bad}");
        }
    }
}
