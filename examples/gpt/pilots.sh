#!/usr/bin/env bash
# Ten pilot runs of etastar.train.gpt: five peak LRs, two horizons, two shapes, ten seeds.
# 112,000 steps of 128 bytes, about ten minutes on two cores. Run it again after a kill: what is
# finished is not repeated.
set -euo pipefail
cd "$(dirname "$0")"
PYTHON=${PYTHON:-../../.venv/bin/python}
JOBS=${JOBS:-2}
runs() {
  echo wsd:peak=1e-3,horizon=14000,warmup=200,cooldown=0.25 0
  echo cosine:peak=2e-3,horizon=14000,warmup=200 1
  echo wsd:peak=4e-3,horizon=14000,warmup=200,cooldown=0.25 2
  echo cosine:peak=5e-4,horizon=14000,warmup=200 3
  echo wsd:peak=2.5e-4,horizon=14000,warmup=200,cooldown=0.25 4
  echo cosine:peak=1e-3,horizon=14000,warmup=200 5
  echo wsd:peak=2e-3,horizon=7000,warmup=200,cooldown=0.25 6
  echo cosine:peak=1e-3,horizon=7000,warmup=200 7
  echo cosine:peak=4e-3,horizon=7000,warmup=200 8
  echo wsd:peak=5e-4,horizon=7000,warmup=200,cooldown=0.25 9
}
runs | while read -r spec seed; do
  shape=${spec%%:*}
  keys=${spec#*:}
  peak=${keys#peak=}
  horizon=${keys#*horizon=}
  echo "$spec" "$seed" "${shape}_${peak%%,*}_${horizon%%,*}"
done | xargs -P "$JOBS" -L 1 bash -c '"$0" -m etastar.train.gpt --eval-every 200 \
  --schedule "$1" --seed "$2" --out pilots --name "$3"' "$PYTHON"
