//! A tiny internet for a network namespace: a resolver that writes down every
//! question, and a web server that writes down every request.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::thread;

/// Where the witness writes, one line per event: `dns NAME TYPE`, `http LINE`.
#[derive(Clone, Debug)]
pub struct Notebook(Arc<Mutex<File>>);

impl Notebook {
    pub fn new(file: File) -> Self {
        Self(Arc::new(Mutex::new(file)))
    }

    fn write(&self, line: &str) {
        if let Ok(mut file) = self.0.lock() {
            let _ = writeln!(file, "{line}");
        }
    }
}

/// Answers every `A` and `AAAA` question about a known name with its addresses of
/// that kind; everything else gets NXDOMAIN, or no records if the name is known.
///
/// # Errors
///
/// If the address cannot be bound.
pub fn resolver(
    address: SocketAddr,
    names: BTreeMap<String, Vec<IpAddr>>,
    notebook: Notebook,
) -> io::Result<thread::JoinHandle<()>> {
    let socket = UdpSocket::bind(address)?;
    Ok(thread::spawn(move || {
        let mut packet = [0u8; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            let Some(question) = Question::parse(&packet[..length]) else {
                continue;
            };
            notebook.write(&format!("dns {} {}", question.name, question.kind));
            let known = names.get(&question.name).map(Vec::as_slice);
            let _ = socket.send_to(&question.answer(known), from);
        }
    }))
}

/// Answers every request with `200` and the text `hello from the outside`.
///
/// # Errors
///
/// If the address cannot be bound.
pub fn web_server(address: SocketAddr, notebook: Notebook) -> io::Result<thread::JoinHandle<()>> {
    let listener = TcpListener::bind(address)?;
    Ok(thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let notebook = notebook.clone();
            thread::spawn(move || greet(stream, &notebook));
        }
    }))
}

/// What the web server says.
pub const GREETING: &str = "hello from the outside\n";

fn greet(mut stream: TcpStream, notebook: &Notebook) {
    let Ok(reading) = stream.try_clone() else {
        return;
    };
    let mut lines = BufReader::new(reading).lines();
    let Some(Ok(request)) = lines.next() else {
        return notebook.write("tcp connected and said nothing");
    };
    notebook.write(&format!("http {request}"));
    for line in lines.map_while(Result::ok) {
        if line.is_empty() {
            break;
        }
    }
    let length = GREETING.len();
    let _ = write!(
        stream,
        "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{GREETING}"
    );
}

/// One question of a DNS message. SOURCE: RFC 1035 §4.1.
struct Question<'a> {
    id: &'a [u8],
    name: String,
    kind: u16,
    /// The question section as it came, to be sent back.
    section: &'a [u8],
}

impl<'a> Question<'a> {
    fn parse(packet: &'a [u8]) -> Option<Self> {
        let mut at = 12;
        let mut labels = Vec::new();
        loop {
            let length = usize::from(*packet.get(at)?);
            at += 1;
            if length == 0 {
                break;
            }
            labels.push(String::from_utf8_lossy(packet.get(at..at + length)?).to_lowercase());
            at += length;
        }
        let kind = u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]);
        let section = packet.get(12..at + 4)?;
        Some(Self { id: packet.get(..2)?, name: labels.join("."), kind, section })
    }

    /// `None` for a name that is not known.
    fn answer(&self, addresses: Option<&[IpAddr]>) -> Vec<u8> {
        /// SOURCE: RFC 1035 §3.2.2 and RFC 3596 §2.1.
        const A: u16 = 1;
        const AAAA: u16 = 28;
        let asked = |address: &&IpAddr| self.kind == if address.is_ipv4() { A } else { AAAA };
        let records: Vec<_> = addresses.unwrap_or_default().iter().filter(asked).collect();
        let code = if addresses.is_some() { 0 } else { 3 };
        let mut packet = self.id.to_vec();
        packet.extend([0x81, 0x80 | code, 0, 1, 0, records.len() as u8, 0, 0, 0, 0]);
        packet.extend(self.section);
        for address in records {
            let octets = match address {
                IpAddr::V4(address) => address.octets().to_vec(),
                IpAddr::V6(address) => address.octets().to_vec(),
            };
            packet.extend([0xc0, 12, 0, self.kind as u8, 0, 1, 0, 0, 0, 60, 0]);
            packet.push(octets.len() as u8);
            packet.extend(octets);
        }
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_name_is_answered_and_an_unknown_one_is_not() {
        let packet = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07Allowed\x04test\x00\x00\x01\x00\x01";
        let question = Question::parse(packet).expect("a question");
        assert_eq!(question.name, "allowed.test");
        let addresses = ["2001:db8::1", "11.22.33.44"].map(|text| text.parse().expect("one"));
        let known = question.answer(Some(&addresses));
        assert_eq!((known[3] & 15, known[7]), (0, 1), "one address of that kind");
        assert!(known.ends_with(&[0, 4, 11, 22, 33, 44]));
        assert_eq!(question.answer(None)[3] & 15, 3, "NXDOMAIN");
        assert_eq!(question.answer(Some(&[]))[3] & 15, 0, "no records");
    }
}
