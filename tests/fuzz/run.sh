#!/usr/bin/env bash
# Fuzzes every target for a while (seconds per target, default 60) and fails if one of them finds something.
# Needs a nightly toolchain and cargo-fuzz (`cargo install cargo-fuzz`).
set -euo pipefail
cd "$(dirname "$0")"
seconds=${1:-60}

cargo run --quiet --release --example seeds
for target in torch_zip pickle safetensors layout; do
    echo "== $target, $seconds s"
    # Far more than any file of this size may cost, sanitizers included.
    cargo +nightly fuzz run --fuzz-dir . "$target" -- \
        -max_total_time="$seconds" -max_len=400000 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1
done
