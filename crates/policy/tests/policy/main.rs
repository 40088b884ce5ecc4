//! What a policy promises, tried through its public face.
#![forbid(unsafe_code)]

mod answers;
mod commands;
mod common;
mod corpus;
mod dialect;
mod egress;
mod forecast;
mod fuzz;
mod laws;
mod loading;
mod network;
mod real_shell;
mod reference;
mod requests;
mod review;
mod tiers;
mod uploads;
