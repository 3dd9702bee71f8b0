//! Fuzzes `roadstead_fuzz::ipld::properties::unixfs`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead_fuzz::ipld::properties;

fuzz_target!(|bytes: &[u8]| properties::unixfs(bytes));
