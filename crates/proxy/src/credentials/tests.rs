use remit_policy::{Connect, Method, Scheme, Target};

use super::*;
use crate::http::hooks::Draft;

pub(super) const ENTROPY: [u8; 32] = [7; 32];
pub(crate) const TOKEN: &str = "ghp_16C7e42F292c6912E7710c838347Ae178B4a";

/// Bound to encrypted requests to this host.
#[derive(Debug)]
struct To(&'static str);

impl Bound for To {
    fn applies(&self, request: &Request) -> bool {
        request.to_string().contains(&format!("https://{}:", self.0))
    }
}

pub(crate) fn secret(text: &str) -> Secret {
    Secret::parse(text).unwrap()
}

pub(crate) fn loaded(name: &str, form: Form, to: &'static str) -> Loaded {
    let expose = Some(format!("{}_{AWS_VARIABLE}", name.to_uppercase()));
    Loaded { name: name.to_owned(), form, expose, bound: Box::new(To(to)) }
}

pub(crate) fn held(all: Vec<Loaded>) -> Credentials {
    Credentials::new(all, &ENTROPY).unwrap()
}

/// What is in the variable of this credential.
pub(crate) fn placeholder_of(credentials: &Credentials, name: &str) -> String {
    let variable = format!("{}_{AWS_VARIABLE}", name.to_uppercase());
    credentials.variables().into_iter().find(|(it, _)| *it == variable).unwrap().1
}

/// `GET https://host:443/path?query`.
pub(super) fn request(text: &str) -> Request {
    let (method, rest) = text.split_once(' ').unwrap();
    let (scheme, rest) = rest.split_once("://").unwrap();
    let (connect, target) = rest.split_once('/').unwrap();
    Request {
        connect: Connect::parse(connect).unwrap(),
        scheme: if scheme == "https" { Scheme::Https } else { Scheme::Http },
        method: Method::parse(method).unwrap(),
        target: Target::parse(&format!("/{target}")).unwrap(),
        overrides: Vec::new(),
    }
}

pub(super) fn draft(request: &Request, headers: &[(&'static str, &str)]) -> Draft {
    let fields = headers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()))
        .collect();
    Draft { query: request.target.query().map(str::to_owned), headers: fields }
}

#[test]
fn variables_hold_placeholders_and_never_secrets() {
    let key = AwsKey {
        id: secret("AKIAIOSFODNN7EXAMPLE"),
        secret: secret("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
        session: Some(secret("AQoDYXdzEJr1234567890")),
    };
    let credentials = held(vec![
        loaded("git", Form::Bearer(secret(TOKEN)), "api.example"),
        loaded("aws", Form::Aws(key), "amazonaws"),
    ]);
    let names: Vec<_> = credentials.variables().into_iter().map(|(name, _)| name).collect();
    assert_eq!(
        names,
        [
            "AWS_ACCESS_KEY_ID",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_SESSION_TOKEN",
            "GIT_SECRET_ACCESS_KEY"
        ]
    );
    let text = format!("{:?}", credentials.variables());
    for secret in [TOKEN, "wJalrXUtnFEMI", "AKIAIOSFODNN7EXAMPLE", "AQoDYXdzEJr1234567890"] {
        assert!(!text.contains(secret), "{text}");
    }
}

#[test]
fn equal_secrets_have_equal_placeholders() {
    let basic = Form::Basic { user: "x".into(), password: secret(TOKEN) };
    let credentials = held(vec![
        loaded("api", Form::Bearer(secret(TOKEN)), "api.example"),
        loaded("git", basic, "git.example"),
    ]);
    assert_eq!(placeholder_of(&credentials, "api"), placeholder_of(&credentials, "git"));
}

#[test]
fn nothing_of_a_secret_is_printed() {
    let credentials = held(vec![loaded("git", Form::Bearer(secret(TOKEN)), "api.example")]);
    let text = format!("{:?}", credentials.held);
    assert!(text.contains("[secret]") && !text.contains("16C7e42F"), "{text}");
    // The finders hold the texts as lists of numbers.
    let bytes = format!("{:?}", TOKEN.as_bytes());
    assert!(!format!("{credentials:?}").contains(bytes.trim_matches(['[', ']'])));
}

#[test]
fn a_text_to_be_written_down_shows_the_placeholder() {
    let credentials = held(vec![loaded("git", Form::Bearer(secret(TOKEN)), "api.example")]);
    let it = placeholder_of(&credentials, "git");
    assert_eq!(credentials.masked(&format!("é {TOKEN}.")), format!("é {it}."));
    assert_eq!(Credentials::default().masked("abc"), "abc");
}

#[test]
fn what_cannot_be_told_apart_or_put_in_refuses_to_load() {
    let check = |all: Vec<Loaded>, words: &str| {
        let error = Credentials::new(all, &ENTROPY).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    };
    let bearer = || Form::Bearer(secret(TOKEN));
    let named = |name: &str, expose: &str, form| Loaded {
        expose: Some(expose.to_owned()),
        ..loaded(name, form, "x")
    };
    check(vec![named("a", "TOKEN", bearer()), named("b", "TOKEN", bearer())], "both exposed");
    let basic = Form::Basic { user: "a:b".into(), password: secret(TOKEN) };
    check(vec![loaded("a", basic, "x")], "colon");
    for field in FRAMING {
        let name = HeaderName::from_static(field);
        check(vec![loaded("a", Form::Header { name, secret: secret(TOKEN) }, "x")], field);
    }
    let key = AwsKey { id: secret("AKIAIOSFODNN7EXAMPLE"), secret: secret(TOKEN), session: None };
    check(vec![named("a", "AWS_KEY", Form::Aws(key))], "SECRET_ACCESS_KEY");
}

#[test]
fn a_key_of_aws_has_two_or_three_parts() {
    let key = AwsKey::parse("AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG\n").unwrap();
    assert_eq!((key.id.expose(), key.session), ("AKIAIOSFODNN7EXAMPLE", None));
    let key = AwsKey::parse("AKIAIOSFODNN7EXAMPLE:wJalrXUtnFEMI/K7MDENG:token-1234567").unwrap();
    assert_eq!(key.session.unwrap().expose(), "token-1234567");
    for bad in ["", "AKIAIOSFODNN7EXAMPLE", "AKIA/IOSFODNN7EXA:wJalrXUtnFEMI", "a:b:c:d", ":"] {
        assert!(AwsKey::parse(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_proxy_is_told_what_authorises() {
    let basic = Form::Basic { user: "me".into(), password: secret("hunter2hunter2") };
    let name = HeaderName::from_static("x-key");
    let credentials = held(vec![
        loaded("basic", basic, "none"),
        loaded("header", Form::Header { name, secret: secret(TOKEN) }, "none"),
    ]);
    assert_eq!(credentials.authorization("basic").unwrap(), "Basic bWU6aHVudGVyMmh1bnRlcjI=");
    assert_eq!(credentials.authorization("header"), None);
    assert_eq!(credentials.authorization("absent"), None);
}
