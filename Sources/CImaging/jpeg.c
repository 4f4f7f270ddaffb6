#include "CImaging.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

/// A progressive file with more scans than this only wants our time; real ones have about ten.
enum { max_scans = 500 };

typedef struct {
    struct jpeg_error_mgr manager;  // first: libjpeg hands out a pointer to it
    jmp_buf escape;
    ci_status status;
    char *message;
} failure;

static void fail(j_common_ptr jpeg, ci_status status) {
    failure *f = (failure *)jpeg->err;
    char text[JMSG_LENGTH_MAX];
    f->manager.format_message(jpeg, text);
    snprintf(f->message, 200, "%s", text);
    f->status = status;
    longjmp(f->escape, 1);
}

static void on_error(j_common_ptr jpeg) {
    int code = jpeg->err->msg_code;
    fail(jpeg, code == JERR_OUT_OF_MEMORY ? CI_NO_MEMORY : code == JERR_INPUT_EOF ? CI_TRUNCATED : CI_DAMAGED);
}

// libjpeg fills missing data with grey and only warns; a picture with a grey half must not get into a training set.
static void on_message(j_common_ptr jpeg, int level) {
    if (level >= 0) return;
    switch (jpeg->err->msg_code) {
    case JWRN_JPEG_EOF: fail(jpeg, CI_TRUNCATED); break;
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_NOT_SEQUENTIAL: fail(jpeg, CI_DAMAGED); break;
    default: break;
    }
}

static void on_progress(j_common_ptr jpeg) {
    struct jpeg_decompress_struct *d = (struct jpeg_decompress_struct *)jpeg;
    if (d->input_scan_number > max_scans) ERREXIT(jpeg, JERR_BAD_PROGRESSION);
}

/// CMYK to RGB in place, as PIL does: the four inks are stored inverted (Adobe's way).
static void cmyk_to_rgb(const uint8_t *from, uint8_t *to, uint32_t width) {
    for (uint32_t x = 0; x < width; x++) {
        unsigned white = from[4 * x + 3];
        for (int c = 0; c < 3; c++) {
            unsigned ink = 255u - from[4 * x + c], t = ink * white + 128;
            to[3 * x + c] = (uint8_t)(white - (((t >> 8) + t) >> 8));
        }
    }
}

static void take_orientation(struct jpeg_decompress_struct *jpeg, ci_image *image) {
    for (jpeg_saved_marker_ptr m = jpeg->marker_list; m; m = m->next)
        if (m->marker == JPEG_APP0 + 1 && m->data_length > 6 && memcmp(m->data, "Exif\0\0", 6) == 0) {
            image->orientation = ci_exif_orientation(m->data, m->data_length);
            return;
        }
}

static ci_status read_jpeg(struct jpeg_decompress_struct *jpeg, const uint8_t *bytes, size_t count, uint64_t max_pixels, int header_only,
                           uint8_t *volatile *row, ci_image *image) {
    failure *f = (failure *)jpeg->err;
    if (setjmp(f->escape)) return f->status;
    jpeg_mem_src(jpeg, bytes, count);
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xFFFF);
    jpeg_read_header(jpeg, TRUE);
    image->width = jpeg->image_width;
    image->height = jpeg->image_height;
    image->channels = 3;
    take_orientation(jpeg, image);
    if ((uint64_t)image->width * image->height > max_pixels) return CI_TOO_LARGE;
    if (header_only) return CI_OK;

    int is_cmyk = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    jpeg->out_color_space = is_cmyk ? JCS_CMYK : JCS_RGB;
    size_t stride = (size_t)image->width * 3;
    image->pixels = malloc(stride * image->height);
    *row = is_cmyk ? malloc((size_t)image->width * 4) : NULL;
    if (!image->pixels || (is_cmyk && !*row)) return CI_NO_MEMORY;
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *target = image->pixels + stride * jpeg->output_scanline;
        JSAMPROW line = is_cmyk ? *row : target;
        jpeg_read_scanlines(jpeg, &line, 1);
        if (is_cmyk) cmyk_to_rgb(line, target, image->width);
    }
    jpeg_finish_decompress(jpeg);
    return CI_OK;
}

ci_status ci_jpeg_decode(const uint8_t *bytes, size_t count, uint64_t max_pixels, int header_only, ci_image *image) {
    memset(image, 0, sizeof *image);
    image->orientation = 1;
    failure f = {.message = image->message};
    struct jpeg_decompress_struct jpeg;
    struct jpeg_progress_mgr progress = {.progress_monitor = on_progress};
    uint8_t *volatile row = NULL;
    memset(&jpeg, 0, sizeof jpeg);
    jpeg.err = jpeg_std_error(&f.manager);
    f.manager.error_exit = on_error;
    f.manager.emit_message = on_message;
    // Creating can fail with an error of its own, before read_jpeg has set its escape.
    if (setjmp(f.escape)) return CI_NO_MEMORY;
    jpeg_create_decompress(&jpeg);
    jpeg.progress = &progress;
    ci_status status = read_jpeg(&jpeg, bytes, count, max_pixels, header_only, &row, image);
    jpeg_destroy_decompress(&jpeg);
    free(row);
    return status;
}
