/* A directory is given a name under which its contents are protected, while
 * another thread makes the contents. Stops as soon as both are there. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static volatile int stop;

static void *fill(void *unused) {
    while (!stop) {
        int place = open("x", O_RDONLY | O_DIRECTORY);
        int file = openat(place, "settings.json", O_CREAT | O_WRONLY, 0644);
        if (file >= 0) close(file);
        if (place >= 0) close(place);
    }
    return unused;
}

int main(void) {
    pthread_t thread;
    pthread_create(&thread, NULL, fill, NULL);
    long renamed = 0;
    time_t end = time(NULL) + 2;
    while (time(NULL) < end) {
        mkdir("x", 0755);
        if (rename("x", ".claude") == 0) {
            renamed++;
            for (volatile int i = 0; i < 2000; i++) {}
            if (rmdir(".claude") != 0) break;
        }
        unlink("x/settings.json");
        rmdir("x");
    }
    stop = 1;
    pthread_join(thread, NULL);
    printf("renamed %ld\n", renamed);
    return 0;
}
