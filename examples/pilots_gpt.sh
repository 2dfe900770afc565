#!/usr/bin/env bash
# Pilots of etastar.train.gpt, designed and run, and the plan they give: a few minutes on two cores.
# Run it again after a kill: what is finished is not repeated.
set -euo pipefail
BIN=${BIN:-$(cd "$(dirname "$0")/.." && pwd)/.venv/bin}
OUT=${OUT:-pilots_gpt}
HORIZON=${HORIZON:-16000}
BUDGET=${BUDGET:-16000}
"$BIN/etastar" pilot --horizon "$HORIZON" --budget "$BUDGET" --peak 5e-4,8e-3 --warmup 100 \
  --jobs "${JOBS:-2}" --out "$OUT" -- \
  "$BIN/python" -m etastar.train.gpt --schedule {schedule} --seed {seed} --out {out} --name {name}
"$BIN/etastar" plan "$OUT" --horizon "$HORIZON" --out "$OUT/plan"
