#include "CImaging.h"

#include <png.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

// What a jump back needs to find: it lives in the caller's frame, outside of the one that calls setjmp.
typedef struct {
    jmp_buf escape;
    const uint8_t *bytes;
    size_t count, position;
    int ran_out;
    char *message;
    png_bytep row;
    png_textp chunks;
} reader;

static void on_error(png_structp png, png_const_charp message) {
    reader *r = png_get_error_ptr(png);
    snprintf(r->message, 200, "%s", message);
    longjmp(r->escape, 1);
}

// Odd but harmless chunks are no concern of the user's.
static void on_warning(png_structp png, png_const_charp message) {
    (void)png;
    (void)message;
}

static void read_bytes(png_structp png, png_bytep to, size_t count) {
    reader *r = png_get_io_ptr(png);
    if (count > r->count - r->position) {
        r->ran_out = 1;
        png_error(png, "the data ends too early");
    }
    memcpy(to, r->bytes + r->position, count);
    r->position += count;
}

static char *copy_string(const char *text, size_t length) {
    char *copy = malloc(length + 1);
    if (copy) {
        memcpy(copy, text, length);
        copy[length] = 0;
    }
    return copy;
}

static int take_text(png_structp png, png_infop info, ci_image *image) {
    png_textp chunks;
    int count = png_get_text(png, info, &chunks, NULL);
    if (count <= 0) return 1;
    image->text = calloc((size_t)count, sizeof(ci_text));
    if (!image->text) return 0;
    for (int i = 0; i < count; i++) {
        int is_utf8 = chunks[i].compression >= PNG_ITXT_COMPRESSION_NONE;
        size_t length = is_utf8 ? chunks[i].itxt_length : chunks[i].text_length;
        ci_text *text = &image->text[image->text_count++];
        text->key = copy_string(chunks[i].key, strlen(chunks[i].key));
        text->text = copy_string(chunks[i].text ? chunks[i].text : "", chunks[i].text ? length : 0);
        text->is_utf8 = is_utf8;
        if (!text->key || !text->text) return 0;
    }
    return 1;
}

static void take_orientation(png_structp png, png_infop info, ci_image *image) {
    png_bytep exif = NULL;
    png_uint_32 count = 0;
    if (png_get_eXIf_1(png, info, &count, &exif) == 0 || count == 0 || !exif) return;
    // libexif wants the introduction that JPEG has and PNG leaves away.
    uint8_t *block = malloc(count + 6);
    if (!block) return;
    memcpy(block, "Exif\0\0", 6);
    memcpy(block + 6, exif, count);
    image->orientation = ci_exif_orientation(block, count + 6);
    free(block);
}

static ci_status read_png(png_structp png, png_infop info, reader *r, uint64_t max_pixels, int header_only, ci_image *image) {
    if (setjmp(r->escape)) return r->ran_out ? CI_TRUNCATED : CI_DAMAGED;
    png_set_read_fn(png, r, read_bytes);
    png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
    png_read_info(png, info);
    image->width = png_get_image_width(png, info);
    image->height = png_get_image_height(png, info);
    take_orientation(png, info, image);
    if ((uint64_t)image->width * image->height > max_pixels) return CI_TOO_LARGE;
    if (header_only) return CI_OK;

    png_set_expand(png);
    png_set_scale_16(png);
    png_set_gray_to_rgb(png);
    int passes = png_set_interlace_handling(png);
    png_read_update_info(png, info);
    image->channels = png_get_channels(png, info);
    size_t stride = (size_t)image->width * (size_t)image->channels;
    if ((image->channels != 3 && image->channels != 4) || png_get_rowbytes(png, info) != stride) png_error(png, "an unknown pixel layout");
    image->pixels = malloc(stride * image->height);
    if (!image->pixels) return CI_NO_MEMORY;
    for (int pass = 0; pass < passes; pass++)
        for (uint32_t y = 0; y < image->height; y++) png_read_row(png, image->pixels + y * stride, NULL);
    png_read_end(png, info);
    if (image->orientation == 1) take_orientation(png, info, image);
    return take_text(png, info, image) ? CI_OK : CI_NO_MEMORY;
}

