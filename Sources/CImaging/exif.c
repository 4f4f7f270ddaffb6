#include "CImaging.h"

#include <libexif/exif-data.h>

int ci_exif_orientation(const uint8_t *bytes, size_t count) {
    if (count > 0xFFFFF) return 1;
    ExifData *data = exif_data_new_from_data(bytes, (unsigned)count);
    if (!data) return 1;
    int orientation = 1;
    ExifEntry *entry = exif_content_get_entry(data->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
    if (entry && entry->format == EXIF_FORMAT_SHORT && entry->components >= 1 && entry->size >= 2 && entry->data)
        orientation = exif_get_short(entry->data, exif_data_get_byte_order(data));
    exif_data_unref(data);
    return orientation >= 1 && orientation <= 8 ? orientation : 1;
}
