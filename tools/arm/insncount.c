/* Counts guest instructions under qemu-user: a TCG plugin (API version 1, QEMU 5 to 8).
 *
 *   cc -O2 -fPIC -shared insncount.c -o libinsncount.so
 *   qemu-aarch64 -plugin ./libinsncount.so,mark=173,out=counts.json ... program
 *
 * A program marks the start and the end of what it wants counted by the system call `mark`, one that
 * does nothing else (getppid: 173 on aarch64, 64 on arm). The output is JSON, a list with one object
 * for each pair of marks: `instructions` and, with top=N, the N most frequent `mnemonics` and the N
 * hottest `blocks` (address, runs, code as text and as bytes in hexadecimal). Counts are exact for a
 * program with one thread.
 *
 * QEMU's plugin header is not packaged by Debian, so the few functions used are declared here.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef uint64_t plugin_id;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
enum { INLINE_ADD_U64 = 0 };

void qemu_plugin_register_vcpu_tb_trans_cb(plugin_id id,
                                           void (*cb)(plugin_id, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int op, void *counter,
                                              uint64_t amount);
void qemu_plugin_register_vcpu_syscall_cb(plugin_id id,
                                          void (*cb)(plugin_id, unsigned, int64_t, uint64_t,
                                                     uint64_t, uint64_t, uint64_t, uint64_t,
                                                     uint64_t, uint64_t, uint64_t));
void qemu_plugin_register_atexit_cb(plugin_id id, void (*cb)(plugin_id, void *), void *data);
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *tb, size_t index);
const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *insn);
size_t qemu_plugin_insn_size(const struct qemu_plugin_insn *insn);
uint64_t qemu_plugin_insn_vaddr(const struct qemu_plugin_insn *insn);
char *qemu_plugin_insn_disas(const struct qemu_plugin_insn *insn);

#define EXPORT __attribute__((visibility("default")))
EXPORT int qemu_plugin_version = 1;

/* A translated block and how often it ran since the last mark. */
struct block {
  uint64_t runs, address;
  size_t size;
  char **text, **bytes;
  struct block *next;
};

static int64_t mark_call = -1;
static FILE *out;
static size_t top, span_count;
static int in_span;
static uint64_t executed, span_begin;
static struct block *blocks;
static size_t block_count;

static char *hexadecimal(const struct qemu_plugin_insn *insn) {
  const unsigned char *data = qemu_plugin_insn_data(insn);
  const size_t size = qemu_plugin_insn_size(insn);
  char *text = malloc(2 * size + 1);
  for (size_t i = 0; i < size; ++i) sprintf(text + 2 * i, "%02x", data[i]);
  text[2 * size] = '\0';
  return text;
}

static void on_translate(plugin_id id, struct qemu_plugin_tb *tb) {
  (void)id;
  const size_t size = qemu_plugin_tb_n_insns(tb);
  qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &executed, size);
  if (top == 0) return;
  struct block *b = calloc(1, sizeof *b);
  b->size = size;
  b->address = qemu_plugin_insn_vaddr(qemu_plugin_tb_get_insn(tb, 0));
  b->text = calloc(size, sizeof *b->text);
  b->bytes = calloc(size, sizeof *b->bytes);
  for (size_t i = 0; i < size; ++i) {
    const struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(tb, i);
    b->text[i] = qemu_plugin_insn_disas(insn);
    b->bytes[i] = hexadecimal(insn);
  }
  b->next = blocks;
  blocks = b;
  ++block_count;
  qemu_plugin_register_vcpu_tb_exec_inline(tb, INLINE_ADD_U64, &b->runs, 1);
}

struct mnemonic {
  char name[16];
  uint64_t count;
};

static int by_count(const void *x, const void *y) {
  const uint64_t a = ((const struct mnemonic *)x)->count, b = ((const struct mnemonic *)y)->count;
  return a < b ? 1 : a > b ? -1 : 0;
}

static int by_instructions(const void *x, const void *y) {
  const struct block *a = *(struct block *const *)x, *b = *(struct block *const *)y;
  const uint64_t p = a->runs * a->size, q = b->runs * b->size;
  return p < q ? 1 : p > q ? -1 : 0;
}

