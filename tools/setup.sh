#!/bin/sh
# Makes .venv with everything that demo and tests need, from requirements.lock (hashes checked). Run by make.
# `setup.sh test` adds the Debian packages of the peers and judges that tests start.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
say() { printf '%s\n' "setup: $*" >&2; }

need() { # need COMMAND-THAT-PROVES-IT PACKAGE...
  proof=$1; shift
  if sh -c "$proof" >/dev/null 2>&1; then return 0; fi
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing $*"
    { apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends install "$@"; } >/dev/null
  else
    say "missing: $*. Install it with:  sudo apt-get install $*"; exit 1
  fi
}

if [ "${1:-}" = test ]; then
  need "command -v systemd-analyze" systemd
  need "command -v openssl" openssl
  need "test -x /usr/lib/chromium/chromium" chromium
  exit 0
fi

need "$PYTHON -c 'import sys; sys.exit(sys.version_info < (3, 11))'" python3
need "$PYTHON -c 'import venv, ensurepip'" python3-venv
[ -x .venv/bin/python ] || { say "making .venv"; "$PYTHON" -m venv .venv; }
say "installing the packages of requirements.lock (about 40 s the first time)"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
.venv/bin/python -m pip -qq install --require-hashes -r requirements.lock
.venv/bin/python -m pip -qq install --no-deps --no-build-isolation -e .
touch .venv/.ready
