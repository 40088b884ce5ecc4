//! The laboratory's authority, as the machine's administrator would have added it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

/// Makes an authority, a certificate for all `names` (`key.pem`, `chain.pem`) and a
/// copy of the machine's lists that has the authority as well. Returns the copy,
/// which stands in for `/etc/ssl/certs`.
pub fn make<'n>(folder: &Path, names: impl Iterator<Item = &'n str>) -> PathBuf {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, "Laboratory");
    let own = KeyPair::generate().expect("a key");
    let authority = params.self_signed(&own).expect("an authority");
    let names: Vec<String> = names.map(str::to_owned).collect();
    let leaf = CertificateParams::new(names).expect("names");
    let key = KeyPair::generate().expect("a key");
    let certificate = leaf.signed_by(&key, &Issuer::new(params, own)).expect("a certificate");
    fs::write(folder.join("key.pem"), key.serialize_pem()).expect("a file");
    fs::write(folder.join("chain.pem"), certificate.pem()).expect("a file");
    fs::write(folder.join("authority.pem"), authority.pem()).expect("a file");
    let lists = folder.join("certs");
    let script = r#"
        set -e
        cp -a /etc/ssl/certs "$2"
        cp "$1" "$2/laboratory.pem"
        ln -s laboratory.pem "$2/$(openssl x509 -hash -noout -in "$1").0"
        cat "$1" >> "$2/ca-certificates.crt"
    "#;
    let made = Command::new("sh")
        .args(["-c", script, "sh"])
        .arg(folder.join("authority.pem"))
        .arg(&lists)
        .status();
    assert!(made.is_ok_and(|status| status.success()), "the machine's lists can be copied");
    lists
}

/// Adds the authority to the copy of Java's list. It takes a second.
pub fn tell_java(folder: &Path) {
    let keytool = Command::new("keytool")
        .args(["-importcert", "-noprompt", "-storepass", "changeit", "-alias", "laboratory"])
        .arg("-file")
        .arg(folder.join("authority.pem"))
        .arg("-keystore")
        .arg(folder.join("certs/java/cacerts"))
        .output()
        .expect("keytool");
    assert!(keytool.status.success(), "{keytool:?}");
}
