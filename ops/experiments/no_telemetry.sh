#!/bin/bash
# Counts every packet that would leave this machine while the whole demo runs, native code and Java included: a network
# namespace in which all addresses but loopback lie behind an interface that leads nowhere. Asks for root:
#   sudo unshare -n bash ops/experiments/no_telemetry.sh
set -eu
cd "$(dirname "$0")/../.."
sent() { awk '/v0:/ { print $11 }' /proc/net/dev; }
ip link set lo up
ip link add v0 type veth peer name v1
for side in v0 v1; do ip link set "$side" addrgenmode none; ip link set "$side" up; done
ip addr add 10.99.0.1/24 dev v0
ip neigh add 10.99.0.254 lladdr 02:00:00:00:00:01 dev v0
ip route add default via 10.99.0.254 dev v0
.venv/bin/python -m services.cli demo | tail -3
.venv/bin/python -m services.cli label services/standalone/samples/calm.wav --channels agent,customer | tail -3
echo "packets that would have left this machine: $(sent)"
.venv/bin/python -c 'import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("192.0.2.1", 9))'
echo "after one that was sent on purpose: $(sent)"
