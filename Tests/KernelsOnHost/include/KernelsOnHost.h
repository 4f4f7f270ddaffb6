/// The card's kernels run on the processor and compared with plain loops. One run at a time: the kernels' block is the process'.
#pragma once

#ifdef __cplusplus
extern "C" {
#endif

/// How many cases there are.
int koh_case_count(void);
/// The name of case `index`.
const char *_Nonnull koh_case_name(int index);
/// Runs a case. Returns NULL, or the first thing that was wrong; valid until the next call.
const char *_Nullable koh_run_case(int index);
/// The name of kernel `index` among those that no case runs, or NULL when there are not so many.
const char *_Nullable koh_kernel_not_run(int index);

#ifdef __cplusplus
}
#endif
