//! The tests of the whole: one binary, a folder for each subject. `docs/TESTING.md` says what each is for.
//!
//! The behaviour suites, which run each case on each driver, are binaries of their own.

mod abuse;
mod accounts;
mod api;
mod architecture;
mod circles;
mod cli;
mod client;
mod clients;
mod collection;
#[allow(dead_code, reason = "the behaviour suites and the benchmark use the rest")]
mod common;
mod config;
mod deploy;
mod dnslink;
mod docs;
mod durability;
mod durations;
mod examples;
mod faults;
mod federation;
mod golden;
mod ipld_car;
mod ipld_directories;
mod ipld_files;
mod ipld_kubo;
mod ipld_vectors;
mod kubo;
mod kubo_node;
mod names;
mod postgres;
mod publish;
mod remote;
mod replicas;
mod settings_properties;
