//! Fuzzes `roadstead_fuzz::auth::signed::properties::signed_token`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead_fuzz::auth::signed::properties;

fuzz_target!(|bytes: &[u8]| properties::signed_token(bytes));
