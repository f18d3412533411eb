# Sourced by the other scripts: makes the project's own environment once, and again when it changes.
#   NEURODECODE_VENV   where the environment lies        (default: .venv in the checkout)
#   NEURODECODE_PYTHON which Python makes it             (default: python3, 3.11 or newer)
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
venv="${NEURODECODE_VENV:-$root/.venv}"
extras="${1:-}"                                   # e.g. [test]
stamp="$venv/installed$extras-$(sha256sum "$root/pyproject.toml" | cut -c1-16)"

if [ ! -e "$stamp" ]; then
  python="${NEURODECODE_PYTHON:-python3}"
  "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "neurodecode needs Python 3.11 or newer; $python is $("$python" --version 2>&1)." \
         "Set NEURODECODE_PYTHON to a newer one." >&2
    exit 2
  }
  echo "installing into $venv (a few minutes, once)"
  "$python" -m venv "$venv"
  # --no-compile: half a gigabyte less to write; modules are compiled when first imported
  "$venv/bin/pip" install --quiet --disable-pip-version-check --no-compile -e "$root$extras"
  touch "$stamp"
fi

# threads that wait asleep leave shared cores to others
export OMP_WAIT_POLICY="${OMP_WAIT_POLICY:-PASSIVE}"
PATH="$venv/bin:$PATH"
