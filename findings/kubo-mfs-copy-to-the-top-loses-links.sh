#!/usr/bin/env bash
# Kubo v0.43.0: a copy to the top of the node's files loses links that others make below another folder.
#
# One would expect that `ipfs files cp /ipfs/CID /other` has nothing to do with `ipfs files cp /ipfs/CID /mine/NAME`:
# the names are in different folders, and each copy is acknowledged only when it is on the disk.
#
# What happens: a copy flushes the folder that it was made in, here `/`, and that drops what the node has in memory of
# every folder below. A copy to `/mine/NAME` that runs meanwhile goes on in the dropped one. Most of these end with
# 500, "cannot flush the created file … file does not exist"; of those that were answered 200, some are not there
# afterwards. `files/mkdir` at the top does no such harm: with it none is lost, and none fails.
#
# Prints how many of the acknowledged links are missing in either case, and fails if that is no more as said.
set -euo pipefail
work=$(mktemp -d)
daemon=
finish() {
  if [ -n "$daemon" ]; then
    kill -TERM "$daemon" 2>/dev/null || true
    wait "$daemon" 2>/dev/null || true
  fi
  chmod -R u+w "$work" && rm -rf "$work"
}
trap finish EXIT
cd "$work"

go mod init example.com/finding >/dev/null 2>&1
go get github.com/ipfs/kubo/cmd/ipfs@v0.43.0 >/dev/null 2>&1
go build -o ipfs github.com/ipfs/kubo/cmd/ipfs
./ipfs version

export IPFS_PATH=$work/repo IPFS_TELEMETRY=off
./ipfs init --empty-repo >/dev/null
./ipfs config Addresses.API /ip4/127.0.0.1/tcp/0
./ipfs config Addresses.Gateway /ip4/127.0.0.1/tcp/0
./ipfs config --json Addresses.Swarm '[]'
./ipfs config --json Bootstrap '[]'
./ipfs config --json AutoConf.Enabled false
./ipfs config --json AutoTLS.Enabled false
./ipfs config --json DNS.Resolvers '{}'
./ipfs config --json Ipns.DelegatedPublishers '[]'
./ipfs config --json Provide.Enabled false
./ipfs config --json Routing '{"Type": "none", "DelegatedRouters": []}'
./ipfs daemon --offline >log 2>&1 &
daemon=$!
until [ -s repo/api ] && ./ipfs id >/dev/null 2>&1; do
  kill -0 "$daemon"
  sleep 0.1
done
api=http://127.0.0.1:$(sed 's|.*/||' repo/api)/api/v0

# An empty directory, which every node has.
cid=bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354
post() { curl --silent --output /dev/null --write-out '%{http_code}' -X POST "$@"; }

# Makes 2,400 links below /$1 by eight clients, while copies or folders ($2) are made at the top; prints what was
# acknowledged of them.
requests() { # $1: the folder, $2: the client
  for number in $(seq 300); do
    name=$(((number + $2) % 8))/$2-$number
    printf 'url = "%s"\noutput = /dev/null\nwrite-out = "%%{http_code} %s\\n"\nrequest = POST\nsilent\nnext\n' \
      "$api/files/cp?offline=true&arg=/ipfs/$cid&arg=/$1/$name" "$name"
  done | sed '$d'
}
try() {
  for folder in 0 1 2 3 4 5 6 7; do post "$api/files/mkdir?parents=true&arg=/$1/$folder" >/dev/null; done
  post "$api/files/flush?arg=/" >/dev/null
  for client in 1 2 3 4 5 6 7 8; do requests "$1" "$client" >"requests-$1-$client"; done
  (
    number=0
    while [ ! -e "over-$1" ]; do
      number=$((number + 1))
      post "$api/files/$2&arg=/$1-other-$number" >/dev/null
    done
  ) &
  other=$!
  writers=()
  for client in 1 2 3 4 5 6 7 8; do
    curl --config "requests-$1-$client" >"answers-$1-$client" &
    writers+=($!)
  done
  wait "${writers[@]}"
  touch "over-$1"
  wait "$other"
  for folder in 0 1 2 3 4 5 6 7; do ./ipfs files ls "/$1/$folder" | sed "s|^|$folder/|"; done | sort >"there-$1"
  sed -n 's/^200 //p' "answers-$1"-* | sort >"made-$1"
  lost=$(comm -23 "made-$1" "there-$1" | wc -l)
  failed=$(cat "answers-$1"-* | grep -vc '^200 ' || true)
  echo "$3 at the top meanwhile: $(wc -l <"made-$1") links acknowledged, $lost of them missing, $failed refused"
}

try copies "cp?offline=true&arg=/ipfs/$cid" "copies"
harmed=$((lost + failed))
try directories "mkdir?cid-version=1" "mkdir"
if [ "$harmed" = 0 ] || [ "$lost" != 0 ] || [ "$failed" != 0 ]; then
  echo "that is not what is said above" >&2
  exit 1
fi
