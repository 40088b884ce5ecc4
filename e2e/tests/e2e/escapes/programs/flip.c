/* ./flip HOW DEED OTHER MILLISECONDS
 *
 * Does DEED to a path again and again, while a thread or another process flips
 * the path in memory between `fine-01` and OTHER, or (HOW is `disk`) the first
 * part of the path on disk between a directory and a link. Prints how often it
 * succeeded. Stops when the other path was touched, for which a control has ten
 * seconds. OTHER has at most seven letters, so a flip is one store. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static volatile uint64_t *word;
static uint64_t fine, other;
static volatile int stop, on_disk;

static void *flip(void *unused) {
    while (!stop) {
        if (on_disk) {
            renameat2(AT_FDCWD, "door", AT_FDCWD, "trap", RENAME_EXCHANGE);
            continue;
        }
        *word = other;
        for (volatile int i = 0; i < 200; i++) {}
        *word = fine;
        for (volatile int i = 0; i < 200; i++) {}
    }
    return unused;
}

static int make(const char *name) {
    int fd = open(name, O_CREAT | O_WRONLY | O_TRUNC, 0644);
    if (fd < 0) return -1;
    if (write(fd, "planted\n", 8) != 8) abort();
    return close(fd);
}

/* What tells whether the other path was touched. */
static struct stat look(const char *path) {
    struct stat about = {0};
    lstat(path, &about);
    return about;
}

/* One try. The path is `word`, or `door/OTHER` on disk. */
static int deed(const char *what, const char *path) {
    const char *clean = on_disk ? path : "fine-01";
    int done = -1;
    if (!strcmp(what, "open")) done = make(path);
    else if (!strcmp(what, "append")) { int fd = open(path, O_CREAT | O_WRONLY | O_APPEND, 0644); if (fd >= 0) { done = write(fd, "planted\n", 8) == 8 ? 0 : -1; close(fd); } }
    else if (!strcmp(what, "mkdir")) { done = mkdir(path, 0755); rmdir(clean); return done; }
    else if (!strcmp(what, "rename")) { make("fodder"); done = rename("fodder", path); }
    else if (!strcmp(what, "rename2")) { make("fodder"); done = renameat2(AT_FDCWD, "fodder", AT_FDCWD, path, RENAME_NOREPLACE); }
    else if (!strcmp(what, "link")) done = link("spare", path);
    else if (!strcmp(what, "symlink")) done = symlink("spare", path);
    else if (!strcmp(what, "truncate")) { make(on_disk ? path : "fine-01"); done = truncate(path, 3); if (done) done = truncate(path, 3); /* Out of step with what flips. */ }
    else if (!strcmp(what, "chmod")) { make("fine-01"); done = chmod(path, 0777); }
    else if (!strcmp(what, "unlink")) { make("fine-01"); done = unlink(path); }
    else if (!strcmp(what, "take")) { make("fine-01"); done = rename(path, "taken"); unlink("taken"); }
    else if (!strcmp(what, "into")) { make("fine-01"); done = link(path, "linked"); int fd = open("linked", O_WRONLY | O_TRUNC); if (fd >= 0) { if (write(fd, "planted\n", 8) != 8) abort(); close(fd); } unlink("linked"); }
    else abort();
    if (!on_disk || done == 0) unlink(clean);
    return done;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    char path[64] = {0};
    char name[8] = "fine-01", evil[8] = {0};
    strncpy(evil, argv[3], 7);
    memcpy(&fine, name, 8);
    memcpy(&other, evil, 8);
    word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    *word = fine;
    on_disk = !strcmp(argv[1], "disk");
    snprintf(path, sizeof path, "door/%s", argv[3]);
    pid_t child = 0;
    pthread_t thread;
    if (!strcmp(argv[1], "process")) {
        if ((child = fork()) == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            flip(NULL);
            _exit(0);
        }
    } else pthread_create(&thread, NULL, flip, NULL);
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    long done = 0, failed = 0, limit = getenv("CONTROL") ? 10000 : atol(argv[4]);
    const char *goal = on_disk ? "../vict" : argv[3];
    struct stat before = look(goal), after;
    do {
        /* Touched: there is nothing more to show. */
        after = look(goal);
        if (after.st_ino != before.st_ino || after.st_mode != before.st_mode || after.st_size != before.st_size || after.st_mtim.tv_nsec != before.st_mtim.tv_nsec) break;
        if (deed(argv[2], on_disk ? path : (const char *)word) == 0) done++;
        else failed++;
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < limit);
    stop = 1;
    if (child) kill(child, SIGKILL);
    printf("%s %s %s: done %ld failed %ld\n", argv[1], argv[2], argv[3], done, failed);
    return 0;
}
