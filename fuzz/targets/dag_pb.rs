//! Fuzzes `roadstead_fuzz::ipld::properties::dag_pb`.

#![no_main]

use libfuzzer_sys::fuzz_target;
use roadstead_fuzz::ipld::properties;

fuzz_target!(|bytes: &[u8]| properties::dag_pb(bytes));
