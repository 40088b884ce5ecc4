//! The resolver inside: answers every well-formed name with its synthetic
//! address, and forwards nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use remit_policy::HostName;
use simple_dns::rdata::{A, AAAA, PTR, RData};
use simple_dns::{CLASS, Name, Packet, PacketFlag, QCLASS, QTYPE, RCODE, ResourceRecord, TYPE};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};

use crate::names::Names;
use crate::serve::is_passing;

/// Seconds that an answer may be kept. An address keeps its meaning for far longer
/// than that ([`crate::names::REST`]), for programs that do not count.
const TTL: u32 = 60;

/// SOURCE: RFC 6891 §6.2.5, the size that always fits.
const LARGEST_DATAGRAM: usize = 1232;

/// Answers lookups over UDP until the socket fails.
pub async fn serve_datagrams(socket: OwnedFd, names: Arc<Names>) -> io::Error {
    let socket = match UdpSocket::from_std(socket.into()) {
        Ok(socket) => socket,
        Err(error) => return error,
    };
    let mut query = [0; LARGEST_DATAGRAM];
    loop {
        match socket.recv_from(&mut query).await {
            Ok((length, from)) => {
                if let Some(reply) = answer(&query[..length], &names) {
                    // An asker that is gone needs no answer.
                    let _ = socket.send_to(&reply, from).await;
                }
            }
            // A previous reply that found nobody comes back as an error here.
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Err(error) => return error,
        }
    }
}

/// Answers lookups over TCP until the socket fails.
pub async fn serve_streams(listener: OwnedFd, names: Arc<Names>) -> io::Error {
    let listener = match TcpListener::from_std(listener.into()) {
        Ok(listener) => listener,
        Err(error) => return error,
    };
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let names = Arc::clone(&names);
                tokio::spawn(async move { answer_stream(stream, &names).await });
            }
            Err(error) if is_passing(&error) => tokio::time::sleep(Duration::from_millis(10)).await,
            Err(error) => return error,
        }
    }
}

/// Answers the lookups of one connection, for as long as anybody looks up
/// anything.
pub(crate) async fn answer_stream(stream: TcpStream, names: &Names) {
    let _ = tokio::time::timeout(Duration::from_secs(30), converse(stream, names)).await;
}

/// SOURCE: RFC 1035 §4.2.2, messages with their length in front.
async fn converse(mut stream: TcpStream, names: &Names) -> io::Result<()> {
    loop {
        let mut query = vec![0; usize::from(stream.read_u16().await?)];
        stream.read_exact(&mut query).await?;
        let Some(reply) = answer(&query, names) else {
            return Ok(());
        };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        stream.write_u16(length).await?;
        stream.write_all(&reply).await?;
    }
}

/// The reply to a message; `None` when it is not a query at all.
fn answer(message: &[u8], names: &Names) -> Option<Vec<u8>> {
    let query = Packet::parse(message).ok()?;
    if query.has_flags(PacketFlag::RESPONSE) {
        return None;
    }
    let mut reply = Packet::new_reply(query.id());
    if query.has_flags(PacketFlag::RECURSION_DESIRED) {
        reply.set_flags(PacketFlag::RECURSION_DESIRED);
    }
    reply.set_flags(PacketFlag::RECURSION_AVAILABLE);
    let [question] = query.questions.as_slice() else {
        *reply.rcode_mut() = RCODE::FormatError;
        return reply.build_bytes_vec().ok();
    };
    reply.questions.push(question.clone());
    match records(question.qtype, question.qclass, &question.qname, names) {
        Ok(records) => reply.answers.extend(records),
        Err(code) => *reply.rcode_mut() = code,
    }
    reply.build_bytes_vec_compressed().ok()
}

fn records<'a>(
    qtype: QTYPE,
    qclass: QCLASS,
    qname: &Name<'a>,
    names: &Names,
) -> Result<Option<ResourceRecord<'a>>, RCODE> {
    if !matches!(qclass, QCLASS::CLASS(CLASS::IN) | QCLASS::ANY) {
        return Err(RCODE::Refused);
    }
    if qtype == QTYPE::TYPE(TYPE::PTR) {
        let name = reverse(qname).and_then(|address| names.name(address)).ok_or(RCODE::Refused)?;
        let name = Name::new(name.as_str()).map_err(|_| RCODE::ServerFailure)?.into_owned();
        return Ok(Some(ResourceRecord::new(qname.clone(), CLASS::IN, TTL, RData::PTR(PTR(name)))));
    }
    let name = HostName::parse(&qname.to_string()).map_err(|_| RCODE::NameError)?;
    let record = |data| ResourceRecord::new(qname.clone(), CLASS::IN, TTL, data);
    let addresses = || {
        if is_localhost(&name) {
            return Ok((Ipv4Addr::LOCALHOST, Ipv6Addr::LOCALHOST));
        }
        names.addresses(&name).map_err(|_| RCODE::ServerFailure)
    };
    match qtype {
        QTYPE::TYPE(TYPE::A) | QTYPE::ANY => {
            addresses().map(|(v4, _)| Some(record(RData::A(A { address: v4.into() }))))
        }
        QTYPE::TYPE(TYPE::AAAA) => {
            addresses().map(|(_, v6)| Some(record(RData::AAAA(AAAA { address: v6.into() }))))
        }
        // No service bindings: they would carry addresses and keys past us.
        QTYPE::TYPE(TYPE::HTTPS | TYPE::SVCB) => Ok(None),
        _ => Err(RCODE::Refused),
    }
}

