#!/usr/bin/env bash
# fresh.sh SUITE [COMMAND]: COMMAND (default: make demo && make test, with CI=true) in a Debian SUITE (bookworm, trixie) that
# holds nothing but git, make and python3, on a clone of this checkout's HEAD. Run by `make fresh`.
# Root only; needs mmdebstrap. FRESH=DIR keeps the root in DIR/SUITE and uses it again; else it is gone at the end.
# Mirror, proxy settings and certificates are this machine's. What runs inside ends with it; the machine is not touched.
set -euo pipefail
suite=${1:?usage: fresh.sh SUITE [COMMAND]}; shift
say() { printf '%s\n' "fresh: $*" >&2; }
export TOP; TOP=$(cd "$(dirname "$0")/.." && pwd -P)
[ "$(id -u)" = 0 ] || { say "only root can make a root file system"; exit 1; }
command -v mmdebstrap >/dev/null || { say "missing: mmdebstrap. Install it with:  apt-get install mmdebstrap"; exit 1; }
mirror=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' | grep -v security | head -n 1 || true)
[ -n "$mirror" ] || { say "apt knows no Debian mirror here: run apt-get update"; exit 1; }

if [ -n "${FRESH:-}" ]; then root=$FRESH/$suite; mkdir -p "$root"
else root=$(mktemp -d); trap 'rm -rf --one-file-system "$root"' EXIT; fi
if [ ! -e "$root/etc/debian_version" ]; then
  say "making a Debian $suite"
  mmdebstrap --quiet --variant=minbase --include=git,make,python3,ca-certificates "$suite" "$root" "$mirror"
fi
cp /etc/resolv.conf /etc/hosts "$root/etc/"
cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"
for file in /etc/apt/apt.conf.d/*; do # how this machine reaches its mirror; not what programs that the root lacks have put there
  case $file in *docker* | *packagekit* | *appstream*) ;; *) cp "$file" "$root/etc/apt/apt.conf.d/" ;; esac
done
rm -rf "$root/srv/vcond"
git -c safe.directory='*' clone -q "$TOP" "$root/srv/vcond"

keep=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 CI=true)
keep+=(PIP_CERT=/etc/ssl/certs/ca-certificates.crt)
for name in PIP_INDEX_URL PIP_DEFAULT_TIMEOUT HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
  [ -z "${!name:-}" ] || keep+=("$name=${!name}")
done
say "running in $suite: ${*:-make demo && make test}"
# Mounts and processes of its own: all of them are gone when the command is.
unshare --mount --propagation private --pid --fork --kill-child bash -euc '
  root=$1; shift
  mount --bind "$root" "$root" # buildah makes "/" private, which only a mount can be
  mount -t proc proc "$root/proc"
  mount --rbind --make-rslave /sys "$root/sys"
  mount --rbind --make-rslave /dev "$root/dev"
  chroot "$root" env -i "$@"
' fresh "$root" "${keep[@]}" bash -c "cd /srv/vcond && ${*:-make demo && make test}"
