/* Opens and closes one file many times and says how long that took, in µs. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int main(int count, char **words) {
    if (count != 4) return 2;
    int writes = strcmp(words[1], "write") == 0;
    int times = writes ? 5000 : 200000;
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    for (int i = 0; i < times; i++) {
        int fd = open(words[2], writes ? O_WRONLY : O_RDONLY);
        if (fd < 0) { printf("failed %s\n", words[3]); return 1; }
        close(fd);
    }
    clock_gettime(CLOCK_MONOTONIC, &to);
    long us = (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000;
    printf("step %s %ld\n", words[3], us);
    return 0;
}
