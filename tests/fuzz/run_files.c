/* SPDX-License-Identifier: Apache-2.0 */
/* Where there is no libFuzzer: the target on the files of the directories that are given. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run_file(const char *path)
{
  static uint8_t bytes[4 << 20];
  FILE *file = fopen(path, "r");
  if (!file) {
    perror(path);
    return 1;
  }
  size_t size = fread(bytes, 1, sizeof bytes, file);
  fclose(file);
  return LLVMFuzzerTestOneInput(bytes, size);
}

static int run_directory(const char *path)
{
  DIR *directory = opendir(path);
  struct dirent *entry;
  int failed = directory == NULL;
  while (directory && (entry = readdir(directory))) {
    char name[4096];
    if (entry->d_name[0] == '.')
      continue;
    snprintf(name, sizeof name, "%s/%s", path, entry->d_name);
    failed |= run_file(name);
  }
  if (directory)
    closedir(directory);
  return failed;
}

int main(int argc, char **argv)
{
  int failed = 0;
  for (int i = 1; i < argc; i++)
    if (argv[i][0] != '-') /* libFuzzer's options mean nothing here */
      failed |= run_directory(argv[i]);
  return failed;
}
