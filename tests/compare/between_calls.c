/* Where the gateway's time goes on an x86-64: cycles of the time stamp counter in each of its three system calls, and
 * between them, which is its own work. It is preloaded into the gateway, and adds a line to the file named by
 * BETWEEN_CALLS each 20,000 waits of a thread.
 *
 *     cc -O2 -shared -fPIC -o /tmp/between.so tests/compare/between_calls.c
 *     printf '#!/bin/sh\nLD_PRELOAD=/tmp/between.so exec target/release/trunkline "$@"\n' > /tmp/gateway; chmod +x /tmp/gateway
 *     BETWEEN_CALLS=/tmp/between target/release/trunkline-load fast --gateway /tmp/gateway --rate 5000 --payload 128
 *
 * A call lasts for as long as somebody else has the processor meanwhile. Where the host is busy all figures grow
 * alike, so compare what is between the calls to what `recv` takes.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <x86intrin.h>

static __thread uint64_t since, between, waits, recvs, in_recv, sends, in_send;

static void report(void) {
    const char *name = getenv("BETWEEN_CALLS");
    FILE *file = name ? fopen(name, "a") : NULL;
    if (!file) return;
    fprintf(file, "%lu waits: %lu cycles between calls for each, %lu in recv, %lu in send; between to recv %.2f\n",
            waits, between / waits, in_recv / recvs, in_send / sends, (double)between / waits * recvs / in_recv);
    fclose(file);
}

#define CALL(type, function, arguments, ...)                                                                           \
    static type (*real)arguments;                                                                                      \
    if (!real) real = (type(*) arguments)dlsym(RTLD_NEXT, #function);                                                  \
    uint64_t begun = __rdtsc();                                                                                        \
    if (since) between += begun - since;                                                                               \
    type result = real(__VA_ARGS__);                                                                                   \
    since = __rdtsc();

int epoll_wait(int epoll, struct epoll_event *events, int most, int timeout) {
    CALL(int, epoll_wait, (int, struct epoll_event *, int, int), epoll, events, most, timeout)
    if (++waits % 20000 == 0 && recvs && sends) {
        report();
        since = __rdtsc();
    }
    return result;
}

ssize_t recv(int socket, void *buffer, size_t bytes, int flags) {
    CALL(ssize_t, recv, (int, void *, size_t, int), socket, buffer, bytes, flags)
    recvs++;
    in_recv += since - begun;
    return result;
}

ssize_t send(int socket, const void *buffer, size_t bytes, int flags) {
    CALL(ssize_t, send, (int, const void *, size_t, int), socket, buffer, bytes, flags)
    sends++;
    in_send += since - begun;
    return result;
}
