#!/usr/bin/env bash
# From recordings on a disk to a bundle at work: import, check, count, experiment, bundle, demo. Goes on where it stopped.
#   ops/experiments/reproduce.sh [FOLDER of EmoDB's four classes, with labels.csv]
# The tables are kept in ops/experiments/RESULTS.md, everything else in .undertone/reproduce.
set -euo pipefail
cd "$(dirname "$0")/../.."

recordings=${1:-../shared/data/emodb4}
out=.undertone/reproduce
undertone=.venv/bin/undertone

make --no-print-directory .venv/test.stamp
mkdir -p "$out"
[ -d "$out/emodb4" ] || $undertone corpus import folder "$recordings" "$out/emodb4"
$undertone corpus check "$out/emodb4"
$undertone corpus statistics "$out/emodb4" --scheme emodb --markdown "$out/statistics.md" --png "$out/statistics.png"
$undertone experiment run ops/experiments/reproduce.yaml --out "$out/experiment"
$undertone train "$out/emodb4" "$out/bundle" --name demo --feature functionals-2 --copies lines-and-speeds \
  --cache "$out/experiment/cache"
{
  echo "# Results: the paper's path on EmoDB's four classes"
  echo
  echo "Made by \`ops/experiments/reproduce.sh\`, which also makes the figures, the HTML report and the bundle."
  echo
  sed 's/^#/##/' "$out/statistics.md"
  echo
  # Figures stay beside the report.
  sed -e 's/^#/##/' -e '/^!\[/d' "$out/experiment/report.md"
  echo
  sed 's/^#/##/' "$out/bundle/CARD.md"
} | cat -s > ops/experiments/RESULTS.md
make --no-print-directory demo BUNDLE="$out/bundle"
