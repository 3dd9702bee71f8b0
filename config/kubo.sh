#!/bin/sh
# Prepares a Kubo node (0.43 or later) for Roadstead: docs/KUBO.md says what each setting is for.
#
#   IPFS_PATH=/var/lib/ipfs sh config/kubo.sh      while the node is stopped
#
# The image ipfs/kubo runs it at each start, from /container-init.d. It can be run again without harm.
set -eu

# Syncs blocks before they are acknowledged. Only flatfs, the usual datastore, has this switch.
ipfs config --json Datastore.Spec "$(ipfs config Datastore.Spec | sed 's/"sync": false/"sync": true/')"
ipfs config --json Datastore.BlockKeyCacheSize 262144

# Reports a missing block at once, instead of after a search of the network.
ipfs config --json Gateway.NoFetch true
ipfs config --json Gateway.NoDNSLink true
ipfs config --json Gateway.DisableHTMLErrors true
# Large layers may be pulled slowly.
ipfs config Gateway.RetrievalTimeout 2m
ipfs config Gateway.MaxRequestDuration 6h

# `ipfs add` by hand gives the CIDs that the registry gives.
ipfs config profile apply unixfs-v1-2025 >/dev/null

# Announces pinned roots only, not each block that is pushed.
ipfs config Provide.Strategy pinned+entities
ipfs config --json Import.FastProvideRoot false

ipfs config --json Swarm.ConnMgr '{"LowWater": 100, "HighWater": 400}'
ipfs config Internal.ShutdownTimeout 60s
