/* What the micro-benchmark probes: functions that do next to nothing and begin in different ways, called in bursts.
 *
 *     prints   ready
 *     reads    burst F BURSTS CALLS KEYS   calls function F (0 push, 1 endbr64, 2 endbr64 and push, 3 nop); its first argument
 *                                          runs through KEYS numbers
 *     reads    many FROM N BURSTS CALLS    calls N of 1,000 equal functions in turn, from number FROM on
 *     prints   one number a burst: ns of this thread's CPU time for all its calls
 *     reads    pace RATE MILLISECONDS      calls `probe_push` so many times a second, as well as it can
 *     prints   how many calls it made, and the ns that they took
 *
 * It runs on one CPU, the last that it may use.
 */

#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifndef __x86_64__
#error "the functions are x86-64 ones"
#endif

struct params { int32_t ith, nth; void *pool; };
struct matrix { int64_t rows, columns; int32_t *data; };

typedef uint64_t probed(uint64_t key, struct params *params, struct matrix *matrix);

#define FUNCTION(name, first, last) \
    extern probed name; \
    __asm__(".text\n.p2align 4\n.globl " #name "\n.type " #name ",@function\n" #name ":\n" first \
            "lea (%rdi,%rsi),%rax\n" last "ret\n.size " #name ",.-" #name "\n")

FUNCTION(probe_push, "push %rbp\n", "pop %rbp\n");
FUNCTION(probe_endbr64, "endbr64\n", "");
FUNCTION(probe_cet, "endbr64\npush %rbp\n", "pop %rbp\n");
FUNCTION(probe_nop, "nop\n", "");

/* probe_many_0 to probe_many_999, and a table of them. */
extern probed *const probe_many[1000];
__asm__(".text\n.altmacro\n"
        ".macro many n\n.p2align 4\n.globl probe_many_\\n\n.type probe_many_\\n,@function\nprobe_many_\\n:\n"
        "push %rbp\nlea (%rdi,%rsi),%rax\npop %rbp\nret\n.size probe_many_\\n,.-probe_many_\\n\n"
        ".section .data.rel.ro.many,\"aw\"\n.quad probe_many_\\n\n.text\n.endm\n"
        ".section .data.rel.ro.many,\"aw\"\n.p2align 3\n.globl probe_many\nprobe_many:\n.text\n"
        ".set i,0\n.rept 1000\nmany %i\n.set i,i+1\n.endr\n.noaltmacro\n");

static probed *const functions[] = { probe_push, probe_endbr64, probe_cet, probe_nop };

static int32_t cells[16] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };
static struct params params = { 0, 2, cells };
static struct matrix matrix = { 4, 4, cells };

static int64_t now(clockid_t clock) {
    struct timespec t;
    clock_gettime(clock, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void pin(void) {
    cpu_set_t may, one;
    int last = 0;
    sched_getaffinity(0, sizeof may, &may);
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET(cpu, &may)) last = cpu;
    CPU_ZERO(&one);
    CPU_SET(last, &one);
    sched_setaffinity(0, sizeof one, &one);
}

int main(void) {
    char line[128];
    int f, bursts, calls, keys, from, n;
    uint64_t key = 0;
    long rate, ms;
    pin();
    printf("ready\n");
    fflush(stdout);
    while (fgets(line, sizeof line, stdin)) {
        if (sscanf(line, "burst %d %d %d %d", &f, &bursts, &calls, &keys) == 4 && f >= 0 && f < 4 && keys > 0) {
            probed *volatile call = functions[f];
            for (int b = 0; b < bursts; b++) {
                int64_t begin = now(CLOCK_THREAD_CPUTIME_ID);
                for (int i = 0; i < calls; i++) {
                    call(key, &params, &matrix);
                    if (++key >= (uint64_t)keys) key = 0;
                }
                printf("%lld ", (long long)(now(CLOCK_THREAD_CPUTIME_ID) - begin));
            }
        } else if (sscanf(line, "many %d %d %d %d", &from, &n, &bursts, &calls) == 4 && from >= 0 && n > 0 && from + n <= 1000) {
            for (int b = 0; b < bursts; b++) {
                int k = from;
                int64_t begin = now(CLOCK_THREAD_CPUTIME_ID);
                for (int i = 0; i < calls; i++) {
                    probe_many[k]((uint64_t)i, &params, &matrix);
                    if (++k == from + n) k = from;
                }
                printf("%lld ", (long long)(now(CLOCK_THREAD_CPUTIME_ID) - begin));
            }
        } else if (sscanf(line, "pace %ld %ld", &rate, &ms) == 2 && rate > 0) {
            probed *volatile call = functions[0];
            int64_t begin = now(CLOCK_MONOTONIC), at = begin;
            long made = 0;
            while ((at = now(CLOCK_MONOTONIC)) - begin < ms * 1000000) {
                /* What is due by now; a call that takes longer than its share makes the rate lower, and that is told. */
                if (made > (long)((double)(at - begin) * (double)rate / 1e9)) continue;
                call((uint64_t)made, &params, &matrix);
                made++;
            }
            printf("%ld %lld", made, (long long)(at - begin));
        } else {
            fprintf(stderr, "target: not understood: %s", line);
            return 1;
        }
        printf("\n");
        fflush(stdout);
    }
    return 0;
}
