#!/bin/sh
# Installs, by apt and as root, the programs of Debian packages that are missing; else says which.
# Usage: prerequisites.sh [appliance|tests]
#   appliance  what `make appliance` needs
#   tests      that, and what the tests start besides (a browser, a broker, a database)
# Nothing is started: retaild and the tests start what they need, with their own settings.
set -eu

wanted=${1:-appliance}
missing=

# need PACKAGE PROGRAM: the package, unless the program is there.
need() {
  command -v "$2" >/dev/null 2>&1 || missing="$missing $1"
}

# The servers run on Java 17, and small classes are compiled; an older one is none.
java_works() {
  command -v javac >/dev/null 2>&1 || return 1
  major=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p' | head -n 1)
  [ "${major:-0}" -ge 17 ]
}

# A Debian without a compiler lacks the library on which LightGBM computes; without Python's
# installer no environment can be made.
libgomp() { /sbin/ldconfig -p 2>/dev/null | grep -q 'libgomp\.so\.1'; }
python_works() { "${PYTHON:-python3}" -c 'import ensurepip, venv' >/dev/null 2>&1; }

python_works || missing="$missing python3-venv"
libgomp || missing="$missing libgomp1"
java_works || missing="$missing openjdk-17-jdk-headless"
need maven mvn
need redis-server redis-server
need util-linux setpriv
case $wanted in
  appliance) ;;
  tests)
    need chromium chromium
    need mosquitto mosquitto
    need iproute2 ip # three Kafka nodes in network namespaces
    # The server's programs are not on the path.
    [ -x /usr/lib/postgresql/15/bin/initdb ] || need postgresql-15 initdb
    ;;
  *)
    echo "prerequisites.sh: appliance or tests, not '$wanted'" >&2
    exit 2
    ;;
esac

[ -n "$missing" ] || exit 0

if [ "$(id -u)" != 0 ]; then
  echo "Programs are missing. As root: apt-get install$missing" >&2
  exit 1
fi
if ! command -v apt-get >/dev/null 2>&1; then
  echo "Programs are missing, and there is no apt-get. Debian's packages are:$missing" >&2
  exit 1
fi

# Debian starts a server when it is installed, unless this says no. One that is there already is
# the machine's own, and stays.
policy=${POLICY_RC_D:-/usr/sbin/policy-rc.d}
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
  trap 'exit 130' INT TERM
fi
log=$(mktemp)
echo "Installing$missing ..." >&2
# shellcheck disable=SC2086  # words on purpose
if ! { apt-get update -q &&
  DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends $missing; } \
  </dev/null >"$log" 2>&1; then
  tail -n 20 "$log" >&2
  echo "apt-get could not install$missing; the whole of it is in $log" >&2
  exit 1
fi
rm -f "$log"
