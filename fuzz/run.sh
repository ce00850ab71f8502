#!/bin/sh
# Builds the fuzz targets with the stable compiler and runs one: run.sh TARGET [libFuzzer's options]
set -eu
cd "$(dirname "$0")"
coverage="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-inline-8bit-counters"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-pc-table"
coverage="$coverage -Cllvm-args=-sanitizer-coverage-trace-compares"
host=$(rustc -vV | sed -n 's/^host: //p')
RUSTFLAGS="$coverage -Ccodegen-units=1 --cfg fuzzing" cargo build --quiet --release --target "$host"
target=$1
shift
mkdir -p artifacts/"$target" found/"$target"
exec "target/$host/release/$target" -artifact_prefix=artifacts/"$target"/ "$@" found/"$target" corpus/"$target"
