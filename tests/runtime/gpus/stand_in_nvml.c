/* NVML as the tests drive it. Each line of the file in NVML_STAND_IN is a device:
   uuid error uncorrected remap_failed xid pid mig. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SUCCESS = 0, NOT_FOUND = 6, TOO_SMALL = 7, TIMEOUT = 10 };

typedef struct {
    char uuid[80];
    int error, uncorrected, unrepaired, xid;
    unsigned pid, mig;
} device_t;
typedef struct { unsigned pid; unsigned long long memory; unsigned gpu, compute; } process_t;
typedef struct { void *device; unsigned long long type, data; unsigned gpu, compute; } event_t;

static int told[64];

static int read_all(device_t *found) {
    int n = 0;
    FILE *file = fopen(getenv("NVML_STAND_IN"), "r");
    if (!file) return 0;
    while (n < 64 && fscanf(file, "%79s %d %d %d %d %u %u", found[n].uuid, &found[n].error,
                            &found[n].uncorrected, &found[n].unrepaired, &found[n].xid,
                            &found[n].pid, &found[n].mig) > 0) {
        n++;
    }
    fclose(file);
    return n;
}

static int find(void *handle, device_t *one) {
    device_t all[64];
    long at = (long)handle - 1;
    if (at < 0 || at >= read_all(all)) return NOT_FOUND;
    *one = all[at];
    return one->error;
}

int nvmlInitWithFlags(unsigned flags) { return SUCCESS; }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int code) { return code == 15 ? "GPU is lost" : "an error"; }
int nvmlDeviceGetCount_v2(unsigned *n) { device_t all[64]; *n = read_all(all); return SUCCESS; }

int nvmlDeviceGetHandleByIndex_v2(unsigned index, void **handle) {
    device_t one;
    *handle = (void *)(long)(index + 1);
    return find(*handle, &one);
}

int nvmlDeviceGetUUID(void *handle, char *text, unsigned size) {
    device_t one;
    int code = find(handle, &one);
    snprintf(text, size, "%s", one.uuid);
    return code;
}

int nvmlDeviceGetName(void *handle, char *text, unsigned size) {
    snprintf(text, size, "Stand-in 9000");
    return SUCCESS;
}

int nvmlDeviceGetTotalEccErrors(void *handle, int type, int counter, unsigned long long *n) {
    device_t one;
    int code = find(handle, &one);
    *n = one.uncorrected;
    return code;
}

int nvmlDeviceGetRemappedRows(void *handle, unsigned *a, unsigned *b, unsigned *c, unsigned *d) {
    device_t one;
    int code = find(handle, &one);
    *a = *b = *c = 0;
    *d = one.unrepaired;
    return code;
}

int nvmlDeviceGetComputeRunningProcesses_v3(void *handle, unsigned *n, process_t *found) {
    device_t one;
    unsigned room = *n;
    int code = find(handle, &one);
    if (code) return code;
    *n = one.pid ? 1 : 0;
    if (room < *n) return TOO_SMALL;
    if (*n) memset(found, 0, sizeof *found), found->pid = one.pid;
    return SUCCESS;
}

int nvmlDeviceGetMigMode(void *handle, unsigned *now, unsigned *next) {
    device_t one;
    int code = find(handle, &one);
    *now = *next = one.mig;
    return code;
}

int nvmlDeviceGetUtilizationRates(void *handle, unsigned rates[2]) {
    rates[0] = 62;
    rates[1] = 9;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(void *handle, unsigned long long memory[3]) {
    memory[0] = 80ULL << 30;
    memory[2] = 20ULL << 30;
    memory[1] = memory[0] - memory[2];
    return SUCCESS;
}

int nvmlDeviceGetTemperature(void *handle, int sensor, unsigned *degrees) {
    *degrees = 61;
    return SUCCESS;
}

int nvmlEventSetCreate(void **set) { *set = told; return SUCCESS; }
int nvmlDeviceRegisterEvents(void *handle, unsigned long long types, void *set) { return SUCCESS; }

int nvmlEventSetWait_v2(void *set, event_t *event, unsigned wait) {
    device_t all[64];
    int n = read_all(all);
    for (int i = 0; i < n; i++)
        if (all[i].xid && told[i] != all[i].xid) {
            told[i] = all[i].xid;
            memset(event, 0, sizeof *event);
            event->device = (void *)(long)(i + 1);
            event->data = all[i].xid;
            return SUCCESS;
        }
    return TIMEOUT;
}
