#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Programs that give up the rights that they began with.

bats_require_minimum_version 1.5.0

setup() {
  load domain.bash
  set_up_place
}

@test "killed after it became another user: what it had opened as root is open again, and it is that user" {
  [ "$(id -u)" -eq 0 ] || skip "only root can become another user"
  mkfifo up go
  cat > daemon.pl <<'PERL'
open(F, ">>", "own") && chmod(0600, "own") && open(U, "+<", "up") && open(G, "+<", "go") or die;
syswrite(F, "as $>\n");
$( = 65534; $) = "65534 65534"; $< = $> = 65534;
syswrite(F, "as $>\n");
syswrite(U, "$$\n");
sysread(G, $line, 1);
syswrite(F, "as $>\n");
print open(X, "<", "own") ? "may open it\n" : "may not open it\n";
PERL
  "$PERDURE" run -q --id job -- /usr/bin/perl daemon.pl &
  supervisor=$!
  read -t 10 -r program <> up
  kill -9 "$supervisor"
  await_death "$program"
  exec 5<> go
  echo >&5
  run_durable -q --id job -- /usr/bin/perl daemon.pl
  exec 5>&-
  assert_equal "$status" 0
  assert_equal "$output" 'may not open it'
  assert_equal "$(cat own)" $'as 0\nas 65534\nas 65534'
}
