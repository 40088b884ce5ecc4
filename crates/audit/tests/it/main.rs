//! The record as its users meet it: in real directories, through the public API.
#![forbid(unsafe_code)]

mod common;
mod record;
mod tamper;
