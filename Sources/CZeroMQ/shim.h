#include <malloc.h> /* malloc_trim: a large dropped message gives its memory back */
#include <zmq.h>