static void print_mnemonics(FILE *f) {
  enum { MAX_NAMES = 2048 };
  struct mnemonic names[MAX_NAMES] = {0};
  size_t used = 0;
  for (struct block *b = blocks; b != NULL; b = b->next) {
    for (size_t i = 0; b->runs > 0 && i < b->size; ++i) {
      const char *s = b->text[i] + strspn(b->text[i], " \t");
      size_t length = strcspn(s, " \t");
      if (length >= sizeof names[0].name) length = sizeof names[0].name - 1;
      size_t at = 0;
      while (at < used &&
             (strncmp(names[at].name, s, length) != 0 || names[at].name[length] != '\0')) {
        ++at;
      }
      if (at == MAX_NAMES) continue;
      if (at == used) memcpy(names[used++].name, s, length);
      names[at].count += b->runs;
    }
  }
  qsort(names, used, sizeof names[0], by_count);
  fprintf(f, ",\n \"mnemonics\": {");
  for (size_t i = 0; i < used && i < top; ++i) {
    fprintf(f, "%s\"%s\": %" PRIu64, i ? ", " : "", names[i].name, names[i].count);
  }
  fprintf(f, "}");
}

static void print_text(FILE *f, const char *s) {
  for (; *s != '\0'; ++s) {
    if (*s == '"' || *s == '\\') fputc('\\', f);
    fputc(*s == '\t' ? ' ' : *s, f);
  }
}

static void print_list(FILE *f, const char *name, char **strings, size_t count) {
  fprintf(f, "\"%s\": [", name);
  for (size_t i = 0; i < count; ++i) {
    fprintf(f, "%s\"", i ? ", " : "");
    print_text(f, strings[i]);
    fprintf(f, "\"");
  }
  fprintf(f, "]");
}

static void print_blocks(FILE *f) {
  struct block **all = calloc(block_count + 1, sizeof *all);
  size_t n = 0;
  for (struct block *b = blocks; b != NULL; b = b->next) {
    if (b->runs > 0) all[n++] = b;
  }
  qsort(all, n, sizeof *all, by_instructions);
  fprintf(f, ",\n \"blocks\": [");
  for (size_t i = 0; i < n && i < top; ++i) {
    fprintf(f, "%s\n  {\"address\": %" PRIu64 ", \"runs\": %" PRIu64 ", ", i ? "," : "",
            all[i]->address, all[i]->runs);
    print_list(f, "text", all[i]->text, all[i]->size);
    fprintf(f, ", ");
    print_list(f, "bytes", all[i]->bytes, all[i]->size);
    fprintf(f, "}");
  }
  fprintf(f, "]");
  free(all);
}

static void on_syscall(plugin_id id, unsigned vcpu, int64_t number, uint64_t a, uint64_t b,
                       uint64_t c, uint64_t d, uint64_t e, uint64_t f, uint64_t g, uint64_t h) {
  (void)id, (void)vcpu, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
  if (number != mark_call) return;
  in_span = !in_span;
  if (in_span) {
    for (struct block *block = blocks; block != NULL; block = block->next) block->runs = 0;
    span_begin = executed;
    return;
  }
  fprintf(out, "%s\n{\"instructions\": %" PRIu64, span_count++ ? "," : "[",
          executed - span_begin);
  if (top > 0) {
    print_mnemonics(out);
    print_blocks(out);
  }
  fprintf(out, "}");
}

static void on_exit_(plugin_id id, void *data) {
  (void)id, (void)data;
  fprintf(out, "%s]\n", span_count ? "\n" : "[");
  fclose(out);
}

EXPORT int qemu_plugin_install(plugin_id id, const void *info, int argc, char **argv) {
  (void)info;
  out = stderr;
  for (int i = 0; i < argc; ++i) {
    if (strncmp(argv[i], "mark=", 5) == 0) {
      mark_call = strtoll(argv[i] + 5, NULL, 10);
    } else if (strncmp(argv[i], "out=", 4) == 0) {
      out = fopen(argv[i] + 4, "w");
      if (out == NULL) {
        perror(argv[i] + 4);
        return -1;
      }
    } else if (strncmp(argv[i], "top=", 4) == 0) {
      top = strtoul(argv[i] + 4, NULL, 10);
    } else {
      fprintf(stderr, "insncount: unknown option %s\n", argv[i]);
      return -1;
    }
  }
  qemu_plugin_register_vcpu_tb_trans_cb(id, on_translate);
  if (mark_call >= 0) qemu_plugin_register_vcpu_syscall_cb(id, on_syscall);
  qemu_plugin_register_atexit_cb(id, on_exit_, NULL);
  return 0;
}
