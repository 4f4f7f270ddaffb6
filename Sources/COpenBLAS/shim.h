#include <cblas.h>

// LAPACK's divide-and-conquer singular value decomposition, which OpenBLAS carries without a C header of its own.
void dgesdd_(
    const char *jobz, const int *m, const int *n, double *a, const int *lda, double *s, double *u, const int *ldu,
    double *vt, const int *ldvt, double *work, const int *lwork, int *iwork, int *info);
