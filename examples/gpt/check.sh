#!/usr/bin/env bash
# What the plan is held against: trainings at four times the longest pilot's horizon.
#   check.sh grid            cosine and WSD at peak LRs on a grid of ratio 2, one seed
#   check.sh seeds SPEC...   each schedule (a spec or a schedule.json) with seeds 0, 1, 2
# About three minutes a run on one core. Run it again after a kill: finished runs stay.
set -euo pipefail
cd "$(dirname "$0")"
PYTHON=${PYTHON:-../../.venv/bin/python}
JOBS=${JOBS:-2}
OUT=${OUT:-check}
HORIZON=56000

name() {
  case $1 in
    *.json) echo "$(basename "${1%.json}")" ;;
    *)
      local keys=${1#*:}
      local peak=${keys#*peak=}
      echo "${1%%:*}_${peak%%,*}"
      ;;
  esac
}

runs() {
  local mode=$1
  shift
  case $mode in
    grid)
      for peak in 1e-3 5e-4 2e-3 2.5e-4; do
        for spec in "cosine:peak=$peak,horizon=$HORIZON,warmup=200" \
          "wsd:peak=$peak,horizon=$HORIZON,warmup=200,cooldown=0.2"; do
          echo "$spec" 0 "$(name "$spec")_seed0"
        done
      done
      ;;
    seeds)
      for spec in "$@"; do
        for seed in 0 1 2; do echo "$spec" $seed "$(name "$spec")_seed$seed"; done
      done
      ;;
    *)
      echo "usage: check.sh grid | check.sh seeds SPEC..." >&2
      exit 2
      ;;
  esac
}

runs "$@" | xargs -P "$JOBS" -L 1 bash -c '"$0" -m etastar.train.gpt \
  --eval-every 1000 --schedule "$1" --seed "$2" --out '"$OUT"' --name "$3"' "$PYTHON"
