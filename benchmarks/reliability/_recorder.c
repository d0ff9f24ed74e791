/* Writes down what this process does to the files below one folder, so that a power cut can be played back.
 *
 * A filter (seccomp) turns each system call that changes files into a signal; its handler makes the call and
 * notes what came of it. So nothing is missed: neither what Python and SQLite do, nor what a library does
 * past the C library. Not seen is memory that is mapped and written: SQLite's index of its log, which it
 * builds anew after a crash. Each entry is a header and two byte strings; _crash.py reads them.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <ucontext.h>
#include <unistd.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the filter reads the low half of an argument first"
#elif defined(__x86_64__)
#define REGISTER(context, name, number) (context)->uc_mcontext.gregs[name]
#define RESULT(context) REGISTER(context, REG_RAX, 0)
#elif defined(__aarch64__)
#define REGISTER(context, name, number) (context)->uc_mcontext.regs[number]
#define RESULT(context) REGISTER(context, , 0)
#else
#error "registers are known for x86-64 and arm64 only"
#endif

/* The sixth argument of the handler's own calls, which take fewer: the filter lets them pass. */
#define OURS 0x4e07ed0f
#define MOST_FILES 65536

struct head {
    int32_t kind, number;
    int64_t offset, first, second;
};

static int record = -1;
static char below[PATH_MAX];
static char watched[MOST_FILES];

static const int calls[] = {
    SYS_openat, SYS_close, SYS_write, SYS_pwrite64, SYS_ftruncate, SYS_fsync, SYS_fdatasync,
    SYS_renameat2, SYS_renameat, SYS_unlinkat, SYS_mkdirat,
#ifdef SYS_open
    SYS_open, SYS_rename, SYS_unlink, SYS_rmdir, SYS_mkdir,
#endif
};
#define CALLS (sizeof calls / sizeof *calls)

static long call(long number, long a, long b, long c, long d, long e) {
    long result = syscall(number, a, b, c, d, e, (long)OURS);
    return result < 0 ? -errno : result;
}

static void note(char kind, int file, int64_t offset, const void *first, size_t n, const char *second) {
    struct head head = {kind, file, offset, (int64_t)n, (int64_t)strlen(second)};
    struct iovec parts[] = {{&head, sizeof head}, {(void *)first, n}, {(void *)second, strlen(second)}};
    ssize_t whole = sizeof head + n + strlen(second);
    if (writev(record, parts, 3) != whole) abort(); /* rather none than a wrong one */
}

static int is_watched(long file) { return file >= 0 && file < MOST_FILES && watched[file]; }

/* Makes the path whole; whether it is one we watch. */
static int whole(int folder, const char *path, char *out) {
    char base[PATH_MAX] = "", link[64];
    if (*path != '/') {
        snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
        ssize_t n = readlink(folder == AT_FDCWD ? "/proc/self/cwd" : link, base, sizeof base - 1);
        base[n > 0 ? n : 0] = 0;
    }
    if (snprintf(out, PATH_MAX, "%s%s%s", base, *base ? "/" : "", path) >= PATH_MAX) return 0;
    size_t n = strlen(below);
    return strncmp(out, below, n) == 0 && (out[n] == '/' || out[n] == 0);
}

static long opened(int folder, const char *path, int flags, int mode) {
    char out[PATH_MAX];
    long file = call(SYS_openat, folder, (long)path, flags, mode, 0);
    if (file < 0 || file >= MOST_FILES) return file;
    watched[file] = whole(folder, path, out);
    if (watched[file]) note('o', file, (flags & O_TRUNC) != 0, out, strlen(out), "");
    return file;
}

static long closed(int file) {
    if (is_watched(file)) note('c', file, 0, "", 0, "");
    if (file >= 0 && file < MOST_FILES) watched[file] = 0;
    return call(SYS_close, file, 0, 0, 0, 0);
}

