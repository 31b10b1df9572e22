/* Any bytes through records.c. With libFuzzer it is led by coverage; by itself it reads the files that it is given. The
 * sanitizers notice what is read or written outside: each buffer is as large as it says, and not a byte larger. */
#include "records.c"

#include <stdio.h>
#include <stdlib.h>

#define MOST 1000
#define ROOM (1 << 20)
#define HOLDS(promise)                                                  \
    if (!(promise)) {                                                   \
        fprintf(stderr, "line %d: broken: %s\n", __LINE__, #promise);   \
        abort();                                                        \
    }

static void *copy_of(const void *bytes, size_t n) {
    void *made = malloc(n ? n : 1);
    if (made && n) memcpy(made, bytes, n);
    return made;
}

static void look_at(const Row *row, uint32_t n, uint32_t size, const uint8_t *out, uint32_t room, const Job *job) {
    uint32_t behind = 0, line_start = 0, declined = 0;
    for (uint32_t i = 0; i < n; i++) {
        HOLDS(row[i].start >= behind && row[i].start <= row[i].end && row[i].end <= size);
        HOLDS(row[i].line_end >= line_start && row[i].line_end <= room);
        behind = row[i].end;
        if (!row[i].kind) {
            HOLDS(row[i].line_end == line_start);
            declined++;
            continue;
        }
        uint32_t tabs = 0, ends = 0;
        for (uint32_t at = line_start; at < row[i].line_end; at++) {
            tabs += out[at] == '\t';
            ends += out[at] == '\n';
            HOLDS(out[at] >= 0x20 || out[at] == '\t' || out[at] == '\n');
        }
        HOLDS(ends == 1 && out[row[i].line_end - 1] == '\n');
        HOLDS(tabs == sizeof COLUMNS + 5); /* tenant, scan, key, number before them, two letters behind */
        HOLDS(row[i].key_start == line_start + job->prefix_n && row[i].key_start < row[i].key_end);
        HOLDS(row[i].key_end < row[i].line_end && out[row[i].key_end] == '\t');
        line_start = row[i].line_end;
    }
    HOLDS(declined == job->declined);
}

/* The first byte chooses the way, a number, and how much room there is; the values of single records end with a 0x1e. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t prefix[] = "tenant-a\t0190a6f2-7c1e-7bb2-9f57-2f4f3c9d8e11\t";
    if (size < 1 || size > ROOM) return 0;
    uint8_t how = data[0];
    uint32_t n = (uint32_t)size - 1, room = how & 2 ? n : n * 2 + 1024;
    uint32_t most = how & 4 ? 3 : MOST;
    uint8_t *json_bytes = copy_of(data + 1, n), *tenant = copy_of(prefix, sizeof prefix - 1), *out = malloc(room ? room : 1);
    Job job = {tenant, sizeof prefix - 1, how & 8 ? 2000000000 : -1, INT64_C(1764000000000000), 77};
    if (how & 1) {
        uint32_t count = 0, ends[MOST];
        for (uint32_t at = 0; at < n && count < most; at++)
            if (json_bytes[at] == 0x1e || at + 1 == n) ends[count++] = at + (json_bytes[at] != 0x1e);
        uint32_t *exact = copy_of(ends, count * sizeof *ends);
        Row *rows = malloc(count ? count * sizeof *rows : 1);
        int32_t found = scanline_read_singles(json_bytes, exact, count, &job, rows, out, room);
        HOLDS(found == (int32_t)count || found == -1);
        if (found >= 0) look_at(rows, count, n, out, room, &job);
        free(rows);
        free(exact);
    } else {
        Row *rows = malloc(most * sizeof *rows);
        int32_t found = scanline_read_message(json_bytes, n, &job, rows, most, out, room);
        HOLDS(found >= -1 && found != 0 && found <= (int32_t)most);
        if (found > 0) look_at(rows, (uint32_t)found, n, out, room, &job);
        free(rows);
    }
    free(json_bytes);
    free(tenant);
    free(out);
    return 0;
}

#ifdef BY_ITSELF
int main(int count, char **names) {
    static uint8_t data[ROOM];
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(names[i], "rb");
        if (!file) return 2;
        LLVMFuzzerTestOneInput(data, fread(data, 1, sizeof data, file));
        fclose(file);
    }
    printf("%d inputs\n", count - 1);
    return 0;
}
#endif
