# shellcheck shell=bash
# Shared settings of the Asterisk test bed. Every one can be overridden from the environment.
# Nothing here is fetched or installed outside $VCOND_AST_CACHE and $VCOND_AST_RUN.
KIT=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)

: "${VCOND_AST_CACHE:=${XDG_CACHE_HOME:-$HOME/.cache}/vcond-asterisk}" # downloaded+unpacked root
: "${VCOND_AST_SUITE:=sid}"            # Debian suite that has asterisk
# the Debian mirror that this machine already uses
: "${VCOND_AST_MIRROR:=$(apt-get indextargets --format '$(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' 2>/dev/null | grep -v security | head -n 1 | sed 's#/*$##')}"
: "${VCOND_AST_SOUNDS:=wav g722}"      # prompt formats to unpack
: "${VCOND_AST_DEBDIR:=}"              # a folder of saved .deb files: pins the version, no network
: "${VCOND_AST_SAVE_DEBS:=}"           # asterisk-build copies the .deb files it used to this folder
: "${VCOND_AST_KEYRING:=/usr/share/keyrings/debian-archive-keyring.gpg}"

: "${VCOND_AST_ROLE:=pbx}"             # pbx | phones (a second Asterisk used as SIP phones)
: "${VCOND_AST_HOST:=127.0.0.1}"
# the other side's SIP port, so that pbx and phones find one another
if [ "$VCOND_AST_ROLE" = phones ]; then
  : "${VCOND_AST_HTTP_PORT:=8089}" "${VCOND_AST_SIP_PORT:=15062}" "${VCOND_AST_PEER_SIP_PORT:=15060}"
  : "${VCOND_AST_RTP_START:=18200}" "${VCOND_AST_RTP_END:=18398}"
else
  : "${VCOND_AST_HTTP_PORT:=8088}" "${VCOND_AST_SIP_PORT:=15060}" "${VCOND_AST_PEER_SIP_PORT:=15062}"
  : "${VCOND_AST_RTP_START:=18000}" "${VCOND_AST_RTP_END:=18198}"
fi
: "${VCOND_AST_CHANNELVARS:=CHANNEL(linkedid)}" # in every event; "none" for a PBX without that setting
: "${VCOND_AST_ARI_USER:=vcond}" "${VCOND_AST_ARI_PASSWORD:=vcond-test}"
: "${VCOND_AST_RUN:=${TMPDIR:-/tmp}/vcond-asterisk-$(id -u)-$VCOND_AST_ROLE-$VCOND_AST_HTTP_PORT}"
export VCOND_AST_CACHE VCOND_AST_RUN

AST_ROOT=$VCOND_AST_CACHE/root
AST_LIB=$AST_ROOT/usr/lib/$(dpkg --print-architecture | sed 's/amd64/x86_64/;s/arm64/aarch64/')-linux-gnu
ast_ldso() { local f; for f in "$AST_LIB"/ld-linux-*.so.*; do [ -e "$f" ] && { echo "$f"; return; }; done; return 1; }
# Run the private asterisk with its own loader and libc; the host's libraries are never looked at.
# argv0 stays "asterisk" so that ps shows what it is.
ast_exec() { exec -a asterisk "$(ast_ldso)" --inhibit-cache --library-path "$AST_LIB" "$AST_ROOT/usr/sbin/asterisk" "$@"; }
log() { printf 'asterisk-kit: %s\n' "$*" >&2; }
die() { log "ERROR: $*"; exit 1; }
