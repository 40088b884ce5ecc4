//! How an answer is written down.
//!
//! Lines of `remit cache 1`, the key, `stored SECONDS`, `status CODE`, a line
//! `vary NAME: VALUE` for each field of the request that the answer depends on,
//! fields of the answer as `NAME: VALUE`, an empty line; then the body, and SHA-256
//! of everything before it. Whatever does not read so in full is not there.

use bytes::Bytes;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, LAST_MODIFIED};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use sha2::{Digest as _, Sha256};

use super::varying;

const VERSION: &[u8] = b"remit cache 1";

/// Bytes of SHA-256.
const SEAL: usize = 32;

/// The fields of an answer that are kept.
const FIELDS: [HeaderName; 4] = [CONTENT_TYPE, CONTENT_ENCODING, ETAG, LAST_MODIFIED];

/// An answer but for its body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// What it answers: method, scheme, host, port and target.
    pub(super) key: String,
    /// Seconds since 1970.
    pub(super) stored: u64,
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Fields that a request must have with these values, or not at all where they
    /// are empty.
    vary: Vec<(HeaderName, Vec<u8>)>,
}

impl Entry {
    /// `None` if no other request has the same answer.
    pub(super) fn new(
        key: String,
        stored: u64,
        status: StatusCode,
        headers: &HeaderMap,
        asked: &HeaderMap,
    ) -> Option<Self> {
        let mut names = varying(headers)?;
        // Not every server that compresses says so.
        if headers.contains_key(CONTENT_ENCODING) {
            names.push(ACCEPT_ENCODING.to_string());
        }
        names.sort();
        names.dedup();
        let mut vary = Vec::new();
        for name in names {
            let name: HeaderName = name.parse().ok()?;
            let value = all(asked, &name);
            vary.push((name, value));
        }
        let mut kept = HeaderMap::new();
        for name in FIELDS {
            if let Some(value) = headers.get(&name) {
                kept.insert(name, value.clone());
            }
        }
        Some(Self { key, stored, status, headers: kept, vary })
    }

    /// Whether it answers a request for its key with these fields.
    pub(super) fn is_for(&self, asked: &HeaderMap) -> bool {
        self.vary.iter().all(|(name, value)| all(asked, name) == *value)
    }

    /// All but the body and the seal.
    pub(super) fn write(&self) -> Vec<u8> {
        let Self { key, stored, status, headers, vary } = self;
        let mut out = VERSION.to_vec();
        let start = format!("\n{key}\nstored {stored}\nstatus {}\n", status.as_str());
        out.extend_from_slice(start.as_bytes());
        let mut line = |before: &str, name: &HeaderName, value: &[u8]| {
            out.extend_from_slice(format!("{before}{name}: ").as_bytes());
            out.extend_from_slice(value);
            out.push(b'\n');
        };
        vary.iter().for_each(|(name, value)| line("vary ", name, value));
        headers.iter().for_each(|(name, value)| line("", name, value.as_bytes()));
        out.push(b'\n');
        out
    }

    /// Reads a whole file. `None` if it is no entry, or not whole.
    pub(super) fn read(file: &Bytes) -> Option<(Self, Bytes)> {
        let sealed = file.slice(..file.len().checked_sub(SEAL)?);
        if Sha256::digest(&sealed)[..] != file[sealed.len()..] {
            return None;
        }
        let end = sealed.windows(2).position(|two| two == b"\n\n")?;
        let body = sealed.slice(end + 2..);
        let mut lines = sealed[..end].split(|byte| *byte == b'\n');
        if lines.next()? != VERSION {
            return None;
        }
        let mut line = || std::str::from_utf8(lines.next()?).ok();
        let key = line()?.to_owned();
        let stored = line()?.strip_prefix("stored ")?.parse().ok()?;
        let status = line()?.strip_prefix("status ")?.parse().ok()?;
        let (mut headers, mut vary) = (HeaderMap::new(), Vec::new());
        for line in lines {
            match line.strip_prefix(b"vary ") {
                Some(line) => {
                    let (name, value) = field(line)?;
                    vary.push((name, value.as_bytes().to_vec()));
                }
                None => {
                    let (name, value) = field(line)?;
                    headers.append(FIELDS.contains(&name).then_some(name)?, value);
                }
            }
        }
        Some((Self { key, stored, status, headers, vary }, body))
    }
}

