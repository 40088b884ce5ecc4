//! Host patterns, as settings and rules write them, and the index that finds
//! those that match.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::net::IpAddr;

use crate::address::{self, Range};
use crate::host::{Host, HostName, Port};

/// Which hosts and ports a statement is about: `api.example.com`, `*.x.com`
/// (below it), `**.x.com` (it and below), `10.0.0.5`, `[::1]`, `10.0.0.0/8`,
/// `*` (every host), each with `:PORT` or without.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostPattern {
    hosts: Hosts,
    port: Option<Port>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Hosts {
    Exactly(HostName),
    Below(HostName),
    Within(HostName),
    Range(Range),
    Every,
}

/// Why a text is not a host pattern, in words that follow "is not a host pattern: ".
pub(crate) type PatternError = String;

impl HostPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, PatternError> {
        let (host, port) = split_port(text)?;
        Ok(Self { hosts: Hosts::parse(host)?, port })
    }

    /// Whether it covers so much that only an administrator may permit it:
    /// everything, everything below one label, or a huge range.
    pub(crate) fn is_broad(&self) -> bool {
        match &self.hosts {
            Hosts::Every => true,
            Hosts::Below(name) | Hosts::Within(name) => !name.as_str().contains('.'),
            Hosts::Range(range) => range.is_broad(),
            Hosts::Exactly(_) => false,
        }
    }

    /// The hosts as OpenSSH's lists of known hosts write them, on every port. `None`
    /// for a range, which they cannot say.
    pub(crate) fn known_hosts(&self) -> Option<String> {
        let on_every_port = |name: &str| format!("{name},[{name}]:*");
        Some(match &self.hosts {
            Hosts::Exactly(name) => on_every_port(name.as_str()),
            Hosts::Below(name) => on_every_port(&format!("*.{name}")),
            Hosts::Within(name) => {
                let below = on_every_port(&format!("*.{name}"));
                format!("{},{below}", on_every_port(name.as_str()))
            }
            Hosts::Range(range) if self.is_single() => on_every_port(&range.base().to_string()),
            Hosts::Range(_) => return None,
            Hosts::Every => "*".to_owned(),
        })
    }

    /// Whether it names its hosts one by one: no `*`, no range.
    pub(crate) fn is_single(&self) -> bool {
        match &self.hosts {
            Hosts::Exactly(_) => true,
            Hosts::Range(range) => range.bits() == if range.is_ipv4() { 32 } else { 128 },
            Hosts::Below(_) | Hosts::Within(_) | Hosts::Every => false,
        }
    }

    /// The same hosts on every port.
    pub(crate) fn on_every_port(self) -> Self {
        Self { port: None, ..self }
    }
}

impl Hosts {
    fn parse(text: &str) -> Result<Self, PatternError> {
        if text == "*" || text == "**" {
            return Ok(Self::Every);
        }
        if text.contains('/') {
            let hint = "a range is an address and how many first bits are shared, the rest zero, \
                        such as `10.0.0.0/8`";
            return Range::parse(text).map(Self::Range).ok_or_else(|| hint.to_owned());
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Range(Range::of(address::canonical(address))));
        }
        let name = |name| HostName::parse(name).map_err(|e| e.reason.to_owned());
        if let Some(rest) = text.strip_prefix("**.") {
            return Ok(Self::Within(name(rest)?));
        }
        if let Some(rest) = text.strip_prefix("*.") {
            return Ok(Self::Below(name(rest)?));
        }
        if text.contains('*') {
            return Err("`*` stands only at the beginning, as `*.` or `**.`".to_owned());
        }
        Ok(Self::Exactly(name(text)?))
    }
}

/// Splits `host:port`, `[v6]:port`, `v4/8:port`; an IPv6 address without
/// brackets has no port.
fn split_port(text: &str) -> Result<(&str, Option<Port>), PatternError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, rest) = rest.split_once(']').ok_or("`[` has no `]`")?;
        if !inside.parse::<IpAddr>().is_ok_and(|a| a.is_ipv6()) {
            return Err("brackets hold an IPv6 address".to_owned());
        }
        return match rest.strip_prefix(':') {
            Some(port) => Ok((inside, Some(parse_port(port)?))),
            None if rest.is_empty() => Ok((inside, None)),
            None => Err("after `]` comes `:` and a port, or nothing".to_owned()),
        };
    }
    let after_range = text.find('/').unwrap_or(0);
    let Some(colon) = text[after_range..].rfind(':') else {
        return Ok((text, None));
    };
    if after_range == 0 && text.parse::<IpAddr>().is_ok() {
        return Ok((text, None));
    }
    let (host, port) = text.split_at(after_range + colon);
    Ok((host, Some(parse_port(&port[1..])?)))
}

fn parse_port(text: &str) -> Result<Port, PatternError> {
    let plain = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse::<u16>().ok().filter(|_| plain);
    number
        .and_then(|n| Port::try_from(n).ok())
        .ok_or_else(|| "a port is a number from 1 to 65535".to_owned())
}

/// What an [`Index`] found: which statement, and whether it names the host or
/// its kind of address directly, as wildcards and wide ranges do not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hit {
    pub(crate) statement: usize,
    pub(crate) direct: bool,
}

/// Finds the statements about a host with one hash lookup per label of its name
/// or per length of range in use, however many there are.
#[derive(Clone, Debug, Default)]
pub(crate) struct Index {
    names: HashMap<String, Named>,
    ranges: HashMap<Range, Vec<Entry>>,
    /// The lengths of range in use: IPv4 or not, and shared bits.
    lengths: BTreeSet<(bool, u8)>,
    every: Vec<Entry>,
}

