/* A clock that goes wrong: preloaded, it sets the wall clock of a process off by RELAY_TEST_SKEW seconds, or by as many as stand
   in the file of that name. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static long skew(void)
{
    const char *seconds = getenv("RELAY_TEST_SKEW");
    char text[32] = {0};
    int file;

    if (seconds == NULL || *seconds != '/')
        return seconds ? atol(seconds) : 0;
    file = open(seconds, O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    if (read(file, text, sizeof text - 1) < 0)
        text[0] = 0;
    close(file);
    return atol(text);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int result = (int) syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += skew();
    return result;
}
