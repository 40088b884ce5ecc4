/* ./signals RESTART PORT: makes files, directories, links, renames, programs
 * and connections, each once, while a signal arrives a thousand times a second.
 * What was interrupted is tried again; an effect that came twice shows. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static volatile long signals;
static long interrupted, twice, wrong;
static void count(int number) { (void)number; signals++; }

#define TRY(call) ({ long r_; int again_ = 0; while ((r_ = (call)) < 0 && errno == EINTR) { interrupted++; again_ = 1; } \
    if (r_ < 0) { if (again_) twice++; else { wrong++; perror(#call); } } r_; })

static void start(int number) {
    pid_t child = fork();
    if (child == 0) {
        char text[16];
        snprintf(text, sizeof text, "run-%d", number);
        /* SIGURG is ignored by what has no handler, so the new program lives. */
        do execl("/bin/mkdir", "mkdir", text, NULL); while (errno == EINTR);
        _exit(99);
    }
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    if (status != 0) { wrong++; fprintf(stderr, "program %d: %x\n", number, status); }
}

static void reach(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM, 0);
    int error = 0;
    /* Interrupted, it may go on by itself, or never have begun. */
    while ((error = connect(s, (struct sockaddr *)&to, sizeof to) < 0 ? errno : 0) == EINTR) interrupted++;
    if (error == EISCONN) error = 0;
    if (error == EALREADY || error == EINPROGRESS) {
        struct pollfd wait = {.fd = s, .events = POLLOUT};
        while (poll(&wait, 1, 5000) < 0 && errno == EINTR) {}
        socklen_t size = sizeof error;
        getsockopt(s, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (error) { wrong++; fprintf(stderr, "connect: %s\n", strerror(error)); }
    else {
        /* The server closes at once: this is its end, not the connection's. */
        char byte;
        long got;
        struct pollfd wait = {.fd = s, .events = POLLIN};
        while ((got = poll(&wait, 1, 5000)) < 0 && errno == EINTR) {}
        if (got != 1) { wrong++; fprintf(stderr, "connect: nobody is there\n"); }
        while (read(s, &byte, 1) < 0 && errno == EINTR) {}
    }
    close(s);
}

int main(int argc, char **argv) {
    if (argc != 3) return 2;
    struct sigaction action = {.sa_handler = count, .sa_flags = !strcmp(argv[1], "restart") ? SA_RESTART : 0};
    sigaction(SIGURG, &action, NULL);
    pid_t sender = fork();
    if (sender == 0) {
        signal(SIGURG, SIG_IGN);
        for (;;) { usleep(1000); if (getppid() == 1 || kill(0, SIGURG)) _exit(0); }
    }
    char a[32], b[32];
    for (int i = 0; i < 150; i++) {
        snprintf(a, sizeof a, "file-%d", i);
        int fd = TRY(open(a, O_CREAT | O_EXCL | O_WRONLY, 0644));
        if (fd >= 0) close(fd);
        snprintf(b, sizeof b, "dir-%d", i);
        TRY(mkdir(b, 0755));
        snprintf(b, sizeof b, "link-%d", i);
        TRY(link(a, b));
        snprintf(b, sizeof b, "soft-%d", i);
        TRY(symlink(a, b));
        snprintf(b, sizeof b, "moved-%d", i);
        TRY(rename(a, b));
        TRY(truncate(b, 5));
        if (i % 5 == 0) { start(i); reach(atoi(argv[2])); }
    }
    kill(sender, SIGKILL);
    printf("signals %ld interrupted %ld twice %ld wrong %ld\n", signals, interrupted, twice, wrong);
    return 0;
}
