/* A disk that is sick on demand, for programs that are started with this in LD_PRELOAD.

   SICK_HOME is the folder that lies on the disk. SICK_HOW is a file that says what is wrong with it, looked at for each
   call: "readonly", "full", or a number of seconds that each sync takes. Without that file the disk is well. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

/* What is wrong with the disk: 0 nothing, EROFS, ENOSPC, or -1 with the seconds of a sync in `slow`. */
static int sick(double *slow)
{
    const char *path = getenv("SICK_HOW");
    char how[32] = "";
    int before = errno;
    int fd = path ? NEXT(open)(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd >= 0) {
        if (read(fd, how, sizeof how - 1) < 0)
            how[0] = 0;
        close(fd);
    }
    errno = before;
    if (!strncmp(how, "readonly", 8))
        return EROFS;
    if (!strncmp(how, "full", 4))
        return ENOSPC;
    *slow = atof(how);
    return *slow > 0 ? -1 : 0;
}

/* Does a descriptor, and then the rest of a path, lead into the folder? */
static int inside(int fd, const char *rest)
{
    const char *home = getenv("SICK_HOME");
    char link[64], path[4096] = "";
    if (!home || (rest && rest[0] == '/' && strncmp(rest, "/proc/self/fd/", 14)))
        return home && !strncmp(rest, home, strlen(home));
    if (fd == AT_FDCWD)
        return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    if (readlink(link, path, sizeof path - 1) < 0)
        return 0;
    return !strncmp(path, home, strlen(home));
}

/* Whether a change is refused, with errno set. `growing` is what a full disk has no room for. */
static int refused(int fd, const char *rest, int growing)
{
    double slow;
    int how = sick(&slow);
    if (how <= 0 || (how == ENOSPC && !growing) || !inside(fd, rest))
        return 0;
    errno = how;
    return 1;
}

static int missing(int fd, const char *path)
{
    struct stat found;
    return fstatat(fd, path, &found, 0) != 0;
}

static int opening(int fd, const char *path, int flags)
{
    int making = (flags & O_CREAT) && missing(fd, path);
    return (making || (flags & (O_ACCMODE | O_TRUNC))) && refused(fd, path, making);
}

#define OPEN(name)                                                                                                     \
    int name(const char *path, int flags, ...)                                                                         \
    {                                                                                                                  \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;                                              \
        va_end(more);                                                                                                  \
        return opening(AT_FDCWD, path, flags) ? -1 : NEXT(name)(path, flags, mode);                                    \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                                                                   \
    int name(int fd, const char *path, int flags, ...)                                                                 \
    {                                                                                                                  \
        va_list more;                                                                                                  \
        va_start(more, flags);                                                                                         \
        int mode = flags & (O_CREAT | O_TMPFILE) ? va_arg(more, int) : 0;                                              \
        va_end(more);                                                                                                  \
        return opening(fd, path, flags) ? -1 : NEXT(name)(fd, path, flags, mode);                                      \
    }
OPENAT(openat)
OPENAT(openat64)

/* A write inside what a file holds already needs no room. */
static int growing(int fd, off_t end)
{
    struct stat found;
    return fstat(fd, &found) == 0 && S_ISREG(found.st_mode) && end > found.st_size;
}

ssize_t write(int fd, const void *data, size_t size)
{
    return refused(fd, NULL, 1) ? -1 : NEXT(write)(fd, data, size);
}

#define PWRITE(name)                                                                                                   \
    ssize_t name(int fd, const void *data, size_t size, off_t at)                                                      \
    {                                                                                                                  \
        return refused(fd, NULL, growing(fd, at + (off_t)size)) ? -1 : NEXT(name)(fd, data, size, at);                 \
    }
PWRITE(pwrite)
PWRITE(pwrite64)

#define TRUNCATE(name)                                                                                                 \
    int name(int fd, off_t size)                                                                                       \
    {                                                                                                                  \
        return refused(fd, NULL, growing(fd, size)) ? -1 : NEXT(name)(fd, size);                                       \
    }
TRUNCATE(ftruncate)
TRUNCATE(ftruncate64)

#define ALLOCATE(name)                                                                                                 \
    int name(int fd, off_t at, off_t size)                                                                             \
    {                                                                                                                  \
        return refused(fd, NULL, 1) ? errno : NEXT(name)(fd, at, size);                                                \
    }
ALLOCATE(posix_fallocate)
ALLOCATE(posix_fallocate64)

int mkdir(const char *path, mode_t mode)
{
    return missing(AT_FDCWD, path) && refused(AT_FDCWD, path, 1) ? -1 : NEXT(mkdir)(path, mode);
}

int unlinkat(int fd, const char *path, int flags)
{
    return !missing(fd, path) && refused(fd, path, 0) ? -1 : NEXT(unlinkat)(fd, path, flags);
}

int unlink(const char *path)
{
    return !missing(AT_FDCWD, path) && refused(AT_FDCWD, path, 0) ? -1 : NEXT(unlink)(path);
}

int rename(const char *from, const char *to)
{
    return refused(AT_FDCWD, to, 1) ? -1 : NEXT(rename)(from, to);
}

int utimensat(int fd, const char *path, const struct timespec times[2], int flags)
{
    return refused(fd, path, 0) ? -1 : NEXT(utimensat)(fd, path, times, flags);
}

int chmod(const char *path, mode_t mode)
{
    return refused(AT_FDCWD, path, 0) ? -1 : NEXT(chmod)(path, mode);
}

/* A sync takes its time, and fails on a disk that cannot be written. */
static void wait_for_disk(int fd)
{
    double slow;
    if (sick(&slow) == -1 && inside(fd, NULL)) {
        struct timespec time = {(time_t)slow, (long)((slow - (time_t)slow) * 1e9)};
        nanosleep(&time, NULL);
    }
}

#define SYNC(name)                                                                                                     \
    int name(int fd)                                                                                                   \
    {                                                                                                                  \
        wait_for_disk(fd);                                                                                             \
        return refused(fd, NULL, 0) ? -1 : NEXT(name)(fd);                                                             \
    }
SYNC(fsync)
SYNC(fdatasync)
