/* ./storm THREADS SECONDS ALLOWED REFUSED: as many threads make files, start
 * programs and connect, and try what is refused, all at once. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
static atomic_long made, started, reached, forbidden, odd;
static int allowed, refused;
static time_t end;

static int reach(int port) {
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int done = connect(s, (struct sockaddr *)&to, sizeof to);
    close(s);
    return done;
}

static int run(const char *program) {
    char *argv[] = {(char *)program, "storm", NULL};
    pid_t child;
    if (posix_spawn(&child, program, NULL, NULL, argv, environ)) return -1;
    int status;
    waitpid(child, &status, 0);
    return status == 0 ? 0 : -1;
}

static void *work(void *which) {
    long number = (long)which;
    char name[32];
    snprintf(name, sizeof name, "storm-%ld", number);
    for (long i = 0; time(NULL) < end; i++) {
        int fd = open(name, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0644);
        if (fd >= 0) { made++; close(fd); } else odd++;
        if (open(".envrc", O_CREAT | O_WRONLY | O_CLOEXEC, 0644) >= 0) forbidden++;
        if (mkdir(".vscode", 0755) == 0) forbidden++;
        if (rename(name, ".mcp.json") == 0) forbidden++;
        unlink(name);
        if (open("../victim", O_WRONLY | O_TRUNC | O_CLOEXEC) >= 0) forbidden++;
        if (i % 4 == number % 4) {
            if (run("./fine") == 0) started++;
            if (run("./evil") == 0) forbidden++;
        }
        if (i % 4 == (number + 2) % 4) {
            if (reach(allowed) == 0) reached++;
            if (reach(refused) == 0) forbidden++;
        }
    }
    return NULL;
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int threads = atoi(argv[1]);
    end = time(NULL) + atol(argv[2]) + 1;
    allowed = atoi(argv[3]);
    refused = atoi(argv[4]);
    pthread_t all[256];
    for (long i = 0; i < threads; i++) pthread_create(&all[i], NULL, work, (void *)i);
    for (int i = 0; i < threads; i++) pthread_join(all[i], NULL);
    printf("made %ld started %ld reached %ld forbidden %ld odd %ld\n", made, started, reached, forbidden, odd);
    return 0;
}
