#include "CImaging.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <webp/decode.h>
#include <webp/demux.h>

static ci_status status_of(VP8StatusCode code, ci_image *image) {
    switch (code) {
    case VP8_STATUS_OK: return CI_OK;
    case VP8_STATUS_NOT_ENOUGH_DATA: return CI_TRUNCATED;
    case VP8_STATUS_OUT_OF_MEMORY: return CI_NO_MEMORY;
    case VP8_STATUS_UNSUPPORTED_FEATURE: snprintf(image->message, 200, "a WebP variant that libwebp does not know"); return CI_UNSUPPORTED;
    default: snprintf(image->message, 200, "the bitstream is not valid"); return CI_DAMAGED;
    }
}

static void take_orientation(const uint8_t *bytes, size_t count, ci_image *image) {
    WebPData data = {bytes, count};
    WebPDemuxer *demuxer = WebPDemux(&data);
    if (!demuxer) return;
    WebPChunkIterator chunk;
    if (WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) {
        // Some writers keep JPEG's introduction, the format itself leaves it away.
        int has_introduction = chunk.chunk.size >= 6 && memcmp(chunk.chunk.bytes, "Exif\0\0", 6) == 0;
        size_t skip = has_introduction ? 6 : 0;
        uint8_t *block = malloc(chunk.chunk.size + 6);
        if (block) {
            memcpy(block, "Exif\0\0", 6);
            memcpy(block + 6, chunk.chunk.bytes + skip, chunk.chunk.size - skip);
            image->orientation = ci_exif_orientation(block, chunk.chunk.size + 6 - skip);
            free(block);
        }
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    WebPDemuxDelete(demuxer);
}

ci_status ci_webp_decode(const uint8_t *bytes, size_t count, uint64_t max_pixels, int header_only, ci_image *image) {
    memset(image, 0, sizeof *image);
    image->orientation = 1;
    WebPDecoderConfig config;
    if (!WebPInitDecoderConfig(&config)) return CI_NO_MEMORY;
    ci_status status = status_of(WebPGetFeatures(bytes, count, &config.input), image);
    if (status != CI_OK) return status;
    image->width = (uint32_t)config.input.width;
    image->height = (uint32_t)config.input.height;
    if ((uint64_t)image->width * image->height > max_pixels) return CI_TOO_LARGE;
    if (config.input.has_animation) {
        snprintf(image->message, 200, "an animated WebP");
        return CI_UNSUPPORTED;
    }
    take_orientation(bytes, count, image);
    if (header_only) return CI_OK;

    image->channels = config.input.has_alpha ? 4 : 3;
    size_t stride = (size_t)image->width * (size_t)image->channels;
    image->pixels = malloc(stride * image->height);
    if (!image->pixels) return CI_NO_MEMORY;
    config.output.colorspace = image->channels == 4 ? MODE_RGBA : MODE_RGB;
    config.output.is_external_memory = 1;
    config.output.u.RGBA.rgba = image->pixels;
    config.output.u.RGBA.stride = (int)stride;
    config.output.u.RGBA.size = stride * image->height;
    status = status_of(WebPDecode(bytes, count, &config), image);
    WebPFreeDecBuffer(&config.output);
    return status;
}
