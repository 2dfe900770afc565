#!/usr/bin/env bash
# Ten pilot runs of etastar.train.gpt: five peak LRs, two horizons, two shapes, ten seeds.
# About 24,000 steps, ten minutes on two cores. Run it again after a kill: finished runs stay.
set -euo pipefail
cd "$(dirname "$0")"
PYTHON=${PYTHON:-../../.venv/bin/python}
JOBS=${JOBS:-2}
runs() {
  echo wsd:peak=2e-3,horizon=3000,warmup=100,cooldown=0.25 0
  echo cosine:peak=4e-3,horizon=3000,warmup=100 1
  echo wsd:peak=8e-3,horizon=3000,warmup=100,cooldown=0.25 2
  echo cosine:peak=1e-3,horizon=3000,warmup=100 3
  echo cosine:peak=2e-3,horizon=3000,warmup=100 4
  echo wsd:peak=5e-4,horizon=3000,warmup=100,cooldown=0.25 5
  echo wsd:peak=4e-3,horizon=1500,warmup=100,cooldown=0.25 6
  echo cosine:peak=2e-3,horizon=1500,warmup=100 7
  echo wsd:peak=1e-3,horizon=1500,warmup=100,cooldown=0.25 8
  echo cosine:peak=8e-3,horizon=1500,warmup=100 9
}
runs | while read -r spec seed; do
  shape=${spec%%:*}
  keys=${spec#*:}
  peak=${keys#peak=}
  horizon=${keys#*horizon=}
  echo "$spec" "$seed" "${shape}_${peak%%,*}_${horizon%%,*}"
done | xargs -P "$JOBS" -L 1 bash -c '"$0" -m etastar.train.gpt --batch 8 --eval-every 50 \
  --schedule "$1" --seed "$2" --out pilots --name "$3"' "$PYTHON"
