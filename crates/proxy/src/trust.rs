//! Lists of trusted authorities, in the forms that programs read them.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha1::{Digest as _, Sha1};

/// A certificate as text.
///
/// SOURCE: RFC 7468 §5.1.
pub fn pem(certificate: &[u8]) -> String {
    let text = STANDARD.encode(certificate);
    // Base64 is ASCII, so that lines can be cut anywhere.
    let lines: Vec<&str> =
        (0..text.len()).step_by(64).map(|at| &text[at..text.len().min(at + 64)]).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}

/// A list in PEM with one more certificate. The rest stays as it is.
pub fn pem_with(list: &[u8], certificate: &[u8]) -> Vec<u8> {
    let mut with = list.to_vec();
    if !with.is_empty() && !with.ends_with(b"\n") {
        with.push(b'\n');
    }
    with.extend(b"# The authority of this Remit session.\n");
    with.extend(pem(certificate).bytes());
    with
}

/// The certificates in a list in PEM. What is none is left out.
pub fn certificates(list: &[u8]) -> Vec<Vec<u8>> {
    CertificateDer::pem_slice_iter(list).flatten().map(|certificate| certificate.to_vec()).collect()
}

/// The password that Java's own list has everywhere. It keeps no secret.
const PASSWORD: &str = "changeit";

/// SOURCE: OpenJDK, `sun/security/provider/JavaKeyStore.java`: magic number,
/// version 2, number of entries, entries, digest.
const HEAD: [u8; 8] = [0xfe, 0xed, 0xfe, 0xed, 0, 0, 0, 2];
const TRUSTED: [u8; 4] = [0, 0, 0, 2];
const DIGEST: usize = 20;

/// A list of Java's in its own form (JKS) with one more certificate. `None` if it
/// is in another form.
pub fn java_with(list: &[u8], certificate: &[u8], now: SystemTime) -> Option<Vec<u8>> {
    let (entries, _digest) = list.split_at_checked(list.len().checked_sub(DIGEST)?)?;
    let (count, entries) = entries.strip_prefix(&HEAD)?.split_first_chunk()?;
    let count = u32::from_be_bytes(*count).checked_add(1)?;
    let added = java_entry("remit session", certificate, now);
    Some(java_sealed(count, &[entries, &added].concat()))
}

/// A list for Java with these certificates and no others.
pub fn java<'c>(certificates: impl IntoIterator<Item = &'c [u8]>, now: SystemTime) -> Vec<u8> {
    let mut count = 0;
    let mut entries = Vec::new();
    for certificate in certificates {
        count += 1;
        entries.extend(java_entry(&format!("remit {count}"), certificate, now));
    }
    java_sealed(count, &entries)
}

fn java_entry(alias: &str, certificate: &[u8], now: SystemTime) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u16).to_be_bytes(), text.as_bytes()].concat();
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    [
        &TRUSTED[..],
        &text(alias),
        &(since.as_millis() as u64).to_be_bytes(),
        &text("X.509"),
        &(certificate.len() as u32).to_be_bytes(),
        certificate,
    ]
    .concat()
}

fn java_sealed(count: u32, entries: &[u8]) -> Vec<u8> {
    let mut store = [&HEAD[..], &count.to_be_bytes(), entries].concat();
    let password: Vec<u8> = PASSWORD.encode_utf16().flat_map(u16::to_be_bytes).collect();
    let digest = Sha1::new()
        .chain_update(password)
        // SOURCE: the same file, `getPreKeyedHash`.
        .chain_update("Mighty Aphrodite")
        .chain_update(&store)
        .finalize();
    store.extend(digest);
    store
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;

    fn certificate() -> Vec<u8> {
        Authority::new(SystemTime::now()).expect("an authority").certificate().to_vec()
    }

    #[test]
    fn a_list_with_one_more_is_the_list_and_one_more() {
        let [one, two] = [certificate(), certificate()];
        let list = pem_with(pem(&one).trim_end().as_bytes(), &two);
        assert_eq!(certificates(&list), [one, two]);
        assert_eq!(certificates(b"no list"), [[0_u8; 0]; 0]);
        assert!(list.split(|b| *b == b'\n').all(|line| line.len() <= 64));
    }

    #[test]
    fn a_java_list_grows_as_if_made_at_once() {
        let [one, two] = [certificate(), certificate()];
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let grown = java_with(&java([&one[..]], now), &two, now).expect("in Java's form");
        let head = [&HEAD[..], &[0, 0, 0, 2], &TRUSTED, b"\0\x07remit 1"].concat();
        assert!(grown.starts_with(&head));
        let at = |part: &[u8]| grown.windows(part.len()).position(|window| window == part);
        assert!(at(&one) < at(b"\0\x0dremit session") && at(b"\0\x05X.509") < at(&one));
        assert_eq!(at(&two), Some(grown.len() - DIGEST - two.len()));
    }

    #[test]
    fn other_forms_are_left_to_the_caller() {
        let now = SystemTime::now();
        for list in [&b""[..], b"\x30\x82\x01\x00", &HEAD, &[0xfe; 64], &[9; 32]] {
            assert_eq!(java_with(list, b"x", now), None, "{list:?}");
        }
    }

    #[test]
    fn an_empty_list_is_the_one_that_java_writes() {
        // SOURCE: `keytool` of OpenJDK 17, after its only entry was deleted.
        let digest = [
            0xe2, 0x68, 0x6e, 0x45, 0xfb, 0x43, 0xdf, 0xa4, 0xd9, 0x92, 0xdd, 0x41, 0xce, 0xb6,
            0xb2, 0x1c, 0x63, 0x30, 0xd7, 0x92,
        ];
        let expected = [&HEAD[..], &[0; 4], &digest].concat();
        assert_eq!(java([], SystemTime::now()), expected);
    }
}
