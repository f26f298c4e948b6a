/* Parallel loops of several callers at once, with any number of threads, in forked children too: each task runs once. */
#include "pyconv.h"
#include "threads.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST_TASKS = 300, MOST_THREADS = 6, LOOPS = 1500, CALLERS = 3, ROUNDS = 3, CHILDREN = 3 };

typedef struct {
    int threads;
    int runs[MOST_TASKS];
} loop;

static void count(void *context, int64_t i, int worker) {
    loop *l = context;
    if (worker < 0 || worker >= l->threads) abort();
    l->runs[i]++;
    for (volatile int wait = 0; wait < i % 7 * 50; wait++) {}
}

static void *call_loops(void *context) {
    unsigned seed = *(const unsigned *)context;
    for (int n = 0; n < LOOPS; n++) {
        loop l = {.threads = 1 + rand_r(&seed) % MOST_THREADS};
        const int tasks = rand_r(&seed) % MOST_TASKS;
        pyconv_parallel_for(tasks, l.threads, count, &l);
        for (int i = 0; i < tasks; i++)
            if (l.runs[i] != 1) {
                printf("task %d of %d ran %d times\n", i, tasks, l.runs[i]);
                abort();
            }
        if (n % 97 == 0) usleep((useconds_t)(rand_r(&seed) % 1000)); /* workers fall asleep */
    }
    return 0;
}

int main(int count_of_arguments, char **arguments) {
    const unsigned seeds[CALLERS] = {1, 2, 3};
    for (int round = 0; round < ROUNDS; round++) {
        pthread_t callers[CALLERS];
        for (int i = 0; i < CALLERS; i++) pthread_create(callers + i, 0, call_loops, (void *)(seeds + i));
        for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], 0);
    }
    call_loops((void *)seeds);
    const int children = count_of_arguments > 1 && arguments[1][0] == 'f' ? CHILDREN : 0;
    for (int i = 0; i < children; i++) {
        const pid_t child = fork();
        if (child == 0) {
            call_loops((void *)seeds);
            _exit(0);
        }
        int status = 0;
        waitpid(child, &status, 0);
        if (status) return 1;
        call_loops((void *)seeds);
    }
    puts("passed");
    return 0;
}
