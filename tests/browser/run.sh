#!/usr/bin/env bash
# Open the pages of `lora-proofs report --html SITE` in Chromium: accessibility, requests, console, filters, first paint.
# Usage: tests/browser/run.sh SITE    (needs chromium, node and npm; installs puppeteer-core and axe-core in a scratch folder)
set -euo pipefail
site=$(realpath "$1")
here=$(cd "$(dirname "$0")" && pwd)
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
cp "$here/check.mjs" "$scratch"
(cd "$scratch" && PUPPETEER_SKIP_DOWNLOAD=1 npm install --silent --no-audit --no-fund puppeteer-core@24 axe-core@4)
CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome)} \
    node "$scratch/check.mjs" "$site"
