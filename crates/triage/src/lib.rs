//! Weighs. A reviewer model is put a question in typed facts and says what it
//! would answer; whoever asked decides what that is worth.
#![forbid(unsafe_code)]
