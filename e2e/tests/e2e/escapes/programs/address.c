/* ./address ALLOWED REFUSED MILLISECONDS: connects again and again to a port
 * of the loopback that flips between the two. Prints how often it succeeded. */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

static struct sockaddr_in address __attribute__((aligned(8)));
static uint32_t first, second;
static volatile int stop;

static void *flip(void *unused) {
    volatile uint32_t *word = (volatile uint32_t *)&address;
    while (!stop) {
        *word = second;
        for (volatile int i = 0; i < 300; i++) {}
        *word = first;
        for (volatile int i = 0; i < 300; i++) {}
    }
    return unused;
}

static uint32_t head(const char *port) {
    struct sockaddr_in made = {.sin_family = AF_INET, .sin_port = htons(atoi(port))};
    uint32_t word;
    memcpy(&word, &made, 4);
    return word;
}

int main(int argc, char **argv) {
    if (argc != 4) return 2;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    first = head(argv[1]);
    second = head(argv[2]);
    memcpy(&address, &first, 4);
    pthread_t thread;
    pthread_create(&thread, NULL, flip, NULL);
    struct timespec start, now;
    clock_gettime(CLOCK_MONOTONIC, &start);
    long done = 0, failed = 0;
    do {
        int s = socket(AF_INET, SOCK_STREAM, 0);
        if (connect(s, (struct sockaddr *)&address, sizeof address) == 0) done++;
        else failed++;
        close(s);
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while ((now.tv_sec - start.tv_sec) * 1000 + (now.tv_nsec - start.tv_nsec) / 1000000 < atol(argv[3]));
    stop = 1;
    pthread_join(thread, NULL);
    printf("done %ld failed %ld\n", done, failed);
    return 0;
}
