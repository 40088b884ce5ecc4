//! What a policy promises, tried through its public face.

mod commands;
mod common;
mod laws;
mod loading;
mod network;
