// Picture files to bytes and back, through libpng, libjpeg, libwebp and libexif.
//
// These libraries leave by longjmp when a file is bad, which must not cross Swift frames: every jump starts and ends inside
// of one function here. No function keeps state; all may be called from any thread.
#pragma once

#include <stddef.h>
#include <stdint.h>

typedef enum {
    CI_OK,
    CI_TRUNCATED,    // the bytes end too early
    CI_DAMAGED,      // the library's words are in `message`
    CI_TOO_LARGE,    // more pixels than allowed; `width` and `height` are set
    CI_UNSUPPORTED,  // a variant that is not read; `message` names it
    CI_NO_MEMORY,
} ci_status;

/// One text chunk of a PNG. `is_utf8`: from iTXt; otherwise Latin-1. Both strings end with 0.
typedef struct {
    char *key, *text;
    int is_utf8;
} ci_text;

typedef struct {
    uint32_t width, height;  // pixels
    int channels;            // 3: RGB, 4: RGBA
    uint8_t *pixels;         // width · height · channels, rows from the top; NULL when only the header was asked for
    int orientation;         // EXIF 1 … 8; 1 when there is none
    ci_text *text;           // PNG only
    int text_count;
    char message[200];
} ci_image;

/// Reads a picture. `max_pixels` is checked before memory for the pixels is taken; with `header_only` no pixels are read.
/// Whatever the result, `ci_image_free` releases what `image` owns.
ci_status ci_png_decode(const uint8_t *bytes, size_t count, uint64_t max_pixels, int header_only, ci_image *image);
ci_status ci_jpeg_decode(const uint8_t *bytes, size_t count, uint64_t max_pixels, int header_only, ci_image *image);
ci_status ci_webp_decode(const uint8_t *bytes, size_t count, uint64_t max_pixels, int header_only, ci_image *image);
void ci_image_free(ci_image *image);

/// Bytes that grow; `free(bytes)` when done.
typedef struct {
    uint8_t *bytes;
    size_t count, capacity;
} ci_buffer;

/// Writes an 8-bit PNG. `alpha` is a plane or NULL. `is_drawing`: fast, and small where rows repeat; otherwise
/// smaller and slower, with the best filter for each row.
ci_status ci_png_encode(const uint8_t *rgb, const uint8_t *alpha, uint32_t width, uint32_t height, const ci_text *text, int text_count,
                        int is_drawing, ci_buffer *out, char message[200]);

/// The orientation in a block of EXIF data that starts with "Exif\0\0"; 1 when it has none that is valid.
int ci_exif_orientation(const uint8_t *bytes, size_t count);
