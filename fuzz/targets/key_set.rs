//! Fuzzes `roadstead_fuzz::auth::signed::properties::key_set`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead_fuzz::auth::signed::properties;

fuzz_target!(|bytes: &[u8]| properties::key_set(bytes));
