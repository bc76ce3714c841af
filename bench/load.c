/* A load generator that is never the bottleneck: keep-alive clients from one thread.

   load PORT PATH plain  CLIENTS SECONDS            < body    each client asks again as soon as it is answered
   load PORT PATH stream CLIENTS ROUNDS  RAMP_MS    < body    each client takes ROUNDS streams; they begin spread over RAMP_MS

   The body of every request comes from stdin. The result is one JSON object on stdout: times in milliseconds. A chunk is a
   line of the answer with content in it (an SSE event or a line of NDJSON), a gap the time between two reads that brought such. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define LINE 4096
#define STALL_NS 200000000LL
#define GIVE_UP_NS 60000000000LL

enum part { HEAD, SIZED, CHUNK_SIZE, CHUNK, CHUNK_END, TRAILER };

struct client {
    int fd;
    enum part part;
    size_t left;               /* bytes left of a sized body or a chunk */
    char head[LINE];           /* headers, then the line at hand of the body */
    size_t head_size;
    bool failed, last_word;    /* an error status or a closed connection; [DONE] or "done":true was seen */
    int rounds;
    int64_t begin_ns, asked_ns, heard_ns, gap_ns;
    long chunks;
};

struct figures {
    double *values;
    size_t count, room;
};

static int poller, port;
static bool streams;
static char *request;
static size_t request_size;
static struct figures latencies, first_chunks, gaps;
static long answered, errors, chunks, stalled;

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void add(struct figures *to, int64_t value_ns) {
    if (to->count == to->room) {
        to->room = to->room ? to->room * 2 : 1024;
        to->values = realloc(to->values, to->room * sizeof *to->values);
        if (!to->values) abort();
    }
    to->values[to->count++] = value_ns / 1e6;
}

