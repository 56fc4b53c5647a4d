# Read by ringlock's git hooks (put here by `ringlock hooks install`): POSIX sh, dash, bash 3.2.
# They answer without starting Node when no package root, manifests/ or VERSION is touched.

ringlock_hook() {
  ringlock_name=$1
  shift
  ringlock_input=
  case $ringlock_name in
    # The x keeps the last newline, which a command substitution drops.
    pre-push | post-rewrite) ringlock_input=$(cat && printf x) && ringlock_input=${ringlock_input%x} ;;
  esac
  ringlock_run_earlier "$@" || exit $?
  if ringlock_untouched; then exit 0; fi
  case $ringlock_name in
    pre-commit) ringlock_parent_arguments ;;
  esac
  ringlock_run hook "$ringlock_name" "$@"
  exit $?
}

# The hook that was here before ringlock's, with the same arguments and standard input.
ringlock_run_earlier() {
  ringlock_earlier="${0%/*}/$ringlock_name.before-ringlock"
  [ -f "$ringlock_earlier" ] || return 0
  if [ -x "$ringlock_earlier" ]; then
    set -- "$ringlock_earlier" "$@"
  else
    case $0 in
      # husky runs files that are not executable; git itself ignores them.
      .husky/* | */.husky/*) set -- sh -e "$ringlock_earlier" "$@" ;;
      *) return 0 ;;
    esac
  fi
  case $ringlock_name in
    pre-push | post-rewrite) printf '%s' "$ringlock_input" | "$@" ;;
    *) "$@" ;;
  esac
}

# Whether nothing that ringlock looks after is in this commit or push. In doubt it is.
ringlock_untouched() {
  case $ringlock_name in
    pre-commit | pre-merge-commit)
      ringlock_read_roots '' || return 1
      ringlock_same --cached
      ;;
    post-commit)
      [ ! -f "$(git rev-parse --git-dir)/ringlock/partial-commit.json" ] || return 1
      ringlock_read_roots HEAD || return 1
      ringlock_same 'HEAD^' HEAD
      ;;
    pre-push)
      while read -r ringlock_ref ringlock_local ringlock_ref ringlock_remote; do
        case $ringlock_local in
          *[!0]*) ;;
          *) continue ;;
        esac
        ringlock_read_roots "$ringlock_local" || return 1
        ringlock_same "$ringlock_remote" "$ringlock_local" || return 1
      done <<RINGLOCK_END
$ringlock_input
RINGLOCK_END
      ;;
    *) return 1 ;;
  esac
}

ringlock_same() {
  # The roots are split at spaces on purpose; they are plain names.
  # shellcheck disable=SC2086
  GIT_LITERAL_PATHSPECS=1 git diff --quiet --no-ext-diff "$@" -- $ringlock_roots manifests VERSION 2>/dev/null
}

# Sets ringlock_roots from the settings of a commit, or of the index; fails when they are written in
# a way that only a YAML parser understands.
ringlock_read_roots() {
  ringlock_roots=modules
  ringlock_settings=$(git cat-file -p "$1:manifests/ringlock.yaml" 2>/dev/null) || return 0
  case $ringlock_settings in
    *roots*) ;;
    *) return 0 ;;
  esac
  ringlock_roots=
  ringlock_open=
  while IFS= read -r ringlock_line; do
    ringlock_line=${ringlock_line%%#*}
    case $ringlock_line in
      roots:*) ringlock_open=1 ringlock_item=${ringlock_line#roots:} ;;
      ' '* | -*) [ -n "$ringlock_open" ] || continue; ringlock_item=$ringlock_line ;;
      '') continue ;;
      *) ringlock_open='' ; continue ;;
    esac
    ringlock_roots="$ringlock_roots $ringlock_item"
  done <<RINGLOCK_END
$ringlock_settings
RINGLOCK_END
  ringlock_roots=$(printf '%s' "$ringlock_roots" | tr '[],"\047' '     ' | sed -e 's/ - / /g' -e 's/^- //')
  case $ringlock_roots in
    '' | *[!A-Za-z0-9._/\ -]* | *' -'*) return 1 ;;
    *[A-Za-z0-9]*) return 0 ;;
    *) return 1 ;;
  esac
}

# git does not tell a hook of --amend; without a remote it matters. One argument a line.
ringlock_parent_arguments() {
  if [ -r "/proc/$PPID/cmdline" ]; then
    RINGLOCK_GIT_ARGUMENTS=$(tr '\0' '\n' <"/proc/$PPID/cmdline")
  else
    RINGLOCK_GIT_ARGUMENTS=$(ps -o args= -p "$PPID" 2>/dev/null | tr ' ' '\n')
  fi
  export RINGLOCK_GIT_ARGUMENTS
}

ringlock_run() {
  ringlock_program=${RINGLOCK-}
  [ -n "$ringlock_program" ] || ringlock_program=node_modules/.bin/ringlock
  [ -f "$ringlock_program" ] || ringlock_program=$(git config --get ringlock.program)
  [ -f "$ringlock_program" ] || ringlock_program=$(command -v ringlock)
  if [ ! -f "$ringlock_program" ]; then
    case $ringlock_name in
      post-*) return 0 ;;
    esac
    {
      echo "ringlock: modules or manifests changed, and ringlock is not installed here to check them."
      echo "  Install it (npm ci, or npm install -g ringlock), or name it with RINGLOCK=/path/to/ringlock;"
      echo "  then run: ringlock hooks install"
    } >&2
    return 1
  fi
  case $ringlock_program in
    *.js)
      # Programs with windows often start git without the PATH that has node.
      ringlock_node=$(git config --get ringlock.node)
      [ -x "$ringlock_node" ] || ringlock_node=node
      set -- "$ringlock_node" "$ringlock_program" "$@"
      ;;
    *) set -- "$ringlock_program" "$@" ;;
  esac
  case $ringlock_name in
    pre-push | post-rewrite) printf '%s' "$ringlock_input" | "$@" ;;
    *) "$@" ;;
  esac
}
