//! Fuzzes `roadstead_fuzz::ipld::properties::hostile_directory`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead_fuzz::ipld::properties;

fuzz_target!(|bytes: &[u8]| properties::hostile_directory(bytes));
