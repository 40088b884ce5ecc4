use super::super::tests::{draft, request, secret};
use super::*;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn key(id: &str, text: &str) -> AwsKey {
    AwsKey { id: secret(id), secret: secret(text), session: None }
}

fn outside() -> AwsKey {
    key("AKIAREALREALREALREAL", "RealRealRealRealReal/RealReal+RealRealRe")
}

/// What the examples in Amazon's pages are signed with.
fn inside() -> AwsKey {
    key("AKIAIOSFODNN7EXAMPLE", SECRET)
}

/// SOURCE: IAM User Guide, the signature of `ListUsers` step by step.
fn list_users() -> (Request, Draft) {
    let request = request("GET https://iam.amazonaws.com:443/?Action=ListUsers&Version=2010-05-08");
    let authorization = "AWS4-HMAC-SHA256 \
        Credential=AKIDEXAMPLE/20150830/us-east-1/iam/aws4_request, \
        SignedHeaders=content-type;host;x-amz-date, \
        Signature=5d672d79c15b13162d9279b0855cfba6789a8edb4c82c400e06b5924a6f2b5d7";
    let headers = [
        ("authorization", authorization),
        ("content-type", "application/x-www-form-urlencoded; charset=utf-8"),
        ("x-amz-date", "20150830T123600Z"),
    ];
    let draft = draft(&request, &headers);
    (request, draft)
}

/// SOURCE: Amazon S3 API Reference, "GET Object" of the examples of signatures.
fn get_object() -> (Request, Draft) {
    let request = request("GET https://examplebucket.s3.amazonaws.com:443/test.txt");
    let authorization = "AWS4-HMAC-SHA256 \
        Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,\
        SignedHeaders=host;range;x-amz-content-sha256;x-amz-date,\
        Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
    let headers = [
        ("authorization", authorization),
        ("range", "bytes=0-9"),
        ("x-amz-content-sha256", EMPTY),
        ("x-amz-date", "20130524T000000Z"),
    ];
    let draft = draft(&request, &headers);
    (request, draft)
}

/// SOURCE: Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters".
fn presigned() -> (Request, Draft) {
    let request = request(
        "GET https://examplebucket.s3.amazonaws.com:443/test.txt\
         ?X-Amz-Algorithm=AWS4-HMAC-SHA256\
         &X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request\
         &X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host\
         &X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
    );
    let draft = draft(&request, &[]);
    (request, draft)
}

#[test]
fn the_published_examples_are_read_as_their_signers_meant() {
    let user = key("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY");
    for ((request, mut draft), inside) in
        [(list_users(), user), (get_object(), inside()), (presigned(), inside())]
    {
        let signed = sign(&request, &mut draft, &inside, &outside()).unwrap().unwrap();
        assert_ne!(signed.inside, signed.outside);
        let head =
            format!("{draft:?}{:?}", draft.headers.get("authorization").map(|it| it.to_str()));
        assert!(!head.contains(&signed.inside) && head.contains(&signed.outside), "{head}");
        assert!(!head.contains(inside.id.expose()) && head.contains("AKIAREAL"), "{head}");
        // Whoever has the real key finds the new signature right.
        assert!(sign(&request, &mut draft, &outside(), &inside).is_ok());
    }
}

#[test]
fn signing_with_the_same_key_gives_the_same_signature() {
    let (request, mut draft) = get_object();
    let signed = sign(&request, &mut draft, &inside(), &inside()).unwrap().unwrap();
    assert_eq!(signed.inside, signed.outside);
}

