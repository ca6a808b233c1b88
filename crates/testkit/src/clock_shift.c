/* Preloaded into a process, shows it a wall clock that is CLOCK_SHIFT_SECONDS off. Monotonic clocks stay as they are,
 * and waits until a time of day end when they should. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

/* Times below are not of day: a condition may wait by the monotonic clock. */
#define EARLIEST_WALL_CLOCK 1000000000

static time_t shift(void) {
    static time_t seconds;
    static int known;
    if (!known) {
        const char *text = getenv("CLOCK_SHIFT_SECONDS");
        seconds = text ? atol(text) : 0;
        known = 1;
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *at) {
    int result = (int)syscall(SYS_clock_gettime, clock, at);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        at->tv_sec += shift();
    }
    return result;
}

int gettimeofday(struct timeval *restrict at, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) {
        *at = now.tv_sec;
    }
    return now.tv_sec;
}

int timespec_get(struct timespec *at, int base) {
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, at) == 0 ? base : 0;
}

/* A time of day as the kernel's clock has it. */
static struct timespec unshifted(const struct timespec *until) {
    struct timespec real = *until;
    if (real.tv_sec > EARLIEST_WALL_CLOCK) {
        real.tv_sec -= shift();
    }
    return real;
}

int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    static int (*wait)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    struct timespec real = unshifted(until);
    if (!wait) {
        /* Without a version, the one of before 2003 may be found. */
        wait = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
        if (!wait) {
            wait = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
        }
    }
    return wait(condition, mutex, &real);
}

int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    static int (*wait)(cnd_t *, mtx_t *, const struct timespec *);
    struct timespec real = unshifted(until);
    if (!wait) {
        wait = dlsym(RTLD_NEXT, "cnd_timedwait");
    }
    return wait(condition, mutex, &real);
}
