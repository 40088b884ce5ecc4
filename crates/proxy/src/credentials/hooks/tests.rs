mod carried;

use std::net::IpAddr;
use std::sync::Mutex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use remit_policy::{Connect, Handling, Host, Permit, Port, Upload};

use super::super::frames::tests::frame;
use super::super::tests::{TOKEN, draft, held, loaded, placeholder_of, request, secret};
use super::*;
use crate::credentials::{AwsKey, Loaded};
use crate::{Answered, Carried, Requested};

fn bearer() -> Credentials {
    held(vec![loaded("api", Form::Bearer(secret(TOKEN)), "api.example")])
}

/// The head that goes upstream, as `name: value` lines after the query.
fn sent(
    credentials: &Credentials,
    text: &str,
    headers: &[(&'static str, &str)],
) -> Result<String, Refusal> {
    let request = request(text);
    let mut draft = draft(&request, headers);
    credentials.dress(&request, &mut draft)?;
    let mut lines = vec![format!("?{}", draft.query.unwrap_or_default())];
    for (name, value) in &draft.headers {
        lines.push(format!("{name}: {}", value.to_str().unwrap()));
    }
    Ok(lines.join("\n"))
}

#[track_caller]
fn refused(credentials: &Credentials, text: &str, headers: &[(&'static str, &str)]) {
    let refusal = sent(credentials, text, headers).expect_err(text).to_string();
    assert!(refusal.starts_with("refused: request `"), "{refusal}");
    assert!(!refusal.contains("16C7e42F"), "{refusal}");
}

#[test]
fn a_bound_request_gets_the_secret_whatever_the_program_put_there() {
    let credentials = bearer();
    let inside = format!("Bearer {}", placeholder_of(&credentials, "api"));
    for theirs in [inside.as_str(), "Bearer of-somebody-else", "Basic eDp5"] {
        let head =
            sent(&credentials, "GET https://api.example:443/x", &[("authorization", theirs)]);
        let head = head.unwrap();
        assert_eq!(head.matches("authorization").count(), 1, "{head}");
        assert!(head.contains(&format!("authorization: Bearer {TOKEN}")), "{head}");
    }
    let head = sent(&credentials, "GET https://api.example:443/x", &[]).unwrap();
    assert!(head.contains(TOKEN));
    let twice = [("authorization", "Bearer a"), ("authorization", "Bearer b")];
    let head = sent(&credentials, "GET https://api.example:443/x", &twice).unwrap();
    assert_eq!(head.matches("authorization").count(), 1, "{head}");
}

#[test]
fn a_secret_never_goes_elsewhere_or_in_the_clear() {
    let credentials = bearer();
    for text in ["GET https://other.example:443/x", "GET http://api.example:80/x"] {
        let head = sent(&credentials, text, &[("authorization", "Bearer a")]).unwrap();
        assert!(!head.contains(TOKEN), "{head}");
    }
}

#[test]
fn a_placeholder_elsewhere_is_refused_however_it_is_spelt() {
    let credentials = bearer();
    let it = placeholder_of(&credentials, "api");
    let basic = format!("Basic {}", STANDARD.encode(format!("me:{it}")));
    let escaped: String = it.bytes().map(|b| format!("%{b:02x}")).collect();
    let twice = escaped.replace('%', "%25");
    let mixed = it.replacen('_', "%5F", 1);
    let to = "GET https://other.example:443/";
    for value in [it.as_str(), &format!("Bearer {it}"), &basic, &format!("a=1; t={it}"), &mixed] {
        refused(&credentials, &format!("{to}x"), &[("authorization", value)]);
        refused(&credentials, &format!("{to}x"), &[("x-anything", value)]);
    }
    for piece in [&it, &escaped, &twice, &mixed] {
        refused(&credentials, &format!("{to}a/{piece}/b"), &[]);
        refused(&credentials, &format!("{to}?a=1&b={piece}"), &[]);
    }
    refused(&credentials, "GET http://api.example:80/x", &[("authorization", &it)]);
    let deep = format!("{to}{}", (0..20).fold("%41".to_owned(), |it, _| it.replace('%', "%25")));
    refused(&credentials, &deep, &[]);
}

#[test]
fn a_secret_that_comes_from_inside_is_refused_even_where_it_is_bound() {
    let credentials = bearer();
    for to in ["https://api.example:443", "https://other.example:443"] {
        refused(&credentials, &format!("GET {to}/x"), &[("x-note", TOKEN)]);
        refused(&credentials, &format!("GET {to}/{TOKEN}"), &[]);
    }
}

#[test]
fn each_form_has_its_place() {
    let basic = Form::Basic { user: "me".into(), password: secret(TOKEN) };
    let credentials = held(vec![loaded("a", basic, "api.example")]);
    let head = sent(&credentials, "GET https://api.example:443/x", &[]).unwrap();
    let pair = STANDARD.encode(format!("me:{TOKEN}"));
    assert!(head.contains(&format!("authorization: Basic {pair}")), "{head}");

    let name = HeaderName::from_static("x-api-key");
    let form = Form::Header { name, secret: secret(TOKEN) };
    let credentials = held(vec![loaded("a", form, "api.example")]);
    let head = sent(&credentials, "GET https://api.example:443/x", &[("x-api-key", "a")]).unwrap();
    assert!(head.contains(&format!("x-api-key: {TOKEN}")), "{head}");

    let form = Form::Query { name: "key".into(), secret: secret("abc/def+ghi&jkl=") };
    let credentials = held(vec![loaded("a", form, "api.example")]);
    let spelt = "GET https://api.example:443/x?a=1&key=mine&%6bey=mine&KEY=mine&b=%20";
    let head = sent(&credentials, spelt, &[]).unwrap();
    assert!(head.starts_with("?a=1&b=%20&key=abc%2Fdef%2Bghi%26jkl%3D\n"), "{head}");
    let head = sent(&credentials, "GET https://api.example:443/x", &[]).unwrap();
    assert!(head.starts_with("?key=abc%2F"), "{head}");
}

#[test]
fn of_two_credentials_for_one_place_the_placeholder_chooses() {
    let other = "gho_0000000000AAAAAAAAAAaaaaaaaaaa111111";
    let credentials = held(vec![
        loaded("one", Form::Bearer(secret(TOKEN)), "api.example"),
        loaded("two", Form::Bearer(secret(other)), "api.example"),
    ]);
    let to = "GET https://api.example:443/x";
    let two = format!("token {}", placeholder_of(&credentials, "two"));
    let head = sent(&credentials, to, &[("authorization", &two)]).unwrap();
    assert!(head.contains(other) && !head.contains(TOKEN), "{head}");
    refused(&credentials, to, &[]);
    refused(&credentials, to, &[("authorization", "Bearer mine")]);
}

#[test]
fn one_secret_may_be_bearer_here_and_basic_there() {
    let basic = Form::Basic { user: "git".into(), password: secret(TOKEN) };
    let credentials = held(vec![
        loaded("api", Form::Bearer(secret(TOKEN)), "api.example"),
        loaded("git", basic, "git.example"),
    ]);
    let it = placeholder_of(&credentials, "git");
    let pair = format!("Basic {}", STANDARD.encode(format!("git:{it}")));
    let head = sent(&credentials, "GET https://git.example:443/x", &[("authorization", &pair)]);
    assert!(head.unwrap().contains("authorization: Basic "));
    let head = sent(&credentials, "GET https://api.example:443/x", &[("x-also", &it)]);
    assert!(head.unwrap().contains("authorization: Bearer "));
    refused(&credentials, "GET https://other.example:443/x", &[("authorization", &pair)]);
}

#[test]
fn an_answer_that_may_repeat_a_secret_is_asked_for_plain_and_whole() {
    let compressed = [
        ("accept-encoding", "gzip, br"),
        ("range", "bytes=0-9"),
        ("if-range", "\"x\""),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("grpc-accept-encoding", "gzip"),
    ];
    let head = sent(&bearer(), "GET https://api.example:443/x", &compressed).unwrap();
    assert!(head.contains("accept-encoding: identity"), "{head}");
    for gone in ["range", "gzip", "deflate"] {
        assert!(!head.contains(gone), "{head}");
    }
    let head = sent(&bearer(), "GET https://other.example:443/x", &compressed).unwrap();
    assert!(head.contains("gzip, br") && head.contains("bytes=0-9"), "{head}");
    refused(&bearer(), "TRACE https://api.example:443/x", &[]);
}

/// Remembers what was noted; nothing else is asked of it here.
#[derive(Clone, Debug, Default)]
struct Noting(Arc<Mutex<Vec<Fact>>>);

impl Gate for Noting {
    fn address(&self, _: &Connect, _: IpAddr) -> Result<(), Refusal> {
        unreachable!("credentials dial nothing")
    }
    fn way(&self, _: &Connect) -> crate::Way {
        crate::Way::Direct
    }

    fn caps(&self, _: &Connect) -> crate::Caps {
        crate::Caps::default()
    }

    fn handling(&self, _: &Connect) -> Handling {
        unreachable!("credentials handle nothing")
    }
    async fn connect(&self, _: Host, _: Port) -> Result<(Self, Permit<Connect>), Refusal> {
        unreachable!("credentials connect nothing")
    }
    async fn request(&self, _: Request) -> Result<Requested, Refusal> {
        unreachable!("credentials judge nothing")
    }
    async fn upload(&self, _: Upload) -> Result<Permit<Upload>, Refusal> {
        unreachable!("credentials are not searched for")
    }
    fn answered(&self, _: u64, _: Answered) {}
    fn noted(&self, fact: Fact) {
        self.0.lock().unwrap().push(fact);
    }
    fn refused(&self, _: &Refusal) {}
    fn failed(&self, _: String) {}
    fn ended(&self, _: Carried) {}
    async fn revoked(&self, _: &Connect) -> Refusal {
        std::future::pending().await
    }
}

async fn course(credentials: &Arc<Credentials>, text: &str) -> (Leaving, Coming, Vec<Fact>) {
    let gate = Noting::default();
    let hooks = PutIn::new(gate.clone(), Arc::clone(credentials), Placeholders::WhereBound);
    let request = request(text);
    let course = hooks.request(4, &request, &mut draft(&request, &[])).await.unwrap();
    let Course::Send(leaving, coming) = course else { panic!("answered from here") };
    let facts = gate.0.lock().unwrap().clone();
    (leaving, coming, facts)
}

#[tokio::test]
async fn what_is_put_in_is_noted_by_name_and_number() {
    let credentials = Arc::new(bearer());
    let (_, _, facts) = course(&credentials, "GET https://api.example:443/x").await;
    assert_eq!(facts, [Fact::Credential { name: "api".into(), request: 4 }]);
    let (_, _, facts) = course(&credentials, "GET https://other.example:443/x").await;
    assert_eq!(facts, []);
}

#[tokio::test]
async fn a_body_with_a_placeholder_or_a_secret_stops_where_it_is_not_bound() {
    let credentials = Arc::new(bearer());
    let it = placeholder_of(&credentials, "api");
    let body = |text: &str| Bytes::copy_from_slice(format!("{{\"a\":\"{text}\"}}").as_bytes());
    for (to, text, goes) in [
        ("other.example", it.as_str(), false),
        ("other.example", TOKEN, false),
        ("api.example", TOKEN, false),
        ("api.example", &it, true),
        ("other.example", "ghp_other", true),
    ] {
        for cut in 0..body(text).len() {
            let (mut leaving, ..) = course(&credentials, &format!("POST https://{to}:443/x")).await;
            let mut rest = body(text);
            let first = rest.split_to(cut);
            let mut out = Vec::new();
            let went = async {
                out.extend(leaving.pass(first).await?);
                out.extend(leaving.pass(rest).await?);
                out.extend(leaving.finish(None).await?);
                Ok::<_, Refusal>(())
            };
            assert_eq!(went.await.is_ok(), goes, "{to} {text} cut at {cut}");
            assert!(!goes || out == body(text), "{to} {text} cut at {cut}");
        }
    }
}

#[tokio::test]
async fn trailers_are_looked_at_both_ways() {
    let credentials = Arc::new(bearer());
    let (mut leaving, mut coming, _) =
        course(&credentials, "POST https://other.example:443/x").await;
    let mut trailers = HeaderMap::new();
    trailers.insert("x-note", TOKEN.parse().unwrap());
    assert!(leaving.finish(Some(&mut trailers)).await.is_err());
    coming.finish(Some(&mut trailers));
    assert_eq!(trailers["x-note"], placeholder_of(&credentials, "api"));
}

#[tokio::test]
async fn an_answer_shows_the_placeholder_for_the_secret_wherever_it_is_cut() {
    let credentials = Arc::new(bearer());
    let it = placeholder_of(&credentials, "api");
    let pair = |text: &str| STANDARD.encode(format!("u:{text}!"));
    let page = |text: &str| format!("you sent {text}, and again {text}; {}", hex_of(text));
    for cut in 0..page(TOKEN).len() {
        let (_, mut coming, _) = course(&credentials, "GET https://api.example:443/x").await;
        let mut rest = Bytes::from(page(TOKEN));
        let mut out = coming.pass(rest.split_to(cut)).to_vec();
        out.extend(coming.pass(rest));
        out.extend(coming.finish(None));
        let out = String::from_utf8(out).unwrap();
        // The first three bytes may have gone; they are the beginning that both have.
        assert_eq!(out, page(&it), "cut at {cut}");
    }
    let (_, mut coming, _) = course(&credentials, "GET https://other.example:443/x").await;
    let mut headers = HeaderMap::new();
    headers.insert("location", format!("https://a.example/?t={TOKEN}").parse().unwrap());
    headers.insert("x-basic", pair(TOKEN).parse().unwrap());
    coming.head(StatusCode::FOUND, &mut headers);
    let decoded = STANDARD.decode(headers["x-basic"].as_bytes()).unwrap();
    assert_eq!(headers["location"], format!("https://a.example/?t={it}"));
    assert!(
        !decoded.windows(8).any(|window| TOKEN.as_bytes()[4..].windows(8).any(|it| it == window))
    );
}

fn hex_of(text: &str) -> String {
    text.bytes().map(|b| format!("{b:02x}")).collect()
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_withheld_where_a_secret_was_put_in() {
    let credentials = Arc::new(bearer());
    for (name, value) in [
        ("content-encoding", "gzip"),
        ("content-range", "bytes 0-9/100"),
        ("content-type", "multipart/byteranges; boundary=x"),
        ("sec-websocket-extensions", "permessage-deflate"),
        ("grpc-encoding", "gzip"),
    ] {
        for (to, shown) in [("api.example", false), ("other.example", true)] {
            let (_, mut coming, _) = course(&credentials, &format!("GET https://{to}:443/x")).await;
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().unwrap());
            coming.head(StatusCode::OK, &mut headers);
            let out = coming.pass(Bytes::from_static(b"compressed"));
            assert_eq!(out.len(), 10);
            assert_eq!(out == "compressed", shown, "{name} from {to}");
            assert_eq!(headers.contains_key("x-remit"), !shown, "{name} from {to}");
        }
    }
    let (_, mut coming, _) = course(&credentials, "GET https://api.example:443/x").await;
    let mut headers = HeaderMap::new();
    headers.insert("content-encoding", "identity".parse().unwrap());
    coming.head(StatusCode::OK, &mut headers);
    assert_eq!(coming.pass(Bytes::from_static(b"plain text")), "plain text");
}

#[tokio::test]
async fn frames_of_a_websocket_are_looked_into() {
    let credentials = Arc::new(bearer());
    let it = placeholder_of(&credentials, "api");
    for (to, text, goes) in [
        ("other.example", it.as_str(), false),
        ("api.example", TOKEN, false),
        ("api.example", &it, true),
        ("other.example", "hello", true),
    ] {
        let hooks =
            PutIn::new(Noting::default(), Arc::clone(&credentials), Placeholders::WhereBound);
        let request = request(&format!("GET https://{to}:443/x"));
        let mut draft = draft(&request, &[("sec-websocket-version", "13")]);
        let course = hooks.request(4, &request, &mut draft).await.unwrap();
        let Course::Send(mut leaving, _) = course else { panic!("answered from here") };
        let sent = frame(text.as_bytes(), [0x37, 0xfa, 0x21, 0x3d]);
        let mut out = Vec::new();
        let went = async {
            for piece in sent.chunks(5) {
                out.extend(leaving.pass(Bytes::copy_from_slice(piece)).await?);
            }
            out.extend(leaving.finish(None).await?);
            Ok::<_, Refusal>(())
        };
        assert_eq!(went.await.is_ok(), goes, "{to} {text}");
        assert_eq!(out == sent, goes, "{to} {text}");
    }
}

#[tokio::test]
async fn a_field_of_websockets_hides_no_plain_body() {
    let credentials = Arc::new(bearer());
    let hooks = PutIn::new(Noting::default(), Arc::clone(&credentials), Placeholders::WhereBound);
    let request = request("POST https://other.example:443/x");
    let mut draft = draft(&request, &[("sec-websocket-version", "13")]);
    let course = hooks.request(4, &request, &mut draft).await.unwrap();
    let Course::Send(mut leaving, _) = course else { panic!("answered from here") };
    let body = placeholder_of(&credentials, "api");
    assert!(leaving.pass(Bytes::from(body)).await.is_err());
}

#[test]
fn a_request_to_aws_is_signed_anew_and_one_signed_otherwise_is_refused() {
    let key = |id, text| AwsKey { id: secret(id), secret: secret(text), session: None };
    // SOURCE: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters".
    let example = key("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY");
    let real = key("AKIAREALREALREALREAL", "RealRealRealRealReal/RealReal+RealRealRe");
    let host = "examplebucket.s3.amazonaws.com";
    let credentials = held(vec![loaded("aws", Form::Aws(real.clone()), host)]);
    let variable = |name: &str| {
        let all = credentials.variables();
        all.into_iter().find(|(it, _)| it == name).map(|(_, value)| secret(&value)).unwrap()
    };
    let inside = AwsKey {
        id: variable("AWS_ACCESS_KEY_ID"),
        secret: variable("AWS_SECRET_ACCESS_KEY"),
        session: None,
    };
    let request = request(
        "GET https://examplebucket.s3.amazonaws.com:443/test.txt\
         ?X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
    );
    let published = draft(&request, &[]);
    let mut signed = published.clone();
    aws::sign(&request, &mut signed, &example, &inside).unwrap().unwrap();
    let mut expected = published.clone();
    aws::sign(&request, &mut expected, &example, &real).unwrap().unwrap();

    let dressed = credentials.dress(&request, &mut signed).unwrap();
    assert_eq!(dressed.names, ["aws"]);
    assert_eq!(signed, expected);
    let refusal = credentials.dress(&request, &mut published.clone()).err().unwrap();
    assert!(refusal.to_string().contains("a key that is not the placeholder"), "{refusal}");
    let mut unsigned = Draft { query: None, headers: HeaderMap::new() };
    assert!(credentials.dress(&request, &mut unsigned).unwrap().names.is_empty());
    assert_eq!(unsigned.query, None);
}
