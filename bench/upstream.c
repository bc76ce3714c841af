/* An upstream that is never the bottleneck: OpenAI's and Ollama's wires, as far as the benchmarks use them, from one thread.

   upstream PORT QUICK_CHUNKS PACED_CHUNKS INTERVAL_MS

   A model with "paced" in its name answers with PACED_CHUNKS pieces, one every INTERVAL_MS, when it is asked for a stream; any
   other model with QUICK_CHUNKS pieces at once. Asked for a plain answer, both give it at once. PORT 0 takes a free one. The
   port is the first line on stdout. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MAX_REQUEST (1 << 20)
#define PIECE " lorem"

enum wire { OPENAI, OLLAMA };

struct connection {
    int fd;
    char *in;                 /* what has come of the present request */
    size_t in_size, in_room;
    char *out;                /* what the socket did not take yet */
    size_t out_size, out_room;
    bool watches_out;
    enum wire wire;           /* of the stream under way */
    bool paced, with_usage;
    char model[64];           /* as it was asked for; real servers repeat it in every chunk */
    int sent;                 /* pieces of it that are out, of a paced one */
    int64_t due_ns;
    struct connection *next;  /* in the queue of paced streams */
};

static int poller, timer, quick_chunks, paced_chunks;
static int64_t interval_ns;
static struct connection *first_due, *last_due;
static long loaded_context; /* num_ctx of the last load; 0 before the first */

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void *grown(void *block, size_t *room, size_t wanted) {
    if (wanted <= *room) return block;
    *room = wanted * 2;
    block = realloc(block, *room);
    if (!block) abort();
    return block;
}

static void put(struct connection *one, const char *data, size_t size) {
    one->out = grown(one->out, &one->out_room, one->out_size + size);
    memcpy(one->out + one->out_size, data, size);
    one->out_size += size;
}

/* One piece of a chunked body. */
static void put_chunk(struct connection *one, const char *data, size_t size) {
    char head[16];
    put(one, head, sprintf(head, "%zx\r\n", size));
    put(one, data, size);
    put(one, "\r\n", 2);
}

