# shellcheck shell=bash
# SPDX-License-Identifier: Apache-2.0
# For the lint checks: TAP, and which files are the project's. To be sourced in the source folder.

tap_count=0
tap_failed=0

# tap_result STATUS NAME [DETAILS]: one test, passed when STATUS is 0; DETAILS are shown when not.
tap_result() {
  tap_count=$((tap_count + 1))
  if [ "$1" = 0 ]; then
    echo "ok $tap_count - $2"
    return
  fi
  tap_failed=$((tap_failed + 1))
  echo "not ok $tap_count - $2"
  [ -z "${3-}" ] || sed 's/^/#   /' <<<"$3"
}

# tap_empty FINDINGS NAME: passed when there are none.
tap_empty() {
  local status=0
  [ -z "$1" ] || status=1
  tap_result "$status" "$2" "$1"
}

tap_done() {
  echo "1..$tap_count"
  [ "$tap_failed" = 0 ]
}

# shellcheck disable=SC2120 # its callers are in other files
# project_files [FIND-EXPRESSION...]: files of the project, without what was built. One a line.
project_files() {
  find . -name .git -prune -o -path './build*' -prune -o -name __pycache__ -prune -o \
    -type f \( "${@:--true}" \) -printf '%P\n' | sort
}

# project_scripts INTERPRETER-PATTERN: files whose first line runs a matching interpreter.
project_scripts() {
  project_files | while IFS= read -r file; do
    read -r first <"$file" 2>/dev/null || continue
    if [[ $first =~ ^'#!'.*/(env )?($1)( |$) ]]; then
      echo "$file"
    fi
  done
}
