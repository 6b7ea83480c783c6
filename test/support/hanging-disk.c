/* Loaded before the C library: calls for paths with HANG_IN in them never return while the file HANG_WHILE exists. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void hang(const char *call, const char *path) {
  const char *in = getenv("HANG_IN"), *at = getenv("HANG_AT"), *as_long = getenv("HANG_WHILE");
  if (in == NULL || at == NULL || as_long == NULL || path == NULL) return;
  if (strcmp(at, call) != 0 || strstr(path, in) == NULL) return;
  while (access(as_long, F_OK) == 0) usleep(20000);
}

int mkdir(const char *path, mode_t mode) {
  hang("mkdir", path);
  return ((int (*)(const char *, mode_t))dlsym(RTLD_NEXT, "mkdir"))(path, mode);
}

int rename(const char *from, const char *to) {
  hang("rename", to);
  return ((int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename"))(from, to);
}

static int open_as(const char *name, const char *path, int flags, mode_t mode) {
  hang("open", path);
  return ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, name))(path, flags, mode);
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return open_as("open", path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = va_arg(rest, mode_t);
  va_end(rest);
  return open_as("open64", path, flags, mode);
}
