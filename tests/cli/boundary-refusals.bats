# SPDX-License-Identifier: Apache-2.0
# What cannot be redirected is refused in one line, and nothing runs.

load boundary

setup() {
  prepare_images "$BATS_TEST_TMPDIR/images"
  libc=$(find "$BOUNDARY_PROBE_CACHE" -size +1000k)
  vdso=$(find "$BOUNDARY_PROBE_CACHE" -type f -size -1000k)
}

# Overwrites a file's bytes from an offset.
overwrite() {
  printf "$3" | dd of="$1" bs=1 seek="$2" conv=notrunc status=none
}

assert_refused() {
  run_probed /bin/echo ran
  assert_failure 125
  assert_output --partial "$1"
  refute_line ran
}

@test "a program is refused where there are no images" {
  rm "$libc" "$vdso"
  assert_refused 'there is no boundary image for this libc'
}

@test "a program is refused where there is no image of the vDSO" {
  rm "$vdso"
  assert_refused "there is no boundary image for this kernel's vDSO"
}

@test "the image of another object is refused" {
  mv "$vdso" "$libc"
  assert_refused 'the boundary image is damaged or of another version'
}

@test "an image of another version is refused" {
  overwrite "$libc" 8 '\377'
  assert_refused 'the boundary image is damaged or of another version'
}

@test "an image that is cut short is refused" {
  truncate -s 100000 "$libc"
  assert_refused 'the boundary image is damaged or of another version'
}

@test "an image that others can write is refused" {
  chmod o+w "$libc"
  assert_refused 'can be written by others'
}

@test "an image of a vDSO of other bytes is refused" {
  overwrite "$vdso" 6000 '\314'
  assert_refused "there is no boundary image for this kernel's vDSO"
}

@test "images on a file system without code are refused" {
  unshare -m true || skip "this user cannot mount"
  local place=$BATS_TEST_TMPDIR/noexec
  mkdir "$place"
  run unshare -m sh -c "mount -t tmpfs -o noexec tmpfs '$place' && cp '$libc' '$vdso' '$place' &&
    exec env BOUNDARY_PROBE_CACHE='$place' LD_PRELOAD='$programs/boundary_probe.so' /bin/echo ran"
  assert_failure 125
  assert_output --partial 'noexec'
}

@test "a good image is not refused" {
  run_probed /bin/echo ran
  assert_success
  assert_output ran
}
