use super::*;

fn pattern(text: &str) -> PathPattern {
    PathPattern::parse(text).unwrap_or_else(|error| panic!("{error}"))
}

/// Whether a restriction and a permission of this pattern are about a path.
fn about(pattern: &str, path: &str) -> (bool, bool) {
    let patterns = [self::pattern(pattern)];
    let Some(readings) = Readings::of(path) else { return (true, false) };
    let permitted = readings.each().all(|reading| is_one_of(&patterns, reading));
    (readings.any_is_one_of(&patterns), permitted)
}

#[track_caller]
fn check(pattern: &str, path: &str, expected: (bool, bool)) {
    assert_eq!(about(pattern, path), expected, "`{pattern}` and `{path}`");
}

#[test]
fn a_pattern_matches_whole_segments() {
    check("/repos/*/issues", "/repos/a/issues", (true, true));
    check("/repos/*/issues", "/repos/a/b/issues", (false, false));
    check("/repos/*/issues", "/repos//issues", (true, false));
    check("/repos/*/issues", "/repos/a/issues/1", (false, false));
    check("/repos/**", "/repos/a/b", (true, true));
    check("/repos/**", "/repos", (true, true));
    check("/repos/**", "/repository", (false, false));
    check("/v1/*.json", "/v1/a.json", (true, true));
    check("/v1/*.json", "/v1/a.xml", (false, false));
    check("/v1/a*b*c", "/v1/aXbYc", (true, true));
    check("/v1/a*b*c", "/v1/acb", (false, false));
    check("/v1/a*a", "/v1/a", (false, false));
    check("/", "/", (true, true));
    check("/", "/a", (false, false));
    check("/**", "*", (true, true));
    check("/a", "/a", (true, true));
    check("/a", "/", (false, false));
}

#[test]
fn no_other_spelling_of_a_denied_path_gets_around_it() {
    for path in [
        "/admin/users",
        "/./admin/users",
        "//x/admin/users",
        "///x/admin/users",
        "/\\x/admin/users",
        "/%2fx/admin/users",
        "/%5c%5cuser@x:80/admin/users",
        "/x/../admin/users",
        "/x/%2e%2e/admin/users",
        "/x/%252e%252e/admin/users",
        "//admin//users",
        "/admin;v=1/users;x",
        "/admin%2fusers",
        "/admin%252Fusers",
        "/admin%5cusers",
        "/admin\\users",
        "/ADMIN/Users",
        "/%61dmin/users",
        "/%2561dmin/users",
        "/%25252561dmin/users",
        "/x/..;/admin/users",
        "/x/..%2fadmin/users",
        "/x\\..\\admin\\users",
        "/../../admin/users",
        "/admin/x/../users",
        "/admin/users/",
        "/admin/users/.",
        "/admin/users%20",
        "/admin/users.",
        "/admin/users%00.png",
        "/admin/users%3fx",
        "/admin/users%23x",
        "/adm%00%0ain/users/../../admin/users",
        "/%u0061dmin/users",
        "/admin%c0%afusers",
        "/x/%c0%ae%c0%ae/admin/users",
        "/ad%0dmin/users",
        "/admin%ef%bc%8fusers",
        "/%ef%bd%81dmin/user%c5%bf",
        "/x/%ef%bc%8e%ef%bc%8e/admin/users",
        "/admin/%2e/users",
        "/admin/.%2e/admin/users",
    ] {
        let (denied, allowed) = about("/admin/users", path);
        assert!(denied, "`{path}` is not denied");
        assert_eq!(allowed, path == "/admin/users", "`{path}` and a permission");
        assert!(about("/admin/**", path).0, "`{path}` is not below");
    }
}

#[test]
fn a_permission_is_about_a_path_only_if_it_can_be_read_in_no_other_way() {
    check("/public/**", "/public/../admin", (true, false));
    check("/public/**", "/public/%2e%2e/admin", (true, false));
    check("/public/**", "/public/..%2fadmin", (true, false));
    check("/public/**", "/public/..;/admin", (true, false));
    check("/public/**", "/public%2f..%2fadmin", (true, false));
    check("/public/**", "/public/a%20b", (true, true));
    check("/public/**", "/public/@scope%2fname", (true, true));
    check("/public/*", "/public/@scope%2fname", (true, false));
    check("/public/**", "/PUBLIC/a", (true, false));
    check("/public/**", "/public/x/../y", (true, true));
}

#[test]
fn a_path_made_to_be_read_in_many_ways_is_permitted_by_nothing() {
    let nested = |n| (0..n).fold("%2f".to_owned(), |text, _| text.replace('%', "%25"));
    let path = format!("/public/{}", nested(200));
    assert!(Readings::of(&path).is_none());
    assert!(Readings::of(&"/a".repeat(4_000)).is_some());
    assert!(Readings::of(&"/a".repeat(5_000)).is_none());
}

#[test]
fn a_pattern_is_written_plainly() {
    for bad in [
        "", "a", "*", "/a//b", "/a/../b", "/./a", "/a%20b", "/a?b", "/a#b", "/a\\b", "/a;b",
        "/a b", "/é", "/**/a", "/a**", "/a\0",
    ] {
        assert!(PathPattern::parse(bad).is_err(), "`{bad}` parsed");
    }
    for good in ["/", "/a/", "/a/*/b", "/**", "/a*b", "/*/*/git-upload-pack"] {
        assert_eq!(pattern(good).to_string(), good);
    }
}
