# SPDX-License-Identifier: Apache-2.0
# gzip, tar, cp, dd, openssl, killed at their kill points.
load sweeps

setup() {
  check_options=()
  set_up_inputs
}

@test "gzip replaces its input" {
  assert_survives gzip numbers
}

@test "gzip -d" {
  gzip "$inputs/numbers"
  assert_survives gzip -d numbers.gz
}

@test "tar c" {
  assert_survives tar --sort=name -cf tree.tar tree
}

@test "tar x" {
  tar -C "$inputs" -cf "$inputs/tree.tar" tree
  rm -r "$inputs/tree"
  assert_survives tar -xf tree.tar
}

@test "cp -a" {
  assert_survives cp -a tree copy
}

@test "dd" {
  assert_survives dd if=numbers of=copy bs=1000 conv=fsync status=none
}

@test "dd in the middle of a file" {
  assert_survives dd if=tree/few of=numbers bs=512 seek=5 conv=notrunc status=none
}

@test "openssl dgst" {
  assert_survives openssl dgst -sha256 numbers tree/deep/many
}

@test "exec keeps the run: env, sh -c exec, a #! script" {
  printf '#!/bin/sh\necho "$GREETING" > greeting\nexec env -u GREETING sort -n -o sorted numbers\n' > "$inputs/script"
  chmod +x "$inputs/script"
  assert_survives env GREETING=hello sh -c 'umask 027; exec ./script'
}
