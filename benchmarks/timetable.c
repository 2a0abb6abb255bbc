/* Sends HTTP requests to 127.0.0.1 at their times, whether earlier ones were answered or not, and tells how long each answer took.
 *
 * timetable PORT CONNECTIONS < plan > answers
 *
 * plan: for each request, in order of time: double (seconds from the start), char (kind), uint32 (length), the request's bytes.
 * answers: a line each, "kind status nanoseconds", from when the request was due (not from when it could be sent) to its last byte.
 * It ends by itself, at the latest 30 seconds after the last request; requests without an answer have the status 0.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { ROOM = 1 << 16, MOST = 1024, PATIENCE = 30 };

struct request { int64_t due; char kind; uint32_t size; char *bytes; int status; int64_t took; };
struct connection { int fd; size_t request, held; char buffer[ROOM + 1]; };

static struct request *requests;
static size_t planned, sent, answered;
static struct connection *connections;
static size_t idle[MOST], idle_first, idle_count, opened;

static void fail(const char *what) { perror(what); exit(1); }

static int64_t now(void) {
    struct timespec moment;
    clock_gettime(CLOCK_MONOTONIC, &moment);
    return (int64_t)moment.tv_sec * 1000000000 + moment.tv_nsec;
}

static void read_plan(void) {
    size_t room = 0;
    double at;
    while (fread(&at, sizeof at, 1, stdin) == 1) {
        if (planned == room) {
            room = room ? 2 * room : 1024;
            requests = realloc(requests, room * sizeof *requests);
            if (!requests) fail("memory");
        }
        struct request *each = &requests[planned++];
        *each = (struct request){.due = (int64_t)(at * 1e9)};
        if (fread(&each->kind, 1, 1, stdin) != 1 || fread(&each->size, sizeof each->size, 1, stdin) != 1) fail("plan");
        each->bytes = malloc(each->size);
        if (!each->bytes || fread(each->bytes, 1, each->size, stdin) != each->size) fail("plan");
    }
}

static void open_connections(int port, int poll) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    connections = calloc(opened, sizeof *connections);
    for (size_t n = 0; n < opened; n++) {
        int one = 1, fd = socket(AF_INET, SOCK_STREAM, 0);
        if (fd < 0 || connect(fd, (struct sockaddr *)&there, sizeof there)) fail("connect");
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(fd, F_SETFL, O_NONBLOCK);
        connections[n].fd = fd;
        idle[idle_count++] = n;
        struct epoll_event told = {.events = EPOLLIN, .data.u64 = n};
        if (epoll_ctl(poll, EPOLL_CTL_ADD, fd, &told)) fail("epoll");
    }
}

/* The server closes what is idle for long, so connections take turns. */
static void send_due(int64_t start) {
    while (sent < planned && idle_count && requests[sent].due <= now() - start) {
        size_t n = idle[idle_first];
        idle_first = (idle_first + 1) % MOST;
        idle_count--;
        connections[n].request = sent;
        connections[n].held = 0;
        if (write(connections[n].fd, requests[sent].bytes, requests[sent].size) != (ssize_t)requests[sent].size) fail("send");
        sent++;
    }
}

/* Whether the whole answer is there. */
static int is_whole(struct connection *each) {
    each->buffer[each->held] = 0;
    char *end = strstr(each->buffer, "\r\n\r\n");
    if (!end) return 0;
    char *length = strcasestr(each->buffer, "\r\ncontent-length:");
    size_t body = length && length < end ? strtoul(length + 17, NULL, 10) : 0;
    return each->held >= (size_t)(end - each->buffer) + 4 + body;
}

static void take_answer(size_t n, int64_t start) {
    struct connection *each = &connections[n];
    ssize_t got = read(each->fd, each->buffer + each->held, ROOM - each->held);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) { fprintf(stderr, "a connection was closed\n"); exit(1); }
    each->held += (size_t)got;
    if (!is_whole(each)) return;
    requests[each->request].took = now() - start - requests[each->request].due;
    requests[each->request].status = atoi(each->buffer + 9);
    answered++;
    idle[(idle_first + idle_count++) % MOST] = n;
}

static void set_timer(int timer, int64_t start) {
    int64_t at = start + (sent < planned ? requests[sent].due : requests[planned - 1].due + (int64_t)PATIENCE * 1000000000);
    struct itimerspec when = {.it_value = {.tv_sec = at / 1000000000, .tv_nsec = at % 1000000000}};
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

int main(int count, char **words) {
    if (count != 3) { fprintf(stderr, "usage: timetable PORT CONNECTIONS < plan\n"); return 2; }
    opened = strtoul(words[2], NULL, 10);
    if (opened < 1 || opened > MOST) { fprintf(stderr, "CONNECTIONS: 1 to %d\n", MOST); return 2; }
    read_plan();
    if (!planned) return 0;
    int poll = epoll_create1(0), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    open_connections(atoi(words[1]), poll);
    struct epoll_event told = {.events = EPOLLIN, .data.u64 = MOST}, found[64];
    epoll_ctl(poll, EPOLL_CTL_ADD, timer, &told);
    int64_t start = now() + 10000000, last = requests[planned - 1].due;
    while (answered < planned && now() - start < last + (int64_t)PATIENCE * 1000000000) {
        send_due(start);
        set_timer(timer, start);
        int ready = epoll_wait(poll, found, 64, 1000);
        for (int n = 0; n < ready; n++) {
            uint64_t rang;
            if (found[n].data.u64 == MOST) { if (read(timer, &rang, sizeof rang) < 0 && errno != EAGAIN) fail("timer"); }
            else take_answer(found[n].data.u64, start);
        }
    }
    for (size_t n = 0; n < planned; n++) printf("%c %d %lld\n", requests[n].kind, requests[n].status, (long long)requests[n].took);
    return 0;
}
