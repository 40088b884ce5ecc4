//! TLS of the agent: the name it gives is the name it asked for, or nothing goes
//! on. Where the policy says so, it is ended here and begun anew to the host, so
//! that requests can be judged; everywhere else it passes as it is.

mod authority;
mod first;
mod hello;
mod inspect;
mod upstream;

pub use authority::{Authority, AuthorityError};
pub use upstream::{RootsError, Upstream};

pub(crate) use first::greet;
pub(crate) use hello::{Hello, read};
pub(crate) use inspect::{Inspected, inspect, inspect_alone};
pub(crate) use upstream::said;

use std::net::IpAddr;

use remit_policy::{Attempt as _, Basis, Connect, Handling, Host, Refusal};

/// What a session needs to inspect TLS.
#[derive(Debug)]
pub struct Tls {
    pub authority: Authority,
    pub upstream: Upstream,
}

/// A protocol that can be judged by requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Http {
    One,
    Two,
}

/// How permitted TLS goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Ended here, and begun anew to the host.
    Inspect,
    /// As it is.
    Pass,
}

impl Http {
    /// SOURCE: RFC 7301 §6.
    fn alpn(self) -> &'static [u8] {
        match self {
            Http::One => b"http/1.1",
            Http::Two => b"h2",
        }
    }

    fn of(alpn: &[u8]) -> Option<Self> {
        [Http::One, Http::Two].into_iter().find(|http| http.alpn() == alpn)
    }
}

/// Judges what a program says at the beginning of TLS on a permitted connection.
///
/// The name must be the one that the connection was permitted for, compared
/// byte by byte but for case. It may be absent for an address and for `localhost`,
/// which have none to give. Elsewhere an absent or hidden name passes only if the
/// policy says so. Inspected TLS goes to the host that was permitted whatever the
/// program says, so there it may be absent or hidden.
///
/// This binds the connection to a name, not what is asked on it: a host that
/// serves others' content for another `Host` header does so unless it is inspected.
pub(crate) fn judge(connect: &Connect, handling: &Handling, hello: &Hello) -> Result<Way, Refusal> {
    let refuse = |rule: &str, instead: &str| {
        Err(Refusal {
            attempt: connect.summary(),
            basis: Basis::built_in(rule),
            instead: Some(instead.to_owned()),
            note: None,
        })
    };
    let is_as_asked = hello.name.as_deref().map(|name| is_name_of(&connect.host, name));
    if handling.inspect {
        let offers = &hello.protocols;
        if !offers.is_empty() && !offers.iter().any(|offer| Http::of(offer).is_some()) {
            return refuse(
                "inspected TLS carries HTTP",
                "HTTP/1.1 or HTTP/2; other protocols need `network.pass_through` for the host",
            );
        }
    } else if handling.requests_only {
        return refuse(
            "every request is judged",
            "HTTP without TLS, or `network.inspect` for the host",
        );
    } else if handling.opaque && (hello.encrypted || hello.name.is_none()) {
        return Ok(Way::Pass);
    } else if hello.encrypted {
        return refuse(
            "the server name of TLS is readable",
            "TLS without Encrypted Client Hello (browsers: \
             `--disable-features=EncryptedClientHello`), or `network.inspect` for the host",
        );
    } else if is_as_asked.is_none() && !is_nameless(&connect.host) {
        return refuse(
            "TLS names its server",
            "a client that sends a server name (SNI), or `network.opaque` for the host",
        );
    }
    if is_as_asked == Some(false) {
        return refuse(
            "TLS goes to the host that was asked for",
            "the same name in the connection and in TLS",
        );
    }
    Ok(if handling.inspect { Way::Inspect } else { Way::Pass })
}

/// Whether a server name is this host. A trailing dot is not part of one
/// (RFC 6066 §3), and some programs give the address where it has none.
fn is_name_of(host: &Host, name: &str) -> bool {
    match host {
        Host::Name(host) => host.as_str().eq_ignore_ascii_case(name),
        Host::Address(address) => name.parse::<IpAddr>().is_ok_and(|named| named == *address),
    }
}

