//! Fuzzes `roadstead_fuzz::http::properties::form`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead_fuzz::http::properties;

fuzz_target!(|bytes: &[u8]| properties::form(bytes));