/// All values of a field, joined. Empty if it is not there.
///
/// SOURCE: RFC 9110 §5.3.
fn all(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let values: Vec<_> = headers.get_all(name).into_iter().map(HeaderValue::as_bytes).collect();
    values.join(&b", "[..])
}

fn field(line: &[u8]) -> Option<(HeaderName, HeaderValue)> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    let (name, value) = line.split_at(colon);
    let value = value.strip_prefix(b": ")?;
    Some((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?))
}

#[cfg(test)]
mod tests {
    use bolero::{check, produce};

    use super::*;

    fn entry() -> Entry {
        let mut headers = HeaderMap::new();
        for (name, value) in
            [("content-type", "text/html"), ("etag", "\"a\""), ("vary", "Accept"), ("server", "x")]
        {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let mut asked = HeaderMap::new();
        asked.insert("accept", HeaderValue::from_static("text/*"));
        let key = "GET https://api.example:443/a?b=c".to_owned();
        Entry::new(key, 7, StatusCode::OK, &headers, &asked).expect("an entry")
    }

    fn sealed(entry: &Entry, body: &[u8]) -> Vec<u8> {
        let mut file = entry.write();
        file.extend_from_slice(body);
        let seal = Sha256::digest(&file);
        file.extend_from_slice(&seal);
        file
    }

    #[test]
    fn what_was_written_is_read_whatever_the_body_is() {
        check!().with_type::<Vec<u8>>().for_each(|body| {
            let file = Bytes::from(sealed(&entry(), body));
            assert_eq!(Entry::read(&file), Some((entry(), Bytes::copy_from_slice(body))));
        });
        assert!(!entry().headers.contains_key("server"));
    }

    #[test]
    fn what_is_cut_changed_or_foreign_is_not_there() {
        let file = sealed(&entry(), b"a body");
        for length in 0..file.len() {
            assert_eq!(Entry::read(&Bytes::copy_from_slice(&file[..length])), None, "{length}");
        }
        check!().with_generator(produce::<(u16, u8, Vec<u8>)>()).for_each(|(at, by, odd)| {
            let mut changed = file.clone();
            let at = usize::from(*at) % changed.len();
            changed[at] ^= by;
            assert_eq!(Entry::read(&changed.into()).is_some(), *by == 0);
            assert_eq!(Entry::read(&Bytes::copy_from_slice(odd)), None);
        });
        let other = String::from_utf8_lossy(&entry().write()).replace("cache 1", "cache 2");
        let seal = Sha256::digest(&other);
        assert_eq!(Entry::read(&[other.as_bytes(), &seal[..]].concat().into()), None);
    }

    #[test]
    fn an_answer_that_varies_is_for_those_who_ask_alike() {
        let mut asked = HeaderMap::new();
        assert!(!entry().is_for(&asked));
        asked.insert("accept", HeaderValue::from_static("text/*"));
        assert!(entry().is_for(&asked));
        asked.insert("accept-language", HeaderValue::from_static("eo"));
        assert!(entry().is_for(&asked));
        asked.append("accept", HeaderValue::from_static("image/*"));
        assert!(!entry().is_for(&asked));
        let mut packed = HeaderMap::new();
        packed.insert("content-encoding", HeaderValue::from_static("gzip"));
        let mut takes = HeaderMap::new();
        takes.insert("accept-encoding", HeaderValue::from_static("gzip"));
        let key = entry().key;
        let packed = Entry::new(key, 7, StatusCode::OK, &packed, &takes).expect("an entry");
        assert!(packed.is_for(&takes) && !packed.is_for(&asked));
        let mut all = HeaderMap::new();
        all.insert("vary", HeaderValue::from_static("accept, *"));
        assert_eq!(Entry::new(String::new(), 0, StatusCode::OK, &all, &asked), None);
    }
}
