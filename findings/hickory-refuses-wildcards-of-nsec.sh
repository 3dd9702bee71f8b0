#!/usr/bin/env bash
# hickory-resolver 0.26.3: valid answers that a wildcard makes in a zone signed with NSEC are refused as not validated.
#
# One would expect that an answer which `delv` (bind's validating resolver) calls "fully validated" is taken by
# hickory-resolver with the same key as its trust anchor.
#
# What happens: it is taken where the name has two labels or more in the place of the `*`, and refused where it has
# one: `a.finding.test` below `*.finding.test`. With NSEC3 in the place of NSEC both are taken. It fails closed: a
# valid answer is refused, and no forged one is taken. hickory-dns#3812 is about the same.
#
# Needs cargo, bind 9.16 or later (named, dig, delv) and, at first, a network for the crates. Everything else is on
# 127.0.0.1. Prints what either says of each name, and fails if that is no more as said.
set -euo pipefail
work=$(mktemp -d)
daemon=
finish() {
  if [ -n "$daemon" ]; then
    kill -TERM "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  rm -rf "$work"
}
trap finish EXIT
cd "$work"
port=${PORT:-5399}

mkdir src
cat >Cargo.toml <<'END'
[package]
name = "finding"
version = "0.1.0"
edition = "2024"
[dependencies]
hickory-resolver = { version = "=0.26.3", default-features = false, features = ["tokio", "dnssec-ring"] }
tokio = { version = "1", features = ["macros", "rt-multi-thread"] }
END
# Arguments: the port, the file with the keys of the zone, the names.
cat >src/main.rs <<'END'
use std::fs;
use std::net::Ipv4Addr;
use std::sync::Arc;

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::proto::dnssec::TrustAnchors;
use hickory_resolver::proto::rr::RecordType;

#[tokio::main]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let port: u16 = arguments.next().unwrap().parse().unwrap();
    let anchors: TrustAnchors =
        fs::read_to_string(arguments.next().unwrap()).unwrap().parse().unwrap();
    let mut server = NameServerConfig::udp_and_tcp(Ipv4Addr::LOCALHOST.into());
    for connection in &mut server.connections {
        connection.port = port;
    }
    let config = ResolverConfig::from_name_servers(vec![server]);
    let builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let resolver = builder.with_trust_anchor(Arc::new(anchors)).build().unwrap();
    for name in arguments {
        let said = match resolver.lookup(format!("{name}."), RecordType::TXT).await {
            Ok(found) if found.answers().iter().all(|record| record.proof.is_secure()) => "taken".to_owned(),
            Ok(found) => format!("not proven: {:?}", found.answers()),
            Err(error) => format!("refused: {error}"),
        };
        println!("{name} {said}");
    }
}
END
cargo build --quiet

for zone in nsec nsec3; do
  parameters=
  [ "$zone" = nsec ] || parameters='nsec3param iterations 0 optout no salt-length 0;'
  mkdir "$zone"
  printf '%s\n' '$TTL 60' '@ SOA ns hostmaster 1 3600 600 86400 60' '@ NS ns' 'ns A 127.0.0.1' '* TXT "wildcard"' \
    'real TXT "real"' >"$zone/zone"
  cat >>named.conf <<END
dnssec-policy "$zone" { keys { csk lifetime unlimited algorithm ecdsap256sha256; }; $parameters };
zone "$zone.test" { type primary; file "$zone/zone"; key-directory "$zone"; dnssec-policy "$zone"; inline-signing yes; };
END
done
cat >>named.conf <<END
options {
  directory "$work"; listen-on port $port { 127.0.0.1; }; listen-on-v6 { none; }; recursion no; dnssec-validation no;
  pid-file "named.pid"; session-keyfile "session.key";
};
controls { };
END
named -g -c named.conf >log 2>&1 &
daemon=$!
ask() { dig @127.0.0.1 -p "$port" +time=1 +tries=1 "$@"; }
is_different=
for zone in nsec.test nsec3.test; do
  until ask +short +dnssec TXT "real.$zone" | grep -q 'TXT 13'; do
    kill -0 "$daemon"
    sleep 0.2
  done
  ask +noall +answer DNSKEY "$zone" >"$zone.key"
  {
    echo 'trust-anchors {'
    ask +short DNSKEY "$zone" | awk -v zone="$zone" '{
      key = ""; for (field = 4; field <= NF; field++) key = key $field
      printf "  \"%s\" static-key %s %s %s \"%s\";\n", zone, $1, $2, $3, key }'
    echo '};'
  } >"$zone.anchors"
  names="real.$zone a.$zone a.b.$zone"
  # shellcheck disable=SC2086 # several names
  ./target/debug/finding "$port" "$zone.key" $names >"$zone.said"
  for name in $names; do
    delv=$(delv @127.0.0.1 -p "$port" -a "$zone.anchors" +root="$zone" TXT "$name" 2>&1 | grep '^;' | head -n 1)
    said=$(sed -n "s/^$name //p" "$zone.said")
    echo "$name: delv says \"${delv#; }\", hickory-resolver: $said"
    expected=taken
    [ "$name" != a.nsec.test ] || expected=refused
    case "$delv $said" in
      "; fully validated $expected"*) ;;
      *) is_different=yes ;;
    esac
  done
done
if [ -n "$is_different" ]; then
  echo "that is not what is said above" >&2
  exit 1
fi
