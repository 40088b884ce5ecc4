//! Hosts and ports: the one parser that everything compares and dials with.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

/// A TCP port that can be dialled: 1 to 65535.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u16", into = "u16")]
pub struct Port(u16);

/// Port 0 cannot be dialled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("port 0 cannot be dialled")]
pub struct PortError;

impl TryFrom<u16> for Port {
    type Error = PortError;

    fn try_from(number: u16) -> Result<Self, PortError> {
        if number == 0 {
            return Err(PortError);
        }
        Ok(Self(number))
    }
}

impl From<Port> for u16 {
    fn from(port: Port) -> u16 {
        port.0
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A host name in canonical form: lower-case ASCII labels of letters, digits,
/// `-` and `_`, joined by single dots, without a trailing dot, at most 253
/// bytes. It is never an address in disguise: the last label is not numeric.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct HostName(String);

/// Why a text is not a host name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is not a host name: {reason}", crate::show::line(.text))]
pub struct HostNameError {
    pub text: String,
    pub reason: &'static str,
}

impl HostName {
    /// Parses a name in any case, with or without one trailing dot.
    pub fn parse(text: &str) -> Result<Self, HostNameError> {
        let fail = |reason| Err(HostNameError { text: text.to_owned(), reason });
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() {
            return fail("it is empty");
        }
        if name.len() > 253 {
            return fail("it is longer than 253 bytes");
        }
        for label in name.split('.') {
            if label.is_empty() {
                return fail("it has an empty label");
            }
            if label.len() > 63 {
                return fail("it has a label longer than 63 bytes");
            }
            if !label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_') {
                return fail(
                    "labels are letters, digits, `-` and `_` (write other scripts as `xn--…`)",
                );
            }
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        // `0x7f.1`, `127.1` and `2130706433` are addresses to some resolvers.
        if last.bytes().all(|b| b.is_ascii_digit()) || is_hex_number(last) {
            return fail("its last label is a number");
        }
        Ok(Self(name))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_hex_number(label: &str) -> bool {
    label.strip_prefix("0x").is_some_and(|rest| rest.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl TryFrom<String> for HostName {
    type Error = HostNameError;

    fn try_from(text: String) -> Result<Self, HostNameError> {
        Self::parse(&text)
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> String {
        name.0
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where a connection wants to go: a name that was looked up, or an address
/// that was given literally.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Host {
    Address(IpAddr),
    Name(HostName),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Address(address) => address.fmt(f),
            Host::Name(name) => name.fmt(f),
        }
    }
}
