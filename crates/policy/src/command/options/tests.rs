use super::*;

fn words(line: &str) -> Vec<OsString> {
    line.split(' ').filter(|word| !word.is_empty()).map(OsString::from).collect()
}

#[track_caller]
fn check(flag: &str, line: &str, certain: bool, possible: bool) {
    let flag = Flag::parse(flag).unwrap_or_else(|why| panic!("{why}"));
    let named = [flag.clone()];
    let found =
        [Sure::Certain, Sure::Possible].map(|sure| flag.is_among(&words(line), sure, &named));
    assert_eq!(found, [certain, possible], "{} in `{line}`", flag.text());
}

#[test]
fn a_flag_is_found_however_it_is_written() {
    check("-f", "x -f y", true, true);
    check("-f", "-rf", false, true);
    check("-f", "-fr", false, true);
    check("-f", "x --f y", false, false);
    check("-f", "f", false, false);
    check("-f", "-x=f", false, false);
    check("--force", "--force", true, true);
    check("--force", "--force=yes", true, true);
    check("--force", "--for", false, true);
    check("--force", "-force", false, true);
    check("--force", "--forced", false, false);
    check("--force", "--", false, false);
    check("--force", "--no-force", false, false);
    check("-delete", ". -delete", true, true);
    check("-delete", ". --delete", false, true);
    check("-delete", ". -d", false, false);
    check("--mode=hard", "--mode=hard", true, true);
    check("--mode=hard", "--mode hard", false, true);
    check("--mode=hard", "--mod=hard", false, true);
    check("--mode=hard", "--mode=soft", false, false);
    check("-m=x", "-mx", false, true);
    check("-m=x", "-m x", false, true);
    check("-m=x", "-m y", false, false);
    // It may be another option's value, or a name.
    check("--dry-run", "--exec --dry-run", false, true);
    check("--dry-run", "-- --dry-run", false, true);
    check("--dry-run", "--exec=x --dry-run", true, true);
    check("--dry-run", "--dry-run --dry-run", true, true);
}

#[test]
fn what_is_no_flag_is_none() {
    for text in ["f", "-", "--", "---x", "-=x", "", "-f g", "--é"] {
        assert!(Flag::parse(text).is_err(), "{text:?}");
    }
}

#[track_caller]
fn check_sub(program: &str, subcommand: &[&str], line: &str, certain: bool, possible: bool) {
    let wanted: Vec<_> =
        subcommand.iter().map(|word| word.split('|').map(str::to_owned).collect()).collect();
    let programs = [program.to_owned()];
    let found = [Sure::Certain, Sure::Possible]
        .map(|sure| has_subcommand(&programs, &wanted, &words(line), sure));
    assert_eq!(found, [certain, possible], "{program} {subcommand:?} in `{line}`");
}

#[test]
fn a_subcommand_is_found_behind_options() {
    check_sub("git", &["push"], "push origin", true, true);
    check_sub("git", &["push"], "--no-pager push", true, true);
    check_sub("git", &["push"], "-C /x push", false, true);
    check_sub("git", &["push"], "-C push status", false, false);
    check_sub("git", &["push"], "-c a=b --git-dir=x push", false, true);
    check_sub("git", &["push"], "--odd x push", false, true);
    check_sub("git", &["push"], "commit -m push", false, false);
    check_sub("git", &["push"], "status", false, false);
    check_sub("git", &["push"], "", false, false);
    check_sub("git", &["remote", "add|set-url"], "remote -v add x", false, true);
    check_sub("git", &["remote", "add|set-url"], "remote set-url x", true, true);
    check_sub("cargo", &["publish"], "+nightly publish", false, true);
    check_sub("kubectl", &["delete"], "-n prod delete pod x", false, true);
    check_sub("odd", &["go"], "-x go", false, true);
    check_sub("odd", &["go"], "-x", false, false);
}
