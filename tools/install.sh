#!/bin/sh
# Installs vcond on this machine as a service of systemd, or brings an installed one up to this checkout. Run as root by
# `make install`. PREFIX (/opt/vcond) takes the environment, WITH=webrtc adds the packages for browsers and Janus,
# WITH=siprec those for SIPREC in other codecs than G.711 or encrypted; WITH='siprec webrtc' both.
# DESTDIR puts everything but the user and the service under another root. A configuration that is there is kept.
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
PREFIX=${PREFIX:-/opt/vcond}
WITH=${WITH:-}
ROOT=${DESTDIR:-}
say() { printf '%s\n' "install: $*" >&2; }
stop() { say "$*"; exit 1; }

[ "$(id -u)" = 0 ] || stop "this writes to $PREFIX and /etc: run it as root, for example  sudo make install"
for extra in $WITH; do
  case $extra in siprec|webrtc) ;; *) stop "WITH=$WITH is unknown: siprec and webrtc are what there is" ;; esac
done
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null ||
  stop "Python 3.11 or newer is needed: apt-get install python3 python3-venv"
"$PYTHON" -c 'import venv, ensurepip' 2>/dev/null || stop "Python's venv is missing: apt-get install python3-venv"

# 1. the environment: what the lock names, with its hashes, then vcond itself
say "installing into $PREFIX (about a minute, 480 MB)"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 PIP_ROOT_USER_ACTION=ignore
[ -x "$PREFIX/bin/python" ] || "$PYTHON" -m venv "$PREFIX"
for lock in embedded $WITH; do
  "$PREFIX/bin/python" -m pip -q install --require-hashes -r "requirements-$lock.lock"
done
"$PREFIX/bin/python" -m pip -q install --no-deps --no-build-isolation --force-reinstall .

# 2. command, configuration, units
mkdir -p "$ROOT/usr/bin" "$ROOT/etc/vcond/vcond.d" "$ROOT/etc/systemd/system/vcond.service.d"
ln -sfn "$PREFIX/bin/vcond" "$ROOT/usr/bin/vcond"
if [ -e "$ROOT/etc/vcond/vcond.toml" ]; then
  say "/etc/vcond/vcond.toml is kept as it is"
else
  cp vcond/config/sample.toml "$ROOT/etc/vcond/vcond.toml"
fi
cp systemd/vcond.service systemd/vcond.socket "$ROOT/etc/systemd/system/"
version=$(systemctl --version 2>/dev/null | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
if [ "${version:-0}" -ge 254 ]; then # it knows secrets that may be missing; LoadCredential= has a line in the log for each
  sed -i 's/^LoadCredential=/ImportCredential=/' "$ROOT/etc/systemd/system/vcond.service"
fi
case " $WITH " in *" webrtc "*) cp systemd/vcond.service.d/webrtc.conf "$ROOT/etc/systemd/system/vcond.service.d/" ;; esac
rmdir "$ROOT/etc/systemd/system/vcond.service.d" 2>/dev/null || true

SHARE="$ROOT/usr/share"
mkdir -p "$SHARE/man/man8" "$SHARE/man/man5" "$SHARE/bash-completion/completions" "$SHARE/zsh/vendor-completions" \
  "$SHARE/fish/vendor_completions.d" "$SHARE/vcond"
cp ops/* "$SHARE/vcond/"
cp man/vcond.8 "$SHARE/man/man8/"
cp man/vcond.toml.5 "$SHARE/man/man5/"
cp completions/vcond.bash "$SHARE/bash-completion/completions/vcond"
cp completions/_vcond "$SHARE/zsh/vendor-completions/"
cp completions/vcond.fish "$SHARE/fish/vendor_completions.d/"

# 3. the user that the unit names; the configuration may hold secrets, so it is for root and vcond alone
if [ -z "$ROOT" ]; then
  getent group vcond >/dev/null || groupadd --system vcond
  id vcond >/dev/null 2>&1 ||
    useradd --system --gid vcond --home-dir /var/lib/vcond --no-create-home --shell /usr/sbin/nologin vcond
  chown -R root:vcond /etc/vcond
  chmod 0750 /etc/vcond /etc/vcond/vcond.d
  chmod 0640 /etc/vcond/vcond.toml
  install -d -o vcond -g vcond -m 0700 /var/lib/vcond /var/lib/vcond-keys
  if [ -d /run/systemd/system ]; then systemctl daemon-reload; fi
fi

cat >&2 <<END
install: $("$PREFIX/bin/vcond" version) is installed. Now
  1. edit /etc/vcond/vcond.toml                   a system whose calls are recorded, a sink, this machine's name
  2. vcond setup asterisk                         what to set on the PBX (or: freeswitch, siprec, stream, twilio, webrtc, janus)
  3. vcond check                                  says what is wrong and what to do
  4. systemctl enable --now vcond                 after an upgrade: systemctl restart vcond
END
