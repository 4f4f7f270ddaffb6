// Recording work once and queueing it again in one call.
#include "context.h"
#include <stdlib.h>

struct ccuda_graph {
    void *executable;
    size_t nodes;
};

/// Captures what this program queues, whoever allocates memory meanwhile.
enum { CAPTURE_RELAXED = 2 };

void ccuda_begin_recording(ccuda_context *context) {
    if (!cuda_enter(context)) return;
    if (context->recording) cuda_fail(context, CCUDA_MISUSE, "Work is being recorded already.");
    else context->recording = cuda_check(context, cuda.driver_streamBeginCapture(context->stream, CAPTURE_RELAXED), "beginning to record");
    cuda_leave(context);
}

/// The recorded work made ready to run, or NULL and a failure.
static ccuda_graph *instantiate(ccuda_context *context, void *recorded) {
    void *executable = NULL;
    size_t nodes = 0;
    if (!cuda_check(context, cuda.driver_graphGetNodes(recorded, NULL, &nodes), "counting recorded work")) return NULL;
    if (!cuda_check(context, cuda.driver_graphInstantiate(&executable, recorded, 0), "preparing recorded work")) return NULL;
    ccuda_graph *graph = malloc(sizeof *graph);
    *graph = (ccuda_graph){executable, nodes};
    return graph;
}

ccuda_graph *ccuda_end_recording(ccuda_context *context) {
    pthread_mutex_lock(&context->lock);  // after a failure too: the stream must not stay in capture
    ccuda_graph *graph = NULL;
    void *recorded = NULL;
    if (context->recording) {
        context->recording = false;
        cuda_check(context, cuda.driver_streamEndCapture(context->stream, &recorded), "ending a recording");
        if (recorded && !atomic_load(&context->failed)) graph = instantiate(context, recorded);
        if (recorded) cuda.driver_graphDestroy(recorded);
    }
    cuda_leave(context);
    return graph;
}

void ccuda_replay(ccuda_context *context, ccuda_graph *graph) {
    if (!graph || !cuda_enter(context)) return;
    cuda_check(context, cuda.driver_graphLaunch(graph->executable, context->stream), "queueing recorded work");
    cuda_leave(context);
}

void ccuda_graph_destroy(ccuda_context *context, ccuda_graph *graph) {
    if (!graph) return;
    pthread_mutex_lock(&context->lock);
    cuda.driver_graphExecDestroy(graph->executable);
    cuda_leave(context);
    free(graph);
}

size_t ccuda_graph_size(const ccuda_graph *graph) { return graph->nodes; }
