/* The wall clock of a process that has this library in LD_PRELOAD, moved by the seconds that stand in a file of eight bytes.
   Whoever writes them moves it at once, as an administrator or a time server may set a machine's clock: CLOCK_MONOTONIC runs on,
   and who waits until a time of day (librdkafka does) waits longer or shorter. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

#define SLICE_NS 50000000LL
#define SECOND_NS 1000000000LL

static int64_t ahead(void) {
    static const int64_t none = 0;
    static const volatile int64_t *seconds;
    if (seconds == NULL) {
        const char *name = getenv("CHAOS_CLOCK_FILE");
        int file = name == NULL ? -1 : open(name, O_RDONLY | O_CLOEXEC);
        void *mapped = file < 0 ? MAP_FAILED : mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, file, 0);
        if (file >= 0) close(file);
        seconds = mapped == MAP_FAILED ? &none : mapped;
    }
    return *seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = (int)syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += ahead();
    return failed;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *also) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (also != NULL) *also = exact.tv_sec;
    return exact.tv_sec;
}

int timespec_get(struct timespec *now, int base) {
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}

/* Until a time of day, looked at again in every slice: the clock may have moved. The end of a slice is a spurious wake-up, which
   every caller must expect. Times before 1980 are of a condition on CLOCK_MONOTONIC. */
int pthread_cond_timedwait(pthread_cond_t *restrict condition, pthread_mutex_t *restrict mutex,
                           const struct timespec *restrict until) {
    struct timespec now, end;
    if (until->tv_sec < 315532800) return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, until);
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t left = (until->tv_sec - now.tv_sec) * SECOND_NS + until->tv_nsec - now.tv_nsec;
    int last = left <= SLICE_NS;
    clock_gettime(CLOCK_MONOTONIC, &end);
    end.tv_nsec += last ? (left > 0 ? left : 0) : SLICE_NS;
    end.tv_sec += end.tv_nsec / SECOND_NS;
    end.tv_nsec %= SECOND_NS;
    int ended = pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, &end);
    return ended == ETIMEDOUT && !last ? 0 : ended;
}

/* glibc's conditions of C11 are its POSIX ones by another name. */
int cnd_timedwait(cnd_t *restrict condition, mtx_t *restrict mutex, const struct timespec *restrict until) {
    int ended = pthread_cond_timedwait((pthread_cond_t *)condition, (pthread_mutex_t *)mutex, until);
    return ended == 0 ? thrd_success : ended == ETIMEDOUT ? thrd_timedout : thrd_error;
}
