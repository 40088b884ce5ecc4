/* Every trapped call with every sort of bad pointer. Prints the answers. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void say(const char *call, const char *pointer, long (*deed)(void *), void *argument) {
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        errno = 0;
        long result = deed(argument);
        printf("%s %s %s\n", call, pointer, result >= 0 ? "done" : strerrorname_np(errno));
        fflush(stdout);
        _exit(0);
    }
    int status;
    waitpid(child, &status, 0);
    if (status) printf("%s %s status-%x\n", call, pointer, status);
}

#define DEED(name, ...) static long name(void *p) { return syscall(__VA_ARGS__); }
static char *vector[] = {"x", NULL}, *empty[] = {NULL};
DEED(d_execve, SYS_execve, p, vector, empty)
DEED(d_execveat, SYS_execveat, AT_FDCWD, p, vector, empty, 0)
DEED(d_argv, SYS_execve, "/bin/true", p, empty)
DEED(d_envp, SYS_execve, "/bin/true", vector, p)
DEED(d_openat, SYS_openat, AT_FDCWD, p, O_RDONLY)
DEED(d_create, SYS_openat, AT_FDCWD, p, O_CREAT | O_WRONLY, 0644)
DEED(d_mkdirat, SYS_mkdirat, AT_FDCWD, p, 0755)
DEED(d_mknodat, SYS_mknodat, AT_FDCWD, p, S_IFDIR | 0644, 0)
DEED(d_rename_from, SYS_renameat2, AT_FDCWD, p, AT_FDCWD, "to", 0)
DEED(d_rename_to, SYS_renameat2, AT_FDCWD, "spare", AT_FDCWD, p, 0)
DEED(d_link_from, SYS_linkat, AT_FDCWD, p, AT_FDCWD, "to", 0)
DEED(d_link_to, SYS_linkat, AT_FDCWD, "spare", AT_FDCWD, p, 0)
DEED(d_symlink_text, SYS_symlinkat, p, AT_FDCWD, "d/soft")
DEED(d_symlink_to, SYS_symlinkat, "spare", AT_FDCWD, p)
DEED(d_truncate, SYS_truncate, p, 0)
DEED(d_unlinkat, SYS_unlinkat, AT_FDCWD, p, 0)
#ifdef SYS_open
DEED(d_open, SYS_open, p, O_CREAT | O_WRONLY, 0644)
DEED(d_creat, SYS_creat, p, 0644)
DEED(d_mkdir, SYS_mkdir, p, 0755)
DEED(d_rename, SYS_rename, "spare", p)
DEED(d_link, SYS_link, "spare", p)
DEED(d_symlink, SYS_symlink, "spare", p)
#endif
static long d_argument(void *p) { char *argv[] = {"x", p, NULL}; return syscall(SYS_execve, "/bin/true", argv, empty); }
static long d_variable(void *p) { char *envp[] = {p, NULL}; return syscall(SYS_execve, "/bin/true", vector, envp); }
static int s(int family) { return socket(family, SOCK_STREAM, 0); }
static long d_local(void *p) { return syscall(SYS_connect, s(AF_UNIX), p, 110); }
static long d_internet(void *p) { return syscall(SYS_connect, s(AF_INET), p, 16); }
static long d_long(void *p) { return syscall(SYS_connect, s(AF_INET), p, 129); }
static long d_negative(void *p) { return syscall(SYS_connect, s(AF_INET), p, -1); }
static long d_huge(void *p) { return syscall(SYS_connect, s(AF_UNIX), p, 0x7fffffff); }
static long d_nothing(void *p) { return syscall(SYS_connect, s(AF_UNIX), p, 0); }
static long d_one(void *p) { return syscall(SYS_connect, s(AF_INET), p, 1); }
static long d_file(void *p) { return syscall(SYS_connect, 0, p, 16); }
static long d_closed(void *p) { return syscall(SYS_connect, 999, p, 16); }
static long d_bind(void *p) { return syscall(SYS_bind, s(AF_UNIX), p, 110); }

#define ALL(X) X(execve) X(execveat) X(argv) X(envp) X(argument) X(variable) X(openat) X(create) X(mkdirat) X(mknodat) X(rename_from) X(rename_to) \
    X(link_from) X(link_to) X(symlink_text) X(symlink_to) X(truncate) X(unlinkat) OLD(X) X(local) X(internet) X(long) X(negative) X(huge) X(nothing) X(one) X(file) X(closed) X(bind)
#ifdef SYS_open
#define OLD(X) X(open) X(creat) X(mkdir) X(rename) X(link) X(symlink)
#else
#define OLD(X)
#endif

int main(void) {
    char *pages = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(pages, 'a', 2 * 4096);
    mprotect(pages + 2 * 4096, 4096, PROT_NONE);
    char *gone = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(gone, 4096);
    static char longest[5001], many[6001], component[300];
    memset(longest, 'b', 5000);
    for (int i = 0; i < 3000; i++) memcpy(many + 2 * i, "d/", 2);
    memset(component, 'c', 299);
    struct { const char *name; void *at; } bad[] = {
        {"null", NULL}, {"small", (void *)8}, {"minus-one", (void *)-1}, {"kernel", (void *)0xffff888000000000}, {"not-canonical", (void *)0x8000000000000000},
        {"vsyscall", (void *)0xffffffffff600000}, {"last-page", (void *)0x7ffffffff000}, {"unmapped", gone}, {"forbidden", pages + 2 * 4096},
        {"unterminated", pages + 2 * 4096 - 10}, {"unterminated-long", pages}, {"long", longest}, {"many", many}, {"component", component}, {"empty", ""},
    };
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
#define ONE(deed) say(#deed, bad[i].name, d_##deed, bad[i].at);
        ALL(ONE)
    }
    return 0;
}
