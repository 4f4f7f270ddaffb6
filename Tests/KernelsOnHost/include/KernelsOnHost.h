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

// MARK: - For an emulated card

/// A kernel by its name (`geglu_bf16`), or NULL.
void *_Nullable koh_find_kernel(const char *_Nonnull name);
/// Runs it over a grid of blocks. Returns NULL, or what went wrong. `params` points to each argument's value.
const char *_Nullable koh_run_kernel(void *_Nonnull kernel, const unsigned grid[_Nonnull 3], unsigned block, unsigned sharedBytes,
                                     void *_Nonnull *_Nonnull params);
/// A copy of its arguments for a later run: one block of memory, to be freed.
void *_Nonnull *_Nonnull koh_copy_arguments(void *_Nonnull kernel, void *_Nonnull *_Nonnull params);

#ifdef __cplusplus
}
#endif
