//! Data rules, the way out, ports that are published, and credentials.

use crate::common::{check_request, compile, connect, request, settings, try_compile};
use crate::loading::check_refused;
use remit_policy::{
    Cache, CredentialSource, CredentialUse, Layer, Patterns, Policy, PolicyText, Port, Web,
};

fn user(text: &str) -> PolicyText {
    settings(Layer::User, text)
}

fn policy(text: &str) -> Policy {
    compile(&[user(text)], None)
}

#[test]
fn without_a_word_everything_is_as_permissive_as_it_can_be_but_for_secrets() {
    let policy = compile(&[], None);
    let data = policy.data();
    assert_eq!((data.upload, data.web, data.cache), (None, Web::Full, Cache::Off));
    assert_eq!(data.patterns, Patterns::Ask);
    assert!(policy.proxy().is_none() && policy.dials_directly(&connect("a.example")));
    assert!(policy.credentials().is_empty() && !policy.inspects_anything());
    assert!(policy.publishes(Port::try_from(8080).unwrap()).is_err());
}

#[test]
fn the_strictest_data_rule_of_system_and_project_holds() {
    let policy = compile(
        &[
            user("[network]\nupload = '1GiB'\nweb = 'full'\ncache = 'fill'\npatterns = 'off'"),
            settings(Layer::System, "[network]\nupload = '10MiB'\ncache = 'off'"),
            settings(
                Layer::Project,
                "[network]\nweb = 'read-only'\npatterns = 'ask'\nupload = '2GiB'",
            ),
        ],
        None,
    );
    let data = policy.data();
    assert_eq!(data.upload, Some(10 << 20));
    assert_eq!((data.web, data.cache, data.patterns), (Web::ReadOnly, Cache::Fill, Patterns::Ask));
    assert_eq!(data.upload_basis.layer, Layer::System);
    assert_eq!(
        data.web_basis.to_string(),
        "`network.web = \"read-only\"` (project, project.toml line 2)"
    );
}

#[test]
fn answers_from_the_cache_alone_spare_the_agents_own_hosts() {
    let policy = policy("network.cache = 'only'");
    assert_eq!(policy.cache(&connect("a.example")), Cache::Only);
    assert_eq!(policy.cache(&connect("api.model.example")), Cache::Off);
    let handling = policy.handling(&connect("a.example"));
    assert!(handling.inspect && handling.requests_only);
    assert!(!policy.handling(&connect("api.model.example")).inspect);
}

#[test]
fn the_least_cap_on_a_host_holds() {
    let rule = |host: &str, upload: &str| {
        format!("[[network.rules]]\nhost = '{host}'\nupload = '{upload}'\n")
    };
    let policy = compile(
        &[
            user(&(rule("**.a.example", "1MiB") + &rule("b.example", "none"))),
            settings(Layer::Project, &rule("x.a.example", "2MiB")),
            settings(Layer::System, &rule("*:443", "3MiB")),
        ],
        None,
    );
    let cap = |host: &str| policy.upload_caps(&connect(host)).into_iter().map(|(cap, _)| cap).min();
    assert_eq!(cap("a.example:80"), Some(1 << 20));
    assert_eq!(cap("x.a.example:443"), Some(1 << 20));
    assert_eq!(cap("b.example:443"), Some(3 << 20));
    assert_eq!(cap("b.example:80"), None);
    let to = connect("b.example:443");
    let (_, basis) =
        policy.upload_caps(&to).into_iter().min_by_key(|(cap, _)| *cap).expect("a cap");
    assert_eq!(basis.to_string(), "`network.rules upload 3MiB *:443` (system, system.toml line 2)");
}

#[test]
fn the_systems_proxy_is_led_around_by_the_system_alone() {
    let mine = "[network]\nproxy = 'http://mine.example:8080'\nno_proxy = ['**.local.example']";
    let theirs =
        "[network]\nproxy = 'http://proxy.corp.example:3128'\nno_proxy = ['*.corp.example']";
    let alone = policy(mine);
    assert_eq!(alone.proxy().expect("a proxy").port, Port::try_from(8080).unwrap());
    assert!(alone.dials_directly(&connect("x.local.example")));
    assert!(alone.dials_directly(&connect("localhost:80")));
    assert!(alone.dials_directly(&connect("127.0.0.1:80")));
    assert!(!alone.dials_directly(&connect("a.example")));
    let both = compile(&[user(mine), settings(Layer::System, theirs)], None);
    assert_eq!(both.proxy().expect("a proxy").host.to_string(), "proxy.corp.example");
    assert!(!both.dials_directly(&connect("x.local.example")));
    assert!(both.dials_directly(&connect("x.corp.example")));
}