static long written(long number, int file, const void *data, size_t size, int64_t offset) {
    long done = call(number, file, (long)data, size, offset, 0);
    if (number == SYS_write && is_watched(file)) offset = lseek(file, 0, SEEK_CUR) - done;
    if (done > 0 && is_watched(file)) note('w', file, offset, data, done, "");
    return done;
}

static long changed(char kind, long number, int file, int64_t size) {
    long result = call(number, file, size, 0, 0, 0);
    if (!result && is_watched(file)) note(kind, file, size, "", 0, "");
    return result;
}

static long renamed(int from, const char *old, int to, const char *new, int flags) {
    char before[PATH_MAX], after[PATH_MAX];
    int leaves = whole(from, old, before), comes = whole(to, new, after);
    long result = call(SYS_renameat2, from, (long)old, to, (long)new, flags);
    if (!result && (leaves || comes)) note('r', 0, 0, before, strlen(before), after);
    return result;
}

static long named(char kind, long number, int folder, const char *path, int detail) {
    char out[PATH_MAX];
    int ours = whole(folder, path, out);
    long result = call(number, folder, (long)path, detail, 0, 0);
    if (!result && ours) note(kind, 0, 0, out, strlen(out), "");
    return result;
}

static long made(long number, long a, long b, long c, long d, long e) {
    switch (number) {
    case SYS_openat: return opened(a, (char *)b, c, d);
    case SYS_close: return closed(a);
    case SYS_write: case SYS_pwrite64: return written(number, a, (void *)b, c, d);
    case SYS_ftruncate: return changed('t', number, a, b);
    case SYS_fsync: case SYS_fdatasync: return changed('s', number, a, 0);
    case SYS_renameat2: return renamed(a, (char *)b, c, (char *)d, e);
    case SYS_renameat: return renamed(a, (char *)b, c, (char *)d, 0);
    case SYS_unlinkat: return named('u', number, a, (char *)b, c);
    case SYS_mkdirat: return named('d', number, a, (char *)b, c);
#ifdef SYS_open
    case SYS_open: return opened(AT_FDCWD, (char *)a, b, c);
    case SYS_rename: return renamed(AT_FDCWD, (char *)a, AT_FDCWD, (char *)b, 0);
    case SYS_unlink: return named('u', SYS_unlinkat, AT_FDCWD, (char *)a, 0);
    case SYS_rmdir: return named('u', SYS_unlinkat, AT_FDCWD, (char *)a, AT_REMOVEDIR);
    case SYS_mkdir: return named('d', SYS_mkdirat, AT_FDCWD, (char *)a, b);
#endif
    }
    return -ENOSYS;
}

static void handle(int signal, siginfo_t *info, void *given) {
    ucontext_t *context = given;
    int kept = errno;
    (void)signal;
    RESULT(context) = made(
        info->si_syscall, REGISTER(context, REG_RDI, 0), REGISTER(context, REG_RSI, 1),
        REGISTER(context, REG_RDX, 2), REGISTER(context, REG_R10, 3), REGISTER(context, REG_R8, 4));
    errno = kept;
}

/* Notes what the program is about to do, or has done. */
void mark(const char *text) { note('m', 0, 0, text, strlen(text), ""); }

/* Begins to write down, for the rest of the process's life; 0, or the number of the error. */
int begin(const char *folder, const char *to) {
    struct sock_filter steps[4 + 2 * CALLS + 1], *next = steps;
    struct sock_fprog filter = {sizeof steps / sizeof *steps, steps};
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};
    size_t ours = offsetof(struct seccomp_data, args[5]), number = offsetof(struct seccomp_data, nr);

    *next++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, ours);
    *next++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, OURS, 0, 1);
    *next++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
    *next++ = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, number);
    for (size_t i = 0; i < CALLS; i++) {
        *next++ = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, calls[i], 0, 1);
        *next++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP);
    }
    *next++ = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);

    snprintf(below, sizeof below, "%s", folder);
    record = open(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (record < 0 || sigaction(SIGSYS, &action, NULL) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter))
        return errno;
    return 0;
}