#[derive(Clone, Debug, Default)]
struct Named {
    exactly: Vec<Entry>,
    below: Vec<Entry>,
    within: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    port: Option<Port>,
    statement: usize,
}

impl Index {
    pub(crate) fn insert(&mut self, pattern: &HostPattern, statement: usize) {
        let entry = Entry { port: pattern.port, statement };
        match &pattern.hosts {
            Hosts::Exactly(name) => self.named(name).exactly.push(entry),
            Hosts::Below(name) => self.named(name).below.push(entry),
            Hosts::Within(name) => self.named(name).within.push(entry),
            Hosts::Range(range) => {
                self.lengths.insert((range.is_ipv4(), range.bits()));
                self.ranges.entry(*range).or_default().push(entry);
            }
            Hosts::Every => self.every.push(entry),
        }
    }

    fn named(&mut self, name: &HostName) -> &mut Named {
        self.names.entry(name.as_str().to_owned()).or_default()
    }

    /// Calls `found` for each statement about this host and port.
    pub(crate) fn visit(&self, host: &Host, port: Port, mut found: impl FnMut(Hit)) {
        let mut report = |entries: &[Entry], direct| {
            for entry in entries.iter().filter(|e| e.port.is_none_or(|p| p == port)) {
                found(Hit { statement: entry.statement, direct });
            }
        };
        report(&self.every, false);
        match host {
            Host::Name(name) => {
                let mut suffix = name.as_str();
                let mut whole = true;
                loop {
                    if let Some(named) = self.names.get(suffix) {
                        report(&named.within, false);
                        report(if whole { &named.exactly } else { &named.below }, whole);
                    }
                    let Some((_, rest)) = suffix.split_once('.') else {
                        break;
                    };
                    (suffix, whole) = (rest, false);
                }
            }
            Host::Address(address) => {
                for (_, bits) in self.lengths.iter().filter(|(v4, _)| *v4 == address.is_ipv4()) {
                    let Some(range) = Range::around(*address, *bits) else {
                        continue;
                    };
                    if let Some(entries) = self.ranges.get(&range) {
                        report(entries, range.is_direct());
                    }
                }
            }
        }
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hosts {
            Hosts::Exactly(name) => write!(f, "{name}")?,
            Hosts::Below(name) => write!(f, "*.{name}")?,
            Hosts::Within(name) => write!(f, "**.{name}")?,
            Hosts::Range(range) if self.is_single() => match (range.base(), self.port) {
                (IpAddr::V6(v6), Some(_)) => write!(f, "[{v6}]")?,
                (base, _) => write!(f, "{base}")?,
            },
            Hosts::Range(range) => write!(f, "{}/{}", range.base(), range.bits())?,
            Hosts::Every => f.write_str("*")?,
        }
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, host: &str, port: u16, expected: bool) {
        let mut index = Index::default();
        index.insert(&HostPattern::parse(pattern).unwrap(), 0);
        let host = host
            .parse::<IpAddr>()
            .map_or_else(|_| Host::Name(HostName::parse(host).unwrap()), Host::Address);
        let mut found = false;
        index.visit(&host, Port::try_from(port).unwrap(), |_| found = true);
        assert_eq!(found, expected, "`{pattern}` and {host}:{port}");
    }

    #[test]
    fn a_pattern_matches_whole_labels_and_its_own_port() {
        check("api.example", "api.example", 443, true);
        check("API.example.", "api.EXAMPLE", 443, true);
        check("api.example", "x.api.example", 443, false);
        check("api.example:443", "api.example", 443, true);
        check("api.example:443", "api.example", 80, false);
        check("*.example.com", "a.b.example.com", 1, true);
        check("*.example.com", "example.com", 1, false);
        check("*.example.com", "evilexample.com", 1, false);
        check("**.example.com", "example.com", 1, true);
        check("**.example.com", "a.example.com", 1, true);
        check("**.example.com", "example.com.evil", 1, false);
        check("10.0.0.5", "10.0.0.5", 1, true);
        check("::ffff:10.0.0.5", "10.0.0.5", 1, true);
        check("10.0.0.0/8:22", "10.9.9.9", 22, true);
        check("10.0.0.0/8:22", "10.9.9.9", 23, false);
        check("10.0.0.0/8", "11.0.0.1", 1, false);
        check("[::1]:80", "::1", 80, true);
        check("::1", "::1", 80, true);
        check("fd00::/8:443", "fd12::1", 443, true);
        check("*", "a.b", 1, true);
        check("*:443", "8.8.8.8", 443, true);
    }

    #[test]
    fn what_is_not_a_pattern_says_why() {
        for bad in [
            "",
            " ",
            "a b",
            "http://a.example",
            "a.example/path",
            "a.*.example",
            "*a.example",
            "a.example:",
            "a.example:0",
            "a.example:+1",
            "a.example:65536",
            "[::1",
            "[::1]80",
            "[10.0.0.1]",
            "10.0.0.1/8",
            "10.0.0",
            "2130706433",
            "0x7f.1",
            "a\0.example",
            "*.",
            "**.1",
            "a.example:443:443",
            "exämple.com",
            "*.*.example",
            ".example",
        ] {
            assert!(HostPattern::parse(bad).is_err(), "`{bad}` parsed");
        }
    }
}
