/* A plugin for qemu's user emulation: counts the instructions that a program executes, and writes the count so far
 * at each call of getppid, by which the program marks where it is.
 *
 * -plugin FILE,out=FILE,mark=NUMBER     the system call's number differs between architectures
 *
 * The declarations are those of qemu's plugin interface that have not changed since qemu 4.2; its header is in no
 * package. Source: qemu, include/qemu/qemu-plugin.h.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifndef PLUGIN_VERSION
#define PLUGIN_VERSION 1
#endif

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;

size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id,
                                           void (*call)(qemu_plugin_id_t id, struct qemu_plugin_tb *tb));
void qemu_plugin_register_vcpu_tb_exec_cb(struct qemu_plugin_tb *tb, void (*call)(unsigned int vcpu, void *data),
                                          int flags, void *data);
void qemu_plugin_register_vcpu_syscall_cb(qemu_plugin_id_t id,
                                          void (*call)(qemu_plugin_id_t id, unsigned int vcpu, int64_t number,
                                                       uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5,
                                                       uint64_t a6, uint64_t a7, uint64_t a8));

__attribute__((visibility("default"))) int qemu_plugin_version = PLUGIN_VERSION;

static uint64_t executed;
static int64_t mark = -1;
static FILE *out;

static void on_block(unsigned int vcpu, void *data)
{
    (void)vcpu;
    __atomic_fetch_add(&executed, (uintptr_t)data, __ATOMIC_RELAXED);
}

static void on_translation(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(tb, on_block, 0, (void *)(uintptr_t)qemu_plugin_tb_n_insns(tb));
}

static void on_system_call(qemu_plugin_id_t id, unsigned int vcpu, int64_t number, uint64_t a1, uint64_t a2,
                           uint64_t a3, uint64_t a4, uint64_t a5, uint64_t a6, uint64_t a7, uint64_t a8)
{
    (void)id, (void)vcpu, (void)a1, (void)a2, (void)a3, (void)a4, (void)a5, (void)a6, (void)a7, (void)a8;
    if (number == mark) {
        fprintf(out, "%" PRIu64 "\n", __atomic_load_n(&executed, __ATOMIC_RELAXED));
        fflush(out);
    }
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int argc,
                                                               char **argv)
{
    (void)info;
    for (int number = 0; number < argc; number++) {
        if (strncmp(argv[number], "out=", 4) == 0) {
            out = fopen(argv[number] + 4, "w");
        } else if (strncmp(argv[number], "mark=", 5) == 0) {
            mark = strtoll(argv[number] + 5, NULL, 10);
        }
    }
    if (out == NULL || mark < 0) {
        return 1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, on_translation);
    qemu_plugin_register_vcpu_syscall_cb(id, on_system_call);
    return 0;
}
