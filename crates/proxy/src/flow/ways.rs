//! What is done with each protocol.

use std::sync::Arc;

use bytes::BytesMut;
use remit_policy::{Cache, Handling, Scheme};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional, duplex};
use tokio::net::TcpStream;

use super::{Begun, Flow, Next, Stop};
use crate::agent::Agent;
use crate::data::Watch;
use crate::http::Inspected;
use crate::shared::Shared;
use crate::{Fact, Gate, postgres, ssh, tls};

impl<G: Gate> Flow<G> {
    /// Writes down what is spoken, and whether it was looked into.
    fn seen(&self, name: &'static str, inspected: bool) {
        self.gate.noted(Fact::Protocol { name, inspected });
    }

    /// What need not be looked into.
    pub(super) async fn other(&mut self, began: Begun) -> Next {
        self.seen("other", false);
        match self.both(began).await {
            Ok((agent, upstream)) => Next::Carry(agent, upstream),
            Err(reason) => Next::Ended(reason),
        }
    }

    /// Requests in the clear.
    pub(super) async fn http(&mut self, began: Begun) -> Next {
        if self.handling.cache == Cache::Only {
            self.seen("http", true);
            let Begun { stream, ahead, .. } = began;
            let agent = Agent::new(stream, ahead, Arc::clone(&self.meter));
            return Next::Ended(self.answer_kept(Scheme::Http, agent).await);
        }
        let (agent, upstream) = match self.both(began).await {
            Ok(both) => both,
            Err(reason) => return Next::Ended(reason),
        };
        self.seen("http", true);
        let inspected = self.inspected(Scheme::Http);
        Next::Ended(inspected.one(agent, upstream).await)
    }

    /// TLS: carried when it names the host that was permitted, or ended here.
    pub(super) async fn tls(&mut self, began: Begun) -> Next {
        let Begun { mut stream, ahead, upstream } = began;
        let mut read = BytesMut::from(ahead);
        let seen = match tls::read(&mut stream, &mut read).await {
            Ok(seen) => seen,
            Err(error) => {
                let stop = Stop::Failed(format!("`{}`: {error}", self.connect));
                return Next::Ended(self.stop(stream, stop).await);
            }
        };
        let way = match tls::judge(&self.connect, &self.handling, &seen.hello) {
            Ok(way) => way,
            Err(refusal) => {
                let stop = Stop::Refused(refusal);
                return Next::Ended(self.stop(stream, stop).await);
            }
        };
        if self.handling.cache == Cache::Only {
            self.seen("tls", true);
            let agent = Agent::new(stream, read.freeze(), Arc::clone(&self.meter));
            return Next::Ended(self.answer_kept_in_tls(&seen.hello, agent).await);
        }
        let began = Begun { stream, ahead: read.freeze(), upstream };
        let (mut agent, mut upstream) = match self.both(began).await {
            Ok(both) => both,
            Err(reason) => return Next::Ended(reason),
        };
        self.seen("tls", way == tls::Way::Inspect);
        if way == tls::Way::Inspect {
            return Next::Ended(self.inspect(&seen.hello, agent, upstream).await);
        }
        match tls::greet(&self.connect, &seen, &mut agent, &mut upstream).await {
            Ok(()) => Next::Carry(agent, upstream),
            // What is said now is encrypted: nothing can be told.
            Err(stop) => Next::Ended(self.note(&stop)),
        }
    }

