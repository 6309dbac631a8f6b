/* fsync and fdatasync that fail with EIO when they are told to. For LD_PRELOAD.
 *
 * FAULTY_SYNC names a directory. While it has a file "fail/NAME", syncs of files called NAME fail. An empty one stays
 * until somebody removes it; otherwise it has a byte for each sync that is still to fail. Each failure appends a line
 * with NAME to the file "failed".
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static void note(const char *directory, const char *name)
{
    char path[PATH_MAX], line[NAME_MAX + 2];
    snprintf(path, sizeof path, "%s/failed", directory);
    int length = snprintf(line, sizeof line, "%s\n", name);
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, line, (size_t)length) != length)
        abort(); /* A test that counts failures must not miss one. */
    close(fd);
}

static int must_fail(int fd)
{
    char link[64], file[PATH_MAX], order[PATH_MAX];
    struct stat left;
    const char *directory = getenv("FAULTY_SYNC");
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, file, sizeof file - 1);
    if (directory == NULL || length < 0)
        return 0;
    file[length] = '\0';
    const char *slash = strrchr(file, '/');
    const char *name = slash == NULL ? file : slash + 1;
    if (snprintf(order, sizeof order, "%s/fail/%s", directory, name) >= (int)sizeof order || stat(order, &left) != 0)
        return 0;
    if (left.st_size == 1)
        unlink(order);
    else if (left.st_size > 1 && truncate(order, left.st_size - 1) != 0)
        abort();
    note(directory, name);
    return 1;
}

static int sync_with(long number, int fd)
{
    if (must_fail(fd)) {
        errno = EIO;
        return -1;
    }
    return (int)syscall(number, fd);
}

int fsync(int fd)
{
    return sync_with(SYS_fsync, fd);
}

int fdatasync(int fd)
{
    return sync_with(SYS_fdatasync, fd);
}
