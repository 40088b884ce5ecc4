//! `preset:NAME`: bundles of hosts that ship with the program.

use crate::error::nearest;
use crate::network::path::PathPattern;
use crate::network::scope::Scope;
use crate::pattern::HostPattern;
use crate::request::Method;

struct Preset {
    name: &'static str,
    hosts: &'static [&'static str],
    requests: &'static [Requests],
}

struct Requests {
    hosts: &'static [&'static str],
    methods: &'static [&'static str],
    paths: &'static [&'static str],
}

/// The hosts of a preset, each with the requests it is about. None if the text
/// does not begin with `preset:`; an error if no preset has that name.
pub(crate) fn preset(text: &str) -> Option<Result<Vec<(HostPattern, Scope)>, String>> {
    let name = text.strip_prefix("preset:")?;
    let Some(preset) = PRESETS.iter().find(|preset| preset.name == name) else {
        let likely = nearest(name, PRESETS.iter().map(|preset| preset.name));
        let known: Vec<_> = PRESETS.iter().map(|preset| format!("`{}`", preset.name)).collect();
        let hint = match likely {
            Some(likely) => format!("did you mean `{likely}`?"),
            None => format!("there are {}", known.join(", ")),
        };
        return Some(Err(format!("no preset is called `{name}`; {hint}")));
    };
    let built_in = "the build's tests read every preset";
    let host = |text: &&str| HostPattern::parse(text).expect(built_in);
    let whole = preset.hosts.iter().map(|text| (host(text), Scope::default()));
    let requests = preset.requests.iter().flat_map(|requests| {
        let methods = requests.methods.iter().map(|text| Method::parse(text).expect(built_in));
        let paths = requests.paths.iter().map(|text| PathPattern::parse(text).expect(built_in));
        let scope = Scope {
            methods: Some(methods.collect::<Vec<_>>()).filter(|methods| !methods.is_empty()),
            paths: Some(paths.collect::<Vec<_>>()).filter(|paths| !paths.is_empty()),
            ..Scope::default()
        };
        requests.hosts.iter().map(move |text| (host(text), scope.clone()))
    });
    Some(Ok(whole.chain(requests).collect()))
}

pub(crate) const TEXT: &str = include_str!("../../data/presets.toml");

include!(concat!(env!("OUT_DIR"), "/presets.rs"));

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_preset_reads_and_is_about_something_and_about_no_more_than_it_names() {
        for known in PRESETS {
            let said = preset(&format!("preset:{}", known.name)).unwrap().unwrap();
            assert!(!said.is_empty(), "{}", known.name);
            for (host, scope) in said {
                assert!(host.is_single(), "{}: {host}", known.name);
                assert!(known.requests.is_empty() || scope.is_about_requests(), "{host}");
            }
        }
    }

    #[test]
    fn an_unknown_preset_says_which_there_are() {
        assert!(preset("rust").is_none());
        let error = preset("preset:rsut").unwrap().unwrap_err();
        assert_eq!(error, "no preset is called `rsut`; did you mean `rust`?");
        assert!(preset("preset:").unwrap().unwrap_err().contains("`github-read`"));
    }
}