    /// Ends TLS here, begins it anew, and judges the requests in it.
    async fn inspect(
        &mut self,
        hello: &tls::Hello,
        agent: Agent,
        upstream: TcpStream,
    ) -> &'static str {
        let Some(tls) = self.shared.tls.clone() else {
            return self.stop_without_authority(agent).await;
        };
        match tls::inspect(&tls, &self.connect, hello, agent, upstream).await {
            Ok(tls::Inspected { agent, upstream, http }) => {
                let inspected = self.inspected(Scheme::Https);
                match http {
                    tls::Http::One => inspected.one(agent, upstream).await,
                    tls::Http::Two => Arc::new(inspected).two(agent, upstream).await,
                }
            }
            Err(stop) => self.note(&stop),
        }
    }

    /// Ends TLS here, for a host that is not dialled.
    async fn answer_kept_in_tls(&mut self, hello: &tls::Hello, agent: Agent) -> &'static str {
        let Some(tls) = self.shared.tls.clone() else {
            return self.stop_without_authority(agent).await;
        };
        match tls::inspect_alone(&tls, &self.connect, hello, agent).await {
            Ok(agent) => self.answer_kept(Scheme::Https, agent).await,
            Err(stop) => self.note(&stop),
        }
    }

    /// Answers requests from the cache. Nothing is dialled: the host of this
    /// connection never says a word, and nothing is said to it.
    async fn answer_kept<A>(&self, scheme: Scheme, agent: A) -> &'static str
    where
        A: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let (host, _silent) = duplex(1);
        self.inspected(scheme).one(agent, host).await
    }

    async fn stop_without_authority(&self, agent: Agent) -> &'static str {
        let refusal = self.refusal(
            "network: inspection needs an authority, which this session was started without",
            "the same in a new session",
        );
        let (stream, _) = agent.into_parts();
        self.stop(stream, Stop::Refused(refusal)).await
    }

    fn inspected(&self, scheme: Scheme) -> Inspected<G, Watch<G>> {
        let Shared { credentials, answers, .. } = &*self.shared;
        let (credentials, answers) = (Arc::clone(credentials), answers.clone());
        let hooks = Watch::new(self.gate.clone(), &self.handling, credentials, answers);
        let (gate, connect) = (self.gate.clone(), self.connect.clone());
        Inspected { gate, connect, scheme, hooks, is_crowded: self.shared.is_crowded() }
    }

    /// SSH: watched until the host has shown its key, or ended here.
    pub(super) async fn ssh(&mut self, began: Begun) -> Next {
        if self.handling.ssh.is_some() {
            return Next::Ended(self.commands(began).await);
        }
        let (mut agent, mut upstream) = match self.both(began).await {
            Ok(both) => both,
            Err(reason) => return Next::Ended(reason),
        };
        match ssh::watch(&self.gate, &mut agent, &mut upstream).await {
            Ok(()) => Next::Carry(agent, upstream),
            Err(_) => Next::Ended("broken off"),
        }
    }

    /// Ends SSH here, and judges the command in it.
    async fn commands(&mut self, began: Begun) -> &'static str {
        let Begun { stream, ahead, .. } = began;
        let Some(keys) = self.shared.ssh.clone() else {
            let refusal = self.refusal(
                "network: judging SSH commands needs a key, which this session was started without",
                "the same in a new session",
            );
            return self.stop(stream, Stop::Refused(refusal)).await;
        };
        let agent = Agent::new(stream, ahead, Arc::clone(&self.meter));
        match ssh::carry(self, agent, &keys).await {
            Ok(reason) => reason,
            Err(stop) => self.note(&stop),
        }
    }

    /// PostgreSQL: read until it is encrypted, or begun.
    pub(super) async fn postgres(&mut self, began: Begun) -> Next {
        let (mut agent, mut upstream) = match self.both(began).await {
            Ok(both) => both,
            Err(reason) => return Next::Ended(reason),
        };
        match postgres::negotiate(&self.gate, &mut agent, &mut upstream).await {
            Ok(postgres::Next::Carry) => Next::Carry(agent, upstream),
            Ok(postgres::Next::Tls) => self.postgres_in_tls(agent, upstream).await,
            Err(stop) => Next::Ended(self.note(&stop)),
        }
    }

    async fn postgres_in_tls(&mut self, mut agent: Agent, mut upstream: TcpStream) -> Next {
        let mut read = BytesMut::new();
        let seen = match tls::read(&mut agent, &mut read).await {
            Ok(seen) => seen,
            Err(error) => {
                return Next::Ended(
                    self.note(&Stop::Failed(format!("`{}`: {error}", self.connect))),
                );
            }
        };
        agent.put_back(read.freeze());
        // It is no HTTP, of which inspection would be.
        let named = Handling { inspect: false, ..self.handling.clone() };
        if let Err(refusal) = tls::judge(&self.connect, &named, &seen.hello) {
            return Next::Ended(self.note(&Stop::Refused(refusal)));
        }
        let Some(tls) = self.shared.tls.clone().filter(|_| self.handling.inspect) else {
            return match tls::greet(&self.connect, &seen, &mut agent, &mut upstream).await {
                Ok(()) => Next::Carry(agent, upstream),
                Err(stop) => Next::Ended(self.note(&stop)),
            };
        };
        let inspected = tls::inspect(&tls, &self.connect, &seen.hello, agent, upstream).await;
        let tls::Inspected { mut agent, mut upstream, .. } = match inspected {
            Ok(inspected) => inspected,
            Err(stop) => return Next::Ended(self.note(&stop)),
        };
        if let Err(stop) = postgres::within_tls(&self.gate, &mut agent, &mut upstream).await {
            return Next::Ended(self.note(&stop));
        }
        Next::Ended(match copy_bidirectional(&mut agent, &mut upstream).await {
            Ok(_) => "closed",
            Err(_) => "broken off",
        })
    }
}
