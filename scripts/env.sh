# Sourced by the other scripts: where things are. One target folder outside the clone, so that a second clone on the
# same machine does not build the dependencies again; set CARGO_TARGET_DIR to have another.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/provolt/target}"
say() { printf '\n== %s\n' "$*" >&2; }
# Installs what is missing and puts forge and anvil on the path: the programs themselves, not npm's wrappers around
# them, which exit with 0 whatever happens.
prepare() {
  scripts/setup
  for folder in "$PWD"/node_modules/@foundry-rs/*-*/bin; do PATH="$folder:$PATH"; done
  export PATH
}
# forge reads nothing outside of the project: a copy of real meters' records where PROVOLT_DATA has them, else none.
real_records() {
  rm -rf contracts/cache/data
  [ -n "${PROVOLT_DATA:-}" ] || { say "PROVOLT_DATA is not set: tests of real data are skipped"; return 0; }
  mkdir -p contracts/cache/data
  cp -r "$PROVOLT_DATA/ocmf" contracts/cache/data/
}
