//! Of the connections and requests to a host, which ones a statement is about.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use crate::network::path::{PathPattern, Readings, is_one_of};
use crate::network::programs::Programs;
use crate::request::{Method, Request, Scheme};

/// Everything that is given narrows; what is absent does not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Scope {
    pub(crate) programs: Option<Programs>,
    pub(crate) scheme: Option<Scheme>,
    pub(crate) methods: Option<Vec<Method>>,
    pub(crate) paths: Option<Vec<PathPattern>>,
    /// Commands that may be run over SSH. Such a statement is about SSH alone.
    pub(crate) ssh: Option<BTreeSet<String>>,
}

impl Scope {
    /// Whether it takes the requests themselves to say what is meant.
    pub(crate) fn is_about_requests(&self) -> bool {
        self.scheme.is_some() || self.methods.is_some() || self.paths.is_some()
    }

    /// Whether it narrows nothing but the program.
    pub(crate) fn is_about_connections(&self) -> bool {
        !self.is_about_requests() && self.ssh.is_none()
    }

    /// Whether a permission is about this program. An unknown one it is not about.
    pub(crate) fn has_program(&self, program: Option<&Path>) -> bool {
        self.programs.as_ref().is_none_or(|programs| programs.have(program))
    }

    /// Whether a restriction is about this program. An unknown one it is about.
    pub(crate) fn may_have_program(&self, program: Option<&Path>) -> bool {
        self.programs.as_ref().is_none_or(|programs| programs.may_have(program))
    }

    /// Whether a permission is about this reading of a request.
    pub(crate) fn permits(&self, scheme: Scheme, reading: &Reading<'_>) -> bool {
        self.ssh.is_none()
            && self.scheme.is_none_or(|wanted| wanted == scheme)
            && self.methods.as_ref().is_none_or(|methods| {
                methods.iter().any(|method| method.as_str() == reading.method)
            })
            && self.paths.as_ref().is_none_or(|paths| is_one_of(paths, reading.path))
    }

    /// Whether a restriction is about any reading of a request.
    pub(crate) fn restricts(&self, request: &Read) -> bool {
        self.ssh.is_none()
            && self.scheme.is_none_or(|scheme| scheme == request.scheme)
            && self.methods.as_ref().is_none_or(|wanted| {
                let is = |method: &String| {
                    wanted.iter().any(|wanted| wanted.as_str().eq_ignore_ascii_case(method))
                };
                request.methods.iter().any(is)
            })
            && self.paths.as_ref().is_none_or(|paths| request.paths.any_is_one_of(paths))
    }
}

impl fmt::Display for Scope {
    /// What follows the host in the words of a rule; begins with a blank if
    /// there is anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |f: &mut fmt::Formatter<'_>, before: &str, texts: Vec<String>| {
            write!(f, " {before}{}", crate::show::line(&texts.join(",")))
        };
        if let Some(scheme) = self.scheme {
            write!(f, " over {scheme}")?;
        }
        if let Some(methods) = &self.methods {
            list(f, "", methods.iter().map(|method| method.as_str().to_owned()).collect())?;
        }
        if let Some(paths) = &self.paths {
            list(f, "", paths.iter().map(PathPattern::to_string).collect())?;
        }
        if let Some(commands) = &self.ssh {
            list(f, "ssh ", commands.iter().cloned().collect())?;
        }
        if let Some(programs) = &self.programs {
            let paths = programs.paths().iter().map(|path| path.display().to_string());
            list(f, "by ", paths.collect())?;
        }
        Ok(())
    }
}

/// A request in all the ways in which a server may read it.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) scheme: Scheme,
    /// The method, and those that the request asks the server to act on instead.
    pub(crate) methods: BTreeSet<String>,
    pub(crate) paths: Readings,
}

/// One way to read a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'r> {
    pub(crate) method: &'r str,
    pub(crate) path: &'r [u8],
}

impl Read {
    /// None if the path has too many readings.
    pub(crate) fn of(request: &Request) -> Option<Self> {
        let paths = Readings::of(request.target.path())?;
        Some(Self { scheme: request.scheme, methods: request.methods(), paths })
    }

    pub(crate) fn each(&self) -> impl Iterator<Item = Reading<'_>> {
        let of = |method| self.paths.each().map(move |path| Reading { method, path });
        self.methods.iter().flat_map(move |method| of(method.as_str()))
    }

    /// Whether every reading is permitted by a scope.
    pub(crate) fn is_within(&self, scope: &Scope) -> bool {
        self.each().all(|reading| scope.permits(self.scheme, &reading))
    }
}
