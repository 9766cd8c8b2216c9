/* A library to preload, in which one file call of a process fails, is cut short or kills.
 *
 *     gcc -O1 -shared -fPIC -o shim.so fault_shim.c -ldl
 *     LD_PRELOAD=./shim.so program
 *
 * The program itself says when, through fault_arm() and fault_disarm(): from Python by
 * ctypes.CDLL(None). Only calls on files under one directory count, so a sweep over all calls of
 * an operation is exact. It works for CPython and for libsqlite3, and needs no root. What goes
 * through mapped memory is not seen: SQLite's index of its log, which is no part of the data.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

enum mode { FAIL, SHORT, KILL };
enum outcome { PASS, FAILED, CUT };

static struct {
    char directory[4096]; /* empty: no call counts */
    long at;              /* the call that meets the fault; 0: none does */
    enum mode mode;
    int error;            /* the errno of a call that fails */
    int sticky;           /* whether all calls after it fail too */
    int reads;            /* whether calls that only read count, too */
} armed;

static long calls;
static char names[1 << 20]; /* one line for each call that counted: "write sessions.json.lock" */
static size_t used;

void fault_arm(const char *directory, long at, int mode, int error, int sticky, int reads) {
    armed.at = at;
    armed.mode = mode;
    armed.error = error;
    armed.sticky = sticky;
    armed.reads = reads;
    calls = used = 0;
    names[0] = 0;
    snprintf(armed.directory, sizeof armed.directory, "%s/", directory);
}

/* What counted since it was armed. */
const char *fault_disarm(void) {
    armed.directory[0] = 0;
    return names;
}

static int is_under(const char *path) {
    size_t length = strlen(armed.directory);
    return length && (!strncmp(path, armed.directory, length) ||
                      (!strncmp(path, armed.directory, length - 1) && !path[length - 1]));
}

static int counts(const char *path, char *full) {
    char here[4096];
    if (!armed.directory[0] || !path)
        return 0;
    if (path[0] == '/')
        snprintf(full, 8192, "%s", path);
    else if (getcwd(here, sizeof here))
        snprintf(full, 8192, "%s/%s", here, path);
    else
        return 0;
    return is_under(full);
}

static int counts_descriptor(int descriptor, char *full) {
    char link[64];
    ssize_t length;
    if (!armed.directory[0])
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    length = readlink(link, full, 8191);
    if (length < 0)
        return 0;
    full[length] = 0;
    return is_under(full);
}

static enum outcome met(const char *call, const char *full) {
    long number = ++calls;
    const char *name = strrchr(full, '/');
    used += snprintf(names + used, used < sizeof names ? sizeof names - used : 0, "%s %s\n", call,
                     strlen(full) < strlen(armed.directory) ? "" : name + 1);
    if (!armed.at || number < armed.at || (number > armed.at && !armed.sticky))
        return PASS;
    if (armed.mode == KILL)
        raise(SIGKILL);
    if (armed.mode == SHORT)
        return CUT;
    errno = armed.error;
    return FAILED;
}

#define REAL(result, name, ...)                                                                   \
    static result (*real)(__VA_ARGS__);                                                           \
    char full[8192];                                                                              \
    if (!real)                                                                                    \
        real = dlsym(RTLD_NEXT, #name)

#define TYPES(...) __VA_ARGS__

#define TRANSFER(name, is_read, types, parameters, whole, half)                                   \
    ssize_t name parameters {                                                                     \
        REAL(ssize_t, name, types);                                                               \
        if ((!is_read || armed.reads) && counts_descriptor(fd, full)) {                           \
            enum outcome outcome = met(#name, full);                                              \
            if (outcome == FAILED)                                                                \
                return -1;                                                                        \
            if (outcome == CUT && size > 1)                                                       \
                return real half;                                                                 \
        }                                                                                         \
        return real whole;                                                                        \
    }

TRANSFER(write, 0, TYPES(int, const void *, size_t), (int fd, const void *data, size_t size),
         (fd, data, size), (fd, data, size / 2))
TRANSFER(pwrite64, 0, TYPES(int, const void *, size_t, off_t),
         (int fd, const void *data, size_t size, off_t at), (fd, data, size, at),
         (fd, data, size / 2, at))
TRANSFER(read, 1, TYPES(int, void *, size_t), (int fd, void *data, size_t size), (fd, data, size),
         (fd, data, size / 2))
TRANSFER(pread64, 1, TYPES(int, void *, size_t, off_t),
         (int fd, void *data, size_t size, off_t at), (fd, data, size, at),
         (fd, data, size / 2, at))

#define CALL(name, condition, types, parameters, arguments)                                       \
    int name parameters {                                                                         \
        REAL(int, name, types);                                                                   \
        if (condition && met(#name, full) == FAILED)                                              \
            return -1;                                                                            \
        return real arguments;                                                                    \
    }
CALL(fsync, counts_descriptor(fd, full), int, (int fd), (fd))
CALL(fdatasync, counts_descriptor(fd, full), int, (int fd), (fd))
CALL(fchmod, counts_descriptor(fd, full), TYPES(int, mode_t), (int fd, mode_t mode), (fd, mode))
CALL(ftruncate64, counts_descriptor(fd, full), TYPES(int, off_t), (int fd, off_t size), (fd, size))
CALL(unlink, counts(path, full), const char *, (const char *path), (path))
CALL(mkdir, counts(path, full), TYPES(const char *, mode_t), (const char *path, mode_t mode),
     (path, mode))
CALL(rename, counts(to, full), TYPES(const char *, const char *),
     (const char *from, const char *to), (from, to))
CALL(link, counts(to, full), TYPES(const char *, const char *), (const char *from, const char *to),
     (from, to))
CALL(linkat, counts(to, full), TYPES(int, const char *, int, const char *, int),
     (int from_at, const char *from, int to_at, const char *to, int flags),
     (from_at, from, to_at, to, flags))

#define OPEN(name)                                                                                \
    int name(const char *path, int flags, ...) {                                                  \
        REAL(int, name, const char *, int, ...);                                                  \
        mode_t mode = 0;                                                                          \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                      \
            va_list rest;                                                                         \
            va_start(rest, flags);                                                                \
            mode = va_arg(rest, mode_t);                                                          \
            va_end(rest);                                                                         \
        }                                                                                         \
        if ((armed.reads || (flags & (O_WRONLY | O_RDWR | O_CREAT | O_DIRECTORY))) &&             \
            counts(path, full) && met("open", full) == FAILED)                                    \
            return -1;                                                                            \
        return real(path, flags, mode);                                                           \
    }
OPEN(open)
OPEN(open64)