/// Whether programs have no name to give for it.
fn is_nameless(host: &Host) -> bool {
    match host {
        Host::Address(_) => true,
        Host::Name(name) => name.as_str() == "localhost",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello(name: Option<&str>) -> Hello {
        Hello { name: name.map(str::to_owned), encrypted: false, protocols: Vec::new() }
    }

    fn judged(to: &str, handling: &Handling, hello: &Hello) -> Result<Way, String> {
        let connect = Connect::parse(to).expect("an attempt");
        judge(&connect, handling, hello).map_err(|refusal| refusal.basis.rule)
    }

    const ASKED: &str = "TLS goes to the host that was asked for";
    const NAMELESS: &str = "TLS names its server";
    const HIDDEN: &str = "the server name of TLS is readable";
    const OTHER: &str = "inspected TLS carries HTTP";

    #[test]
    fn the_name_given_is_the_name_asked_for() {
        let check = |to: &str, name: Option<&str>, expected: Result<Way, &str>| {
            let judged = judged(to, &Handling::default(), &hello(name));
            assert_eq!(judged, expected.map_err(str::to_owned), "{to} {name:?}");
        };
        check("api.example:443", Some("api.example"), Ok(Way::Pass));
        check("api.example:443", Some("API.Example"), Ok(Way::Pass));
        check("api.example:443", Some("evil.example"), Err(ASKED));
        check("api.example:443", Some("api.example."), Err(ASKED));
        check("api.example:443", Some("api.example.evil.example"), Err(ASKED));
        check("api.example:443", Some("xapi.example"), Err(ASKED));
        check("api.example:443", Some("*.example"), Err(ASKED));
        check("api.example:443", Some("192.0.2.1"), Err(ASKED));
        check("api.example:443", None, Err(NAMELESS));
        check("192.0.2.1:443", None, Ok(Way::Pass));
        check("192.0.2.1:443", Some("192.0.2.1"), Ok(Way::Pass));
        check("192.0.2.1:443", Some("192.0.2.2"), Err(ASKED));
        check("192.0.2.1:443", Some("evil.example"), Err(ASKED));
        check("[2001:db8::1]:443", Some("2001:db8::1"), Ok(Way::Pass));
        check("localhost:8443", None, Ok(Way::Pass));
        check("localhost:8443", Some("evil.example"), Err(ASKED));
    }

    #[test]
    fn hidden_names_pass_only_if_the_policy_says_so() {
        let hidden = |name| Hello { encrypted: true, ..hello(name) };
        let opaque = Handling { opaque: true, ..Handling::default() };
        let to = "api.example:443";
        for name in [None, Some("api.example"), Some("front.example")] {
            assert_eq!(judged(to, &Handling::default(), &hidden(name)), Err(HIDDEN.into()));
            assert_eq!(
                judged("192.0.2.1:443", &Handling::default(), &hidden(name)),
                Err(HIDDEN.into())
            );
            assert_eq!(judged(to, &opaque, &hidden(name)), Ok(Way::Pass));
        }
        assert_eq!(judged(to, &opaque, &hello(None)), Ok(Way::Pass));
        assert_eq!(judged(to, &opaque, &hello(Some("evil.example"))), Err(ASKED.into()));
    }

    #[test]
    fn where_requests_are_judged_nothing_passes_unseen() {
        let blind = Handling { requests_only: true, opaque: true, ..Handling::default() };
        for hello in [hello(Some("api.example")), Hello { encrypted: true, ..hello(None) }] {
            let judged = judged("api.example:443", &blind, &hello);
            assert_eq!(judged, Err("every request is judged".into()));
        }
        let seen = Handling { inspect: true, ..blind };
        assert_eq!(judged("api.example:443", &seen, &hello(None)), Ok(Way::Inspect));
    }

    #[test]
    fn inspected_tls_carries_http_to_the_host_that_was_permitted() {
        let inspect = Handling { inspect: true, opaque: true, ..Handling::default() };
        let check = |hello: Hello, expected: Result<Way, &str>| {
            let judged = judged("api.example:443", &inspect, &hello);
            assert_eq!(judged, expected.map_err(str::to_owned), "{hello:?}");
        };
        let offering = |protocols: &[&[u8]]| Hello {
            protocols: protocols.iter().map(|one| one.to_vec()).collect(),
            ..hello(Some("api.example"))
        };
        check(offering(&[]), Ok(Way::Inspect));
        check(offering(&[b"h2", b"http/1.1"]), Ok(Way::Inspect));
        check(offering(&[b"spdy/3", b"http/1.1"]), Ok(Way::Inspect));
        check(offering(&[b"acme-tls/1"]), Err(OTHER));
        check(offering(&[b"postgresql"]), Err(OTHER));
        check(offering(&[b"http/1.0"]), Err(OTHER));
        check(hello(None), Ok(Way::Inspect));
        check(Hello { encrypted: true, ..hello(Some("api.example")) }, Ok(Way::Inspect));
        check(hello(Some("evil.example")), Err(ASKED));
        check(Hello { encrypted: true, ..hello(Some("front.example")) }, Err(ASKED));
    }
}