/// The address that a name of the reverse tree is about, if it is whole.
/// SOURCE: RFC 1035 §3.5, RFC 3596 §2.5.
fn reverse(qname: &Name<'_>) -> Option<IpAddr> {
    let text = qname.to_string().to_ascii_lowercase();
    let text = text.trim_end_matches('.');
    if let Some(labels) = text.strip_suffix(".in-addr.arpa") {
        let number = labels.rsplit('.').collect::<Vec<_>>().join(".");
        return number.parse::<Ipv4Addr>().ok().map(IpAddr::V4);
    }
    let labels: Vec<_> = text.strip_suffix(".ip6.arpa")?.rsplit('.').collect();
    let is_digit = |label: &&str| label.len() == 1 && label.as_bytes()[0].is_ascii_hexdigit();
    if labels.len() != 32 || !labels.iter().all(is_digit) {
        return None;
    }
    u128::from_str_radix(&labels.concat(), 16).ok().map(|bits| IpAddr::V6(bits.into()))
}

/// SOURCE: RFC 6761 §6.3, these names mean the loopback and are never looked up.
fn is_localhost(name: &HostName) -> bool {
    name.as_str() == "localhost" || name.as_str().ends_with(".localhost")
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::Ranges;
    use simple_dns::Question;

    pub(super) fn names() -> Names {
        Names::new(Ranges {
            gateway: [198, 18, 0, 1].into(),
            prefix: 15,
            gateway6: "fd72:656d:6974::1".parse().expect("an address"),
        })
    }

    fn ask(name: &str, qtype: TYPE) -> Packet<'static> {
        let mut query = Packet::new_query(7);
        let qname = Name::new_unchecked(name).into_owned();
        query.questions.push(Question::new(qname, qtype.into(), CLASS::IN.into(), false));
        let bytes = query.build_bytes_vec().expect("a query");
        let reply = answer(&bytes, &names()).expect("a reply");
        Packet::parse(Box::leak(reply.into_boxed_slice())).expect("a well-formed reply")
    }

    #[test]
    fn names_are_answered_with_synthetic_addresses() {
        let reply = ask("Api.Example", TYPE::A);
        let expected = RData::A(A { address: u32::from_be_bytes([198, 18, 0, 2]) });
        assert_eq!(reply.answers.first().map(|record| &record.rdata), Some(&expected));
        assert_eq!(reply.id(), 7);
        assert_eq!(ask("api.example", TYPE::AAAA).answers.len(), 1);
    }

    #[test]
    fn what_could_carry_data_out_is_refused_or_empty() {
        for (qtype, code) in [
            (TYPE::HTTPS, RCODE::NoError),
            (TYPE::TXT, RCODE::Refused),
            (TYPE::NULL, RCODE::Refused),
            (TYPE::MX, RCODE::Refused),
            (TYPE::PTR, RCODE::Refused),
        ] {
            let reply = ask("api.example", qtype);
            assert_eq!((reply.rcode(), reply.answers.len()), (code, 0), "{qtype:?}");
        }
    }

    #[test]
    fn a_synthetic_address_has_its_name_and_others_have_none() {
        let names = names();
        let name = HostName::parse("api.example").expect("a name");
        let (_, v6) = names.addresses(&name).expect("an address");
        let nibbles: Vec<_> =
            format!("{:032x}", u128::from(v6)).chars().rev().map(String::from).collect();
        let six = format!("{}.IP6.arpa", nibbles.join("."));
        let check = |asked: &str, expected: Result<&str, RCODE>| {
            let qname = Name::new_unchecked(asked);
            let found = records(TYPE::PTR.into(), CLASS::IN.into(), &qname, &names);
            let expected = expected.map(|name| Some(RData::PTR(PTR(Name::new_unchecked(name)))));
            assert_eq!(found.map(|record| record.map(|it| it.rdata)), expected, "{asked}");
        };
        check("2.0.18.198.in-addr.arpa", Ok("api.example"));
        check(&six, Ok("api.example"));
        for asked in [
            "1.0.18.198.in-addr.arpa",
            "3.0.18.198.in-addr.arpa",
            "8.8.8.8.in-addr.arpa",
            "02.0.18.198.in-addr.arpa",
            "0.18.198.in-addr.arpa",
            "in-addr.arpa",
            &six[2..],
        ] {
            check(asked, Err(RCODE::Refused));
        }
        assert_eq!(names.lookups().asked, 1, "nobody asked about another name");
    }

    #[test]
    fn a_name_that_is_no_host_does_not_exist() {
        assert_eq!(ask("a b.example", TYPE::A).rcode(), RCODE::NameError);
    }

    #[test]
    fn no_bytes_make_the_resolver_panic() {
        let whole = {
            let mut query = Packet::new_query(1);
            let qname = Name::new_unchecked("api.example");
            query.questions.push(Question::new(qname, TYPE::A.into(), CLASS::IN.into(), false));
            query.build_bytes_vec().expect("a query")
        };
        for cut in 0..whole.len() {
            let _ = answer(&whole[..cut], &names());
            for value in [0, 1, 0x3f, 0xc0, 0xff] {
                let mut bent = whole.clone();
                bent[cut] = value;
                let _ = answer(&bent, &names());
            }
        }
    }
}