#[test]
fn what_was_changed_after_signing_is_not_signed() {
    let check = |change: fn(&mut Request, &mut Draft)| {
        for (mut request, mut draft) in [get_object(), presigned()] {
            let before = (request.clone(), draft.clone());
            change(&mut request, &mut draft);
            if (&request, &draft) == (&before.0, &before.1) {
                continue;
            }
            let changed = draft.clone();
            sign(&request, &mut draft, &inside(), &outside()).unwrap_err();
            assert_eq!(draft, changed, "nothing real is in what is refused");
        }
    };
    check(|it, _| it.method = remit_policy::Method::parse("DELETE").unwrap());
    check(|it, _| it.target = remit_policy::Target::parse("/other.txt").unwrap());
    check(|it, _| *it = request("GET https://evil.example:443/test.txt"));
    check(|_, draft| {
        draft.query = Some(format!("acl&{}", draft.query.clone().unwrap_or_default()))
    });
    check(|_, draft| {
        if let Some(date) = draft.headers.get_mut("x-amz-date") {
            *date = "20130524T000001Z".parse().unwrap();
        }
    });
    check(|_, draft| {
        draft.headers.remove("range");
    });
    check(|_, draft| {
        if let Some(hash) = draft.headers.get_mut("x-amz-content-sha256") {
            *hash = UNSIGNED.parse().unwrap();
        }
    });
    check(|_, draft| {
        draft.headers.insert("x-amz-security-token", "another-session-1".parse().unwrap());
    });
}

#[test]
fn another_key_another_way_and_two_signatures_are_refused() {
    let check = |value: &'static str| {
        let (request, mut draft) = get_object();
        draft.headers.insert("authorization", value.parse().unwrap());
        sign(&request, &mut draft, &inside(), &outside()).unwrap_err();
    };
    check("AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=");
    check("AWS4-ECDSA-P256-SHA256 Credential=a/b/c, SignedHeaders=host, Signature=00");
    check("AWS4-HMAC-SHA256");
    check("AWS4-HMAC-SHA256 Credential=a, Credential=b");
    check("Bearer abc");
    check(
        "AWS4-HMAC-SHA256 Credential=AKIAOTHER/20130524/us-east-1/s3/aws4_request,\
           SignedHeaders=host,\
           Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41",
    );
    let (request, mut draft) = presigned();
    let header = get_object().1.headers;
    draft.headers.extend(header);
    sign(&request, &mut draft, &inside(), &outside()).unwrap_err();
    let (request, mut draft) = presigned();
    draft.query = draft.query.map(|query| format!("{query}&x-amz-signature=00"));
    sign(&request, &mut draft, &inside(), &outside()).unwrap_err();
}

#[test]
fn pieces_with_signatures_of_their_own_are_refused_with_advice() {
    let (request, mut draft) = get_object();
    let pieces = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
    draft.headers.insert("x-amz-content-sha256", pieces.parse().unwrap());
    let why = sign(&request, &mut draft, &inside(), &outside()).unwrap_err();
    assert!(why.contains("unsigned payloads"), "{why}");
}

#[test]
fn what_is_not_signed_stays_so() {
    let (request, mut draft) = get_object();
    draft.headers.remove("authorization");
    let before = draft.clone();
    assert_eq!(sign(&request, &mut draft, &inside(), &outside()), Ok(None));
    assert_eq!(draft, before);
}

#[test]
fn a_session_token_is_replaced_with_the_key() {
    let with = |key: AwsKey, token| AwsKey { session: Some(secret(token)), ..key };
    let (inside, outside) =
        (with(inside(), "inside-token-1234"), with(outside(), "real-token-56789"));
    let (request, mut draft) = get_object();
    draft.headers.insert("x-amz-security-token", "inside-token-1234".parse().unwrap());
    let claim = Claim {
        headers: ["host", "x-amz-content-sha256", "x-amz-date", TOKEN].map(str::to_owned).into(),
        ..Claim::of(&draft).unwrap().unwrap()
    };
    let host = "examplebucket.s3.amazonaws.com";
    let signature = signature(&request, &draft, &claim, host, EMPTY, &inside).unwrap();
    claim.put_signature(&mut draft, &signature).unwrap();
    sign(&request, &mut draft, &inside, &outside).unwrap().unwrap();
    assert_eq!(draft.headers[TOKEN], "real-token-56789");
}