#[test]
fn a_port_is_published_if_somebody_listed_it() {
    let policy = policy("network.publish = [8000, 3000]");
    let publishes = |port: u16| policy.publishes(Port::try_from(port).unwrap());
    assert_eq!(publishes(8000).expect("a basis").layer, Layer::User);
    assert_eq!(
        publishes(8001).unwrap_err().to_string(),
        "refused: publish port `8001` on the host's loopback\n  by `network: only ports that are \
         listed are opened` (built-in)\n  allowed instead: ports in `network.publish`: \
         `3000`, `8000`"
    );
}

const TOKEN: &str = "
[credentials.forge]
source = { file = '~/secrets/forge' }
hosts = ['api.forge.example:443', '*.packages.example', 'localhost:8080']
methods = ['GET', 'POST']
paths = ['/repos/**']
as = 'bearer'
expose = 'FORGE_TOKEN'
";

#[test]
fn a_secret_goes_into_the_requests_that_it_is_bound_to_and_no_other() {
    let policy = policy(&format!("network.allow = ['api.forge.example']\n{TOKEN}"));
    let [forge] = policy.credentials() else { panic!("one credential") };
    assert_eq!((forge.name.as_str(), &forge.uses), ("forge", &CredentialUse::Bearer));
    assert_eq!(forge.source, CredentialSource::File("/home/alice/secrets/forge".into()));
    assert_eq!(forge.expose.as_deref(), Some("FORGE_TOKEN"));
    for applies in [
        "GET https://api.forge.example:443/repos/a",
        "POST https://x.packages.example:8443/repos",
        "GET http://localhost:8080/repos/a",
    ] {
        assert!(forge.applies(&request(applies)), "{applies}");
    }
    for not in [
        "GET http://api.forge.example:443/repos/a",
        "GET https://api.forge.example:8443/repos/a",
        "GET https://forge.example:443/repos/a",
        "GET https://api.forge.example.evil:443/repos/a",
        "DELETE https://api.forge.example:443/repos/a",
        "get https://api.forge.example:443/repos/a",
        "GET https://api.forge.example:443/repos/../user",
        "GET https://api.forge.example:443/repos/%2e%2e/user",
        "GET https://api.forge.example:443/repos/a?_method=DELETE",
        "GET https://api.forge.example:443/user",
    ] {
        assert!(!forge.applies(&request(not)), "{not}");
    }
    assert!(
        policy.inspects_anything() && policy.handling(&connect("api.forge.example:443")).inspect
    );
    assert!(!policy.handling(&connect("api.forge.example:80")).inspect);
}

#[test]
fn where_a_secret_is_kept_stays_outside() {
    let policy = policy(&format!(
        "[sandbox]\nenvironment = ['DEPLOY_TOKEN', 'FORGE_TOKEN', 'OTHER']\n{TOKEN}\
         [credentials.deploy]\nsource = {{ variable = 'DEPLOY_TOKEN' }}\nhosts = ['d.example']\n\
         as = 'header'\nname = 'X-Token'"
    ));
    let hidden =
        |path: &str| policy.filesystem().hidden.iter().any(|rule| rule.path.ends_with(path));
    assert!(hidden("secrets/forge"));
    let environment = policy.environment();
    assert!(environment.passes("OTHER"));
    assert!(!environment.passes("DEPLOY_TOKEN") && !environment.passes("FORGE_TOKEN"));
    let names: Vec<_> = policy.credentials().iter().map(|said| said.name.as_str()).collect();
    assert_eq!(names, ["deploy", "forge"]);
}

#[test]
fn an_inspection_for_a_secret_is_not_taken_back_by_the_user() {
    let policy = policy(&format!("network.pass_through = ['api.forge.example']\n{TOKEN}"));
    assert!(policy.handling(&connect("api.forge.example:443")).inspect);
}

#[test]
fn two_secrets_do_not_share_a_name() {
    let error = try_compile(&[user(TOKEN), settings(Layer::System, TOKEN)], None).unwrap_err();
    assert!(error.to_string().contains("`credentials.forge`: that name is taken by"), "{error}");
}

