//! Fuzzes `roadstead_fuzz::auth::properties::access_token`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead_fuzz::auth::properties;

fuzz_target!(|bytes: &[u8]| properties::access_token(bytes));