static int by_size(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static void print_figures(const char *name, struct figures *of) {
    qsort(of->values, of->count, sizeof *of->values, by_size);
    printf(",\"%s\":", name);
    if (!of->count) printf("null");
    else
        printf("{\"median\":%.4f,\"p90\":%.4f,\"p99\":%.4f,\"max\":%.4f}", of->values[of->count / 2], of->values[of->count * 9 / 10],
               of->values[of->count * 99 / 100], of->values[of->count - 1]);
}

static void connect_client(struct client *one) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int yes = 1;
    one->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (one->fd < 0 || connect(one->fd, (struct sockaddr *)&address, sizeof address)) {
        perror("load: connect");
        exit(1);
    }
    setsockopt(one->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    epoll_ctl(poller, EPOLL_CTL_ADD, one->fd, &event);
}

static void ask(struct client *one) {
    one->part = HEAD;
    one->head_size = 0;
    one->failed = one->last_word = false;
    one->heard_ns = one->gap_ns = one->chunks = 0;
    one->asked_ns = now_ns();
    if (send(one->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size) one->failed = true;
}

/* A whole line of the body. */
static void hear_line(struct client *one, int64_t now) {
    const char *line = one->head;
    if (strstr(line, "data: [DONE]") || strstr(line, "\"done\":true")) one->last_word = true;
    const char *content = strstr(line, "\"content\":");
    if (!content) return;
    content += 10 + (content[10] == ' ');
    if (content[0] != '"' || content[1] == '"') return;
    one->chunks++;
    if (!one->heard_ns) add(&first_chunks, now - one->asked_ns);
    else if (now - one->heard_ns > one->gap_ns) one->gap_ns = now - one->heard_ns;
    one->heard_ns = now;
}

static void hear(struct client *one, const char *data, size_t size, int64_t now) {
    if (!streams) return;
    for (size_t at = 0; at < size; at++) {
        if (data[at] == '\n') {
            one->head[one->head_size] = 0;
            hear_line(one, now);
            one->head_size = 0;
        } else if (one->head_size < LINE - 1)
            one->head[one->head_size++] = data[at];
    }
}

/* Takes what has come; true at the end of the answer. */
static bool take(struct client *one, const char *data, size_t size, int64_t now) {
    size_t at = 0;
    while (at < size) {
        size_t some = size - at;
        switch (one->part) {
        case HEAD:
        case CHUNK_SIZE:
        case TRAILER:
            if (one->part != HEAD && data[at] == '\n') {
                at++;
                if (one->part == TRAILER) return true;
                one->part = one->left ? CHUNK : TRAILER;
                break;
            }
            if (one->part == HEAD) {
                if (one->head_size < LINE - 1) one->head[one->head_size++] = data[at];
                at++;
                if (one->head_size >= 4 && !memcmp(one->head + one->head_size - 4, "\r\n\r\n", 4)) {
                    one->head[one->head_size] = 0;
                    if (strncmp(one->head, "HTTP/1.1 200", 12)) one->failed = true;
                    const char *length = strcasestr(one->head, "\r\ncontent-length:");
                    one->left = length ? strtoul(length + 17, NULL, 10) : 0;
                    one->part = length ? SIZED : CHUNK_SIZE;
                    one->head_size = 0;
                    if (length && !one->left) return true;
                }
                break;
            }
            if (one->part == CHUNK_SIZE) {
                char digit = data[at] | 32;
                if (digit >= '0' && digit <= '9') one->left = one->left * 16 + digit - '0';
                else if (digit >= 'a' && digit <= 'f') one->left = one->left * 16 + digit - 'a' + 10;
            }
            at++;
            break;
        case SIZED:
        case CHUNK:
            if (some > one->left) some = one->left;
            hear(one, data + at, some, now);
            at += some;
            one->left -= some;
            if (!one->left) {
                if (one->part == SIZED) return true;
                one->part = CHUNK_END;
            }
            break;
        case CHUNK_END:
            if (data[at++] == '\n') one->part = CHUNK_SIZE;
            break;
        }
    }
    return false;
}

static void note(struct client *one, int64_t now) {
    answered++;
    if (one->failed || (streams && !one->last_word)) errors++;
    if (streams) {
        chunks += one->chunks;
        add(&gaps, one->gap_ns);
        stalled += one->gap_ns > STALL_NS;
    } else
        add(&latencies, now - one->asked_ns);
}

int main(int count, char **arguments) {
    if (count < 6) {
        fprintf(stderr, "usage: load PORT PATH plain CLIENTS SECONDS | load PORT PATH stream CLIENTS ROUNDS RAMP_MS\n");
        return 2;
    }
    port = atoi(arguments[1]);
    streams = !strcmp(arguments[3], "stream");
    int clients = atoi(arguments[4]);
    double seconds = atof(arguments[5]);
    int rounds = streams ? atoi(arguments[5]) : 0, open = clients;
    double ramp_ms = count > 6 ? atof(arguments[6]) : 0;
    static char body[1 << 16];
    size_t body_size = fread(body, 1, sizeof body, stdin);
    request = malloc(body_size + 1024);
    if (!request) abort();
    request_size = sprintf(request,
                           "POST %s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\nAuthorization: Bearer bench\r\n"
                           "Accept: */*\r\nContent-Length: %zu\r\n\r\n",
                           arguments[2], port, body_size);
    memcpy(request + request_size, body, body_size);
    request_size += body_size;

    poller = epoll_create1(0);
    struct client *all = calloc(clients, sizeof *all);
    if (!all) abort();
    int64_t begun_ns = now_ns(), until_ns = begun_ns + (int64_t)(seconds * 1e9);
    for (int index = 0; index < clients; index++) {
        connect_client(&all[index]);
        all[index].rounds = rounds;
    }
    begun_ns = now_ns();
    until_ns = streams ? INT64_MAX : begun_ns + (int64_t)(seconds * 1e9);
    for (int index = 0; index < clients; index++)
        all[index].begin_ns = begun_ns + (int64_t)(ramp_ms * 1e6 * index / clients);
    int begun = 0;
    int64_t now = begun_ns, heard_ns = begun_ns;
    while (open) {
        for (; begun < clients && all[begun].begin_ns <= now; begun++) ask(&all[begun]);
        struct epoll_event events[256];
        int wait_ms = begun < clients ? 1 : 1000;
        int ready = epoll_wait(poller, events, 256, wait_ms);
        now = now_ns();
        if (ready) heard_ns = now;
        if (now - heard_ns > GIVE_UP_NS) {
            errors += open;
            break;
        }
        for (int index = 0; index < ready; index++) {
            static char data[1 << 16];
            struct client *one = events[index].data.ptr;
            ssize_t got = recv(one->fd, data, sizeof data, MSG_DONTWAIT);
            now = now_ns();
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) one->failed = true;
            else if (!take(one, data, got, now)) continue;
            note(one, now);
            if (got <= 0) {
                close(one->fd);
                connect_client(one);
            }
            if (streams ? --one->rounds <= 0 : now >= until_ns) {
                close(one->fd);
                open--;
            } else
                ask(one);
        }
    }
    double took_s = (now - begun_ns) / 1e9;
    printf("{\"clients\":%d,\"answered\":%ld,\"errors\":%ld,\"seconds\":%.3f,\"rate\":%.2f,\"chunks\":%ld,\"stalled\":%ld", clients, answered, errors,
           took_s, answered / took_s, chunks, stalled);
    print_figures("latency_ms", &latencies);
    print_figures("first_chunk_ms", &first_chunks);
    print_figures("largest_gap_ms", &gaps);
    printf("}\n");
    return 0;
}
