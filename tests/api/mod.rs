//! The API over HTTP, against the binary as it is shipped: what real clients and the specification rely
//! on, and what went wrong in other registries.
//!
//! Each test has a server of its own. Requests that no HTTP library would send go through `connection`.

mod base;
mod blobs;
mod catalog;
mod conditions;
mod deletion;
mod digests;
mod errors;
mod gateway;
mod gateway_accept;
mod gateway_conformance;
mod gateway_cors;
mod gateway_ipns;
mod grants;
mod hostile;
mod interrupted;
mod kinds;
mod limits;
mod log;
mod malformed;
mod management;
mod manifests;
mod metrics;
mod mounts;
mod names;
mod ranges;
mod references;
mod referrers;
mod resent;
mod restart;
mod routing;
mod signing_in;
mod stop;
mod tags;
mod takeover;
mod tls;
mod unknown_cids;
mod unnamed;
mod upload_room;
mod uploads;