static void put_json(struct connection *one, const char *body) {
    char head[128];
    put(one, head, sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n", strlen(body)));
    put(one, body, strlen(body));
}

#define OPENAI_CHUNK "data: {\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"%s\",\"choices\":"
#define USAGE "\"usage\":{\"prompt_tokens\":12,\"completion_tokens\":%d,\"total_tokens\":%d}"
#define OLLAMA_CHUNK "{\"model\":\"%s\",\"created_at\":\"2026-01-01T00:00:00.000000Z\",\"message\":{\"role\":\"assistant\",\"content\":"
#define OLLAMA_DONE "\"done\":true,\"done_reason\":\"stop\",\"total_duration\":1000000,\"load_duration\":1000,\"prompt_eval_count\":12,\"prompt_eval_duration\":1000,\"eval_count\":%d,\"eval_duration\":1000}\n"

static void put_piece(struct connection *one, bool first) {
    char text[512];
    if (one->wire == OLLAMA)
        put_chunk(one, text, sprintf(text, OLLAMA_CHUNK "\"" PIECE "\"},\"done\":false}\n", one->model));
    else
        put_chunk(one, text, sprintf(text, OPENAI_CHUNK "[{\"index\":0,\"delta\":{%s\"content\":\"" PIECE "\"},\"logprobs\":null,\"finish_reason\":null}]}\n\n",
                                     one->model, first ? "\"role\":\"assistant\"," : ""));
}

static void put_end(struct connection *one, int pieces) {
    char text[512];
    if (one->wire == OLLAMA)
        put_chunk(one, text, sprintf(text, OLLAMA_CHUNK "\"\"}," OLLAMA_DONE, one->model, pieces));
    else {
        put_chunk(one, text, sprintf(text, OPENAI_CHUNK "[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n", one->model));
        if (one->with_usage) put_chunk(one, text, sprintf(text, OPENAI_CHUNK "[]," USAGE "}\n\n", one->model, pieces, 12 + pieces));
        put_chunk(one, "data: [DONE]\n\n", 14);
    }
    put(one, "0\r\n\r\n", 5);
}

static void put_plain(struct connection *one, int pieces) {
    char said[8192] = "", body[16384];
    for (int piece = 0; piece < pieces && strlen(said) + 16 < sizeof said; piece++) strcat(said, PIECE);
    if (one->wire == OLLAMA)
        sprintf(body, OLLAMA_CHUNK "\"%s\"}," OLLAMA_DONE, one->model, said, pieces);
    else
        sprintf(body,
                "{\"id\":\"chatcmpl-bench\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"%s\",\"choices\":[{\"index\":0,"
                "\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},\"logprobs\":null,\"finish_reason\":\"stop\"}]," USAGE "}",
                one->model, said, pieces, 12 + pieces);
    put_json(one, body);
}

static void set_timer(void) {
    struct itimerspec when = {0};
    if (first_due) {
        when.it_value.tv_sec = first_due->due_ns / 1000000000LL;
        when.it_value.tv_nsec = first_due->due_ns % 1000000000LL;
    }
    timerfd_settime(timer, TFD_TIMER_ABSTIME, &when, NULL);
}

/* All intervals are equal, so a queue in order of arrival is in order of time. */
static void queue(struct connection *one, int64_t due_ns) {
    one->due_ns = due_ns;
    one->next = NULL;
    if (last_due) last_due->next = one;
    else first_due = one;
    last_due = one;
}

static void unqueue(struct connection *gone) {
    struct connection *before = NULL;
    for (struct connection *one = first_due; one; before = one, one = one->next)
        if (one == gone) {
            if (before) before->next = one->next;
            else first_due = one->next;
            if (last_due == one) last_due = before;
            return;
        }
}

static void stream(struct connection *one) {
    const char *type = one->wire == OLLAMA ? "application/x-ndjson" : "text/event-stream; charset=utf-8";
    char head[160];
    put(one, head, sprintf(head, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n", type));
    if (one->paced) {
        put_piece(one, true);
        one->sent = 1;
        queue(one, now_ns() + interval_ns);
        if (first_due == one) set_timer();
        return;
    }
    for (int piece = 0; piece < quick_chunks; piece++) put_piece(one, piece == 0);
    put_end(one, quick_chunks);
}

static bool has(const char *body, const char *key, const char *value) {
    for (const char *at = body; (at = strstr(at, key)); at++) {
        const char *after = at + strlen(key);
        after += strspn(after, " :");
        if (!strncmp(after, value, strlen(value))) return true;
    }
    return false;
}

static void note_model(struct connection *one, const char *body) {
    const char *at = strstr(body, "\"model\"");
    at = at ? strchr(at + 7, '"') : NULL;
    snprintf(one->model, sizeof one->model, "%.*s", at ? (int)strcspn(at + 1, "\"") : 0, at ? at + 1 : "");
}

static void note_load(const char *body) {
    const char *at = strstr(body, "\"num_ctx\"");
    loaded_context = at ? strtol(at + strcspn(at, ":") + 1, NULL, 10) : 4096;
}

static void put_models(struct connection *one, bool loaded) {
    static const char *names[] = {"quick:7b", "paced:7b"};
    char body[2048], *at = body;
    at += sprintf(at, "{\"models\":[");
    for (int index = 0; index < 2; index++) {
        at += sprintf(at, "%s{\"name\":\"%s\",\"model\":\"%s\",\"modified_at\":\"2026-01-01T00:00:00Z\",\"size\":100000000,"
                          "\"digest\":\"%064d\",\"details\":{\"format\":\"gguf\",\"family\":\"llama\",\"families\":[\"llama\"],"
                          "\"parameter_size\":\"7.0B\",\"quantization_level\":\"Q4_K_M\"}",
                      index ? "," : "", names[index], names[index], index + 1);
        at += loaded ? sprintf(at, ",\"size_vram\":0,\"context_length\":%ld}", loaded_context)
                     : sprintf(at, ",\"capabilities\":[\"completion\",\"tools\"]}");
    }
    strcpy(at, "]}");
    put_json(one, body);
}

static void answer(struct connection *one, const char *line, const char *body) {
    const char *path = line + strcspn(line, " ") + 1;
    one->wire = strncmp(path, "/api/", 5) ? OPENAI : OLLAMA;
    note_model(one, body);
    one->paced = strstr(one->model, "paced") != NULL;
    one->with_usage = has(body, "\"include_usage\"", "true");
    if (!strncmp(path, "/v1/chat/completions ", 21)) {
        if (has(body, "\"stream\"", "true")) stream(one);
        else put_plain(one, quick_chunks);
    } else if (!strncmp(path, "/api/chat ", 10)) {
        note_load(body);
        if (!has(body, "\"stream\"", "false")) stream(one);
        else put_plain(one, quick_chunks);
    } else if (!strncmp(path, "/api/generate ", 14)) {
        note_load(body);
        put_json(one, "{\"model\":\"bench\",\"created_at\":\"2026-01-01T00:00:00Z\",\"response\":\"\",\"done\":true,\"done_reason\":\"load\"}");
    } else if (!strncmp(path, "/api/tags ", 10))
        put_models(one, false);
    else if (!strncmp(path, "/api/ps ", 8)) {
        if (loaded_context) put_models(one, true);
        else put_json(one, "{\"models\":[]}");
    } else if (!strncmp(path, "/api/version ", 13))
        put_json(one, "{\"version\":\"0.14.0\"}");
    else if (!strncmp(path, "/api/show ", 10))
        put_json(one,
                 "{\"details\":{\"format\":\"gguf\",\"family\":\"llama\",\"families\":[\"llama\"],\"parameter_size\":\"7.0B\","
                 "\"quantization_level\":\"Q4_K_M\"},\"capabilities\":[\"completion\",\"tools\"],\"model_info\":{"
                 "\"general.architecture\":\"llama\",\"general.parameter_count\":7000000000,\"llama.context_length\":32768,"
                 "\"llama.block_count\":2,\"llama.embedding_length\":256,\"llama.attention.head_count\":4,"
                 "\"llama.attention.head_count_kv\":4},\"modified_at\":\"2026-01-01T00:00:00Z\"}");
    else if (!strncmp(path, "/v1/models ", 11))
        put_json(one, "{\"object\":\"list\",\"data\":[{\"id\":\"quick\",\"object\":\"model\",\"created\":1,\"owned_by\":\"bench\",\"max_model_len\":32768},"
                      "{\"id\":\"paced\",\"object\":\"model\",\"created\":1,\"owned_by\":\"bench\",\"max_model_len\":32768}]}");
    else
        put(one, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 45);
}

static void drop(struct connection *one) {
    unqueue(one);
    close(one->fd);
    free(one->in);
    free(one->out);
    free(one);
}

/* False when the connection is gone. */
static bool flush(struct connection *one) {
    size_t gone = 0;
    while (gone < one->out_size) {
        ssize_t written = send(one->fd, one->out + gone, one->out_size - gone, MSG_NOSIGNAL);
        if (written < 0 && errno == EAGAIN) break;
        if (written < 0) {
            drop(one);
            return false;
        }
        gone += written;
    }
    memmove(one->out, one->out + gone, one->out_size - gone);
    one->out_size -= gone;
    if (one->watches_out != (one->out_size > 0)) {
        one->watches_out = one->out_size > 0;
        struct epoll_event event = {.events = EPOLLIN | (one->watches_out ? EPOLLOUT : 0), .data.ptr = one};
        epoll_ctl(poller, EPOLL_CTL_MOD, one->fd, &event);
    }
    return true;
}

static void receive(struct connection *one) {
    for (;;) {
        one->in = grown(one->in, &one->in_room, one->in_size + 4096);
        ssize_t got = recv(one->fd, one->in + one->in_size, one->in_room - one->in_size - 1, 0);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0 || one->in_size + got > MAX_REQUEST) {
            drop(one);
            return;
        }
        one->in_size += got;
        one->in[one->in_size] = 0;
        char *body = strstr(one->in, "\r\n\r\n");
        if (!body) continue;
        body += 4;
        const char *length = strcasestr(one->in, "\r\ncontent-length:");
        size_t wanted = length && length < body ? strtoul(length + 17, NULL, 10) : 0;
        if (one->in_size - (body - one->in) < wanted) continue;
        answer(one, one->in, body);
        one->in_size = 0; /* nobody here sends a request before the last is answered */
        if (!flush(one)) return;
    }
}

static void send_due(void) {
    uint64_t ticks;
    if (read(timer, &ticks, sizeof ticks) < 0) return;
    int64_t now = now_ns();
    while (first_due && first_due->due_ns <= now) {
        struct connection *one = first_due;
        first_due = one->next;
        if (!first_due) last_due = NULL;
        if (one->sent < paced_chunks) {
            put_piece(one, false);
            one->sent++;
            queue(one, one->due_ns + interval_ns);
        } else
            put_end(one, paced_chunks);
        flush(one);
    }
    set_timer();
}

int main(int count, char **arguments) {
    if (count != 5) {
        fprintf(stderr, "usage: upstream PORT QUICK_CHUNKS PACED_CHUNKS INTERVAL_MS\n");
        return 2;
    }
    quick_chunks = atoi(arguments[2]);
    paced_chunks = atoi(arguments[3]);
    interval_ns = atoi(arguments[4]) * 1000000LL;
    signal(SIGPIPE, SIG_IGN);

    int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), yes = 1;
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1])), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    if (bind(listener, (struct sockaddr *)&address, size) || listen(listener, 4096)) {
        perror("upstream");
        return 1;
    }
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);

    poller = epoll_create1(0);
    timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &listener};
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    event.data.ptr = &timer;
    epoll_ctl(poller, EPOLL_CTL_ADD, timer, &event);
    for (;;) {
        struct epoll_event events[256];
        int ready = epoll_wait(poller, events, 256, -1);
        bool due = false;
        for (int index = 0; index < ready; index++) {
            if (events[index].data.ptr == &listener) {
                int fd;
                while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
                    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
                    struct connection *one = calloc(1, sizeof *one);
                    if (!one) abort();
                    one->fd = fd;
                    struct epoll_event opened = {.events = EPOLLIN, .data.ptr = one};
                    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &opened);
                }
            } else if (events[index].data.ptr == &timer)
                due = true;
            else if (events[index].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
                receive(events[index].data.ptr);
            else
                flush(events[index].data.ptr);
        }
        if (due) send_due(); /* last: it may drop connections that have events of their own */
    }
}