#[test]
fn the_proxys_credential_is_one_that_there_is() {
    let error = try_compile(&[user("network.proxy_credential = 'corp'")], None).unwrap_err();
    assert_eq!(
        error.to_string(),
        "settings `user.toml` line 1: `network.proxy_credential = \"corp\"`: there is no \
         `[credentials.corp]`"
    );
    let aws = "network.proxy_credential = 'corp'\n[credentials.corp]\n\
               source = { variable = 'CORP' }\nas = 'aws'\nhosts = ['*.amazonaws.com']";
    let error = try_compile(&[user(aws)], None).unwrap_err();
    assert!(error.to_string().contains("a proxy is told `bearer` or `basic`"), "{error}");
    let policy = policy(
        "network.proxy = 'http://p.example:3128'\nnetwork.proxy_credential = 'corp'\n\
         [credentials.corp]\nsource = { keyring = 'proxy/alice' }\nas = 'basic'\nname = 'alice'",
    );
    assert_eq!(policy.proxy().expect("a proxy").credential.as_deref(), Some("corp"));
    let [corp] = policy.credentials() else { panic!("one credential") };
    assert!(!corp.applies(&request("GET https://p.example:3128/")));
    check_request(&policy, "GET https://a.example/", "allow by answer");
}

#[test]
fn a_wrong_credential_names_file_line_and_key() {
    let check = |text: &str, expected: &str| {
        check_refused(
            settings(Layer::User, &format!("[credentials.x]\n{text}")),
            &format!("settings `user.toml` line {expected}"),
        );
    };
    let source = "source = { variable = 'X' }";
    check("as = 'bearer'", "1: `credentials.x.source`: it says where");
    check("source = {}\nas = 'bearer'", "2: `credentials.x.source`: it is exactly one of");
    check(
        "source = { file = '~/x', variable = 'X' }\nas = 'bearer'",
        "2: `credentials.x.source`: it is exactly one of",
    );
    check(
        "source = { fil = '~/x' }",
        "2: unknown key `credentials.x.source.fil`; did you mean `file`?",
    );
    check("source = { file = './x' }\nas = 'bearer'", "2: `credentials.x.source`: `./x`: a secret");
    check(
        "source = { file = 'x' }\nas = 'bearer'",
        "2: `credentials.x.source`: `x`: a path begins",
    );
    check(
        "source = { keyring = 'x' }\nas = 'bearer'",
        "2: `credentials.x.source`: `x` is not an entry",
    );
    check("source = { variable = 'A B' }\nas = 'bearer'", "2: `credentials.x.source`: ");
    check(source, "1: `credentials.x.as`: it is `bearer`");
    check(&format!("{source}\nas = 'cookie'"), "1: `credentials.x.as`: ");
    check(&format!("{source}\nas = 'header'"), "1: `credentials.x.name`: ");
    check(&format!("{source}\nas = 'header'\nname = 'Host'"), "1: `credentials.x.name`: `Host` is");
    check(&format!("{source}\nas = 'header'\nname = 'a b'"), "1: `credentials.x.name`: ");
    check(&format!("{source}\nas = 'query'\nname = 'a&b'"), "1: `credentials.x.name`: ");
    check(&format!("{source}\nas = 'bearer'\nname = 'a'"), "1: `credentials.x.name`: ");
    check(&format!("{source}\nas = 'basic'\nname = 'a:b'"), "1: `credentials.x.name`: ");
    check(
        &format!("{source}\nas = 'aws'\nhosts = ['*.com']"),
        "4: `credentials.x.hosts`: `*.com` covers",
    );
    check(
        &format!("{source}\nas = 'aws'\nhosts = ['a.example']\nexpose = 'LD_PRELOAD'"),
        "5: `credentials.x.expose`: `LD_PRELOAD` never passes",
    );
    check(
        &format!("{source}\nas = 'aws'\nhosts = ['a.example']\nexpose = 'X_*'"),
        "5: `credentials.x.expose`: `X_*` is not the name of one variable",
    );
    check(
        &format!("{source}\nas = 'aws'\nexpose = 'X'"),
        "4: `credentials.x.expose`: a secret without",
    );
    check(&format!("{source}\nas = 'aws'\nkind = 'X'"), "4: unknown key `credentials.x.kind`");
    check_refused(
        settings(
            Layer::System,
            "[credentials.x]\nsource = { variable = 'X' }\nas = 'aws'\nhosts = ['*']",
        ),
        "settings `system.toml` line 4: `credentials.x.hosts`: `*` covers too much",
    );
    check_refused(
        settings(Layer::User, "[credentials.'a b']\nsource = { variable = 'X' }"),
        "settings `user.toml` line 1: `credentials.a b`: a name is at most",
    );
}