ci_status ci_png_decode(const uint8_t *bytes, size_t count, uint64_t max_pixels, int header_only, ci_image *image) {
    memset(image, 0, sizeof *image);
    image->orientation = 1;
    reader r = {.bytes = bytes, .count = count, .message = image->message};
    // Creating can fail with an error of its own, before read_png has set its escape.
    if (setjmp(r.escape)) return CI_DAMAGED;
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
    if (!png) return CI_NO_MEMORY;
    png_infop info = png_create_info_struct(png);
    ci_status status = info ? read_png(png, info, &r, max_pixels, header_only, image) : CI_NO_MEMORY;
    png_destroy_read_struct(&png, &info, NULL);
    return status;
}

static void write_bytes(png_structp png, png_bytep from, size_t count) {
    ci_buffer *out = png_get_io_ptr(png);
    if (out->count + count > out->capacity) {
        size_t capacity = out->capacity ? out->capacity : 1 << 16;
        while (capacity < out->count + count) capacity *= 2;
        uint8_t *bytes = realloc(out->bytes, capacity);
        if (!bytes) png_error(png, "no memory for the encoded picture");
        out->bytes = bytes;
        out->capacity = capacity;
    }
    memcpy(out->bytes + out->count, from, count);
    out->count += count;
}

static void flush_bytes(png_structp png) { (void)png; }

static void set_text(png_structp png, png_infop info, reader *r, const ci_text *text, int count) {
    if (count == 0) return;
    r->chunks = calloc((size_t)count, sizeof(png_text));
    if (!r->chunks) png_error(png, "no memory for the text");
    for (int i = 0; i < count; i++) {
        r->chunks[i].compression = text[i].is_utf8 ? PNG_ITXT_COMPRESSION_NONE : PNG_TEXT_COMPRESSION_NONE;
        r->chunks[i].key = text[i].key;
        r->chunks[i].text = text[i].text;
        if (text[i].is_utf8) r->chunks[i].itxt_length = strlen(text[i].text);
        else r->chunks[i].text_length = strlen(text[i].text);
    }
    png_set_text(png, info, r->chunks, count);
}

static void write_rows(png_structp png, reader *r, const uint8_t *rgb, const uint8_t *alpha, uint32_t width, uint32_t height) {
    if (!alpha) {
        for (uint32_t y = 0; y < height; y++) png_write_row(png, rgb + (size_t)y * width * 3);
        return;
    }
    r->row = malloc((size_t)width * 4);
    if (!r->row) png_error(png, "no memory for a row");
    for (uint32_t y = 0; y < height; y++) {
        for (uint32_t x = 0; x < width; x++) {
            size_t i = (size_t)y * width + x;
            memcpy(r->row + 4 * (size_t)x, rgb + 3 * i, 3);
            r->row[4 * (size_t)x + 3] = alpha[i];
        }
        png_write_row(png, r->row);
    }
}

ci_status ci_png_encode(const uint8_t *rgb, const uint8_t *alpha, uint32_t width, uint32_t height, const ci_text *text, int text_count,
                        int is_drawing, ci_buffer *out, char message[200]) {
    reader r = {.message = message};
    png_structp volatile png = NULL;
    png_infop volatile info = NULL;
    ci_status status = CI_OK;
    if (setjmp(r.escape)) {
        status = CI_DAMAGED;
    } else {
        png = png_create_write_struct(PNG_LIBPNG_VER_STRING, &r, on_error, on_warning);
        if (!png) return CI_NO_MEMORY;
        info = png_create_info_struct(png);
        if (!info) png_error(png, "no memory");
        png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
        png_set_write_fn(png, out, write_bytes, flush_bytes);
        if (is_drawing) {
            // Rows of a drawing mostly repeat the row above: their differences are runs of zeros.
            png_set_compression_strategy(png, Z_RLE);
            png_set_compression_level(png, 1);
            png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_UP);
        } else {
            png_set_compression_level(png, 6);
            png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_ALL_FILTERS);
        }
        png_set_IHDR(png, info, width, height, 8, alpha ? PNG_COLOR_TYPE_RGBA : PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE,
                     PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
        set_text(png, info, &r, text, text_count);
        png_write_info(png, info);
        write_rows(png, &r, rgb, alpha, width, height);
        png_write_end(png, info);
    }
    png_structp p = png;
    png_infop i = info;
    if (p) png_destroy_write_struct(&p, &i);
    free(r.row);
    free(r.chunks);
    return status;
}

void ci_image_free(ci_image *image) {
    free(image->pixels);
    for (int i = 0; i < image->text_count; i++) {
        free(image->text[i].key);
        free(image->text[i].text);
    }
    free(image->text);
    image->pixels = NULL;
    image->text = NULL;
    image->text_count = 0;
}
