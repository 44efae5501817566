// What this crate needs of libjpeg-turbo, with every error as a status: longjmp never leaves this file, and nothing here calls
// back into Rust.
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jerror.h>
#include <jpeglib.h>

#ifndef WITH_SIMD
#error "libjpeg was built without SIMD, which makes it several times slower: install nasm (scripts/setup.sh does), then run `cargo clean --release -p mozjpeg-sys`"
#endif

// Statuses; shim.rs has the same numbers.
enum { DONE, TRUNCATED, CORRUPT, UNSUPPORTED, TOO_MUCH_MEMORY, NO_PIXELS };

// Encoders write about ten scans. A file with thousands of them keeps a decoder busy for minutes.
enum { MAX_SCANS = 100 };
// Pixels times scans: 16 for the largest image, which takes about two seconds.
static const uint64_t MAX_SCANNED = 16 * UINT64_C(178956970);

// Errors of a decompressor or a compressor: libjpeg's own handler first, so that its address is the handler's.
struct errors {
    struct jpeg_error_mgr handler;
    jmp_buf failed;
    int status;
    char message[JMSG_LENGTH_MAX];
};

static _Noreturn void fail(struct errors *errors, int status) {
    errors->status = status;
    longjmp(errors->failed, 1);
}

static int status_of(int code) {
    switch (code) {
    case JWRN_JPEG_EOF:
    case JERR_INPUT_EOF:
    case JERR_INPUT_EMPTY:
        return TRUNCATED;
    case JERR_ARITH_NOTIMPL:
    case JERR_BAD_PRECISION:
    case JERR_CONVERSION_NOTIMPL:
    case JERR_SOF_UNSUPPORTED:
        return UNSUPPORTED;
    case JERR_NO_BACKING_STORE:
    case JERR_OUT_OF_MEMORY:
        return TOO_MUCH_MEMORY;
    case JERR_EMPTY_IMAGE:
        return NO_PIXELS;
    default:
        return CORRUPT;
    }
}

static void error_exit(j_common_ptr codec) {
    struct errors *errors = (struct errors *)codec->err;
    errors->handler.format_message(codec, errors->message);
    fail(errors, status_of(errors->handler.msg_code));
}

// A warning is an error if pixels would be wrong. The others are about what decoders have always accepted.
static void emit_message(j_common_ptr codec, int level) {
    if (level >= 0) return;
    switch (codec->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_MUST_RESYNC:
        error_exit(codec);
    }
}

static void output_message(j_common_ptr codec) { (void)codec; }

static struct jpeg_error_mgr *install(struct errors *errors) {
    jpeg_std_error(&errors->handler);
    errors->handler.error_exit = error_exit;
    errors->handler.emit_message = emit_message;
    errors->handler.output_message = output_message;
    errors->message[0] = 0;
    return &errors->handler;
}

// ---- decoding ----

struct decompressor {
    struct jpeg_decompress_struct codec;
    struct errors errors;
    struct jpeg_progress_mgr progress;
    long max_bytes;
};

// In pixels of the image at 1/denominator of its size.
struct part {
    uint32_t left, top, width, height, denominator, fast;
};

static void count_scans(j_common_ptr common) {
    struct decompressor *self = (struct decompressor *)common;
    int scan = self->codec.input_scan_number;
    if (scan > MAX_SCANS || (uint64_t)scan * self->codec.image_width * self->codec.image_height > MAX_SCANNED) {
        snprintf(self->errors.message, sizeof self->errors.message, "more than %d scans", scan - 1);
        fail(&self->errors, CORRUPT);
    }
}

void regatta_jpeg_free(struct decompressor *self) {
    jpeg_destroy_decompress(&self->codec);
    free(self);
}

static int create(struct decompressor *self) {
    self->codec.err = install(&self->errors);
    if (setjmp(self->errors.failed)) return self->errors.status;
    jpeg_create_decompress(&self->codec); // clears what is not the error handler
    self->codec.mem->max_memory_to_use = self->max_bytes;
    self->progress.progress_monitor = count_scans;
    self->codec.progress = &self->progress;
    return DONE;
}

// Returns null if there is no memory.
struct decompressor *regatta_jpeg_new(long max_bytes) {
    struct decompressor *self = calloc(1, sizeof *self);
    if (self) self->max_bytes = max_bytes;
    if (self && create(self) != DONE) {
        regatta_jpeg_free(self);
        return NULL;
    }
    return self;
}

// The reason why the last call failed; valid until the next one.
const char *regatta_jpeg_message(const struct decompressor *self) { return self->errors.message; }

static int give_up(struct decompressor *self) {
    jpeg_abort_decompress(&self->codec);
    return self->errors.status;
}

// `bytes` must stay until the next call of regatta_jpeg_close, regatta_jpeg_decode or this function.
int regatta_jpeg_open(struct decompressor *self, const uint8_t *bytes, size_t length, uint32_t *width, uint32_t *height) {
    // A new object, since libjpeg keeps the quantisation and Huffman tables of the image before, and an image that lacks its own
    // would be decoded with them.
    jpeg_destroy_decompress(&self->codec);
    int status = create(self);
    if (status != DONE) return status;
    if (setjmp(self->errors.failed)) return give_up(self);
    jpeg_mem_src(&self->codec, bytes, length);
    jpeg_read_header(&self->codec, TRUE);
    *width = self->codec.image_width;
    *height = self->codec.image_height;
    return DONE;
}

void regatta_jpeg_close(struct decompressor *self) { jpeg_abort_decompress(&self->codec); }

// Converts as Pillow and torchvision do, which take 255 for no ink (Adobe's convention) whether the file is Adobe's or not.
static void cmyk_to_rgb(const uint8_t *cmyk, uint8_t *rgb, uint32_t width) {
    for (uint32_t x = 0; x < width; x++, cmyk += 4, rgb += 3) {
        int white = cmyk[3];
        for (int channel = 0; channel < 3; channel++) {
            int product = white * (255 - cmyk[channel]) + 128;
            rgb[channel] = (uint8_t)(white - ((product + (product >> 8)) >> 8));
        }
    }
}

// Chroma is interpolated between neighbours, so an iMCU beside the part is decoded too.
static void crop(j_decompress_ptr codec, const struct part *part, JDIMENSION *left, JDIMENSION *width) {
    JDIMENSION margin = codec->max_h_samp_factor * codec->min_DCT_scaled_size;
    JDIMENSION right = part->left + part->width;
    *left = part->left > margin ? part->left - margin : 0;
    right = codec->output_width - right > margin ? right + margin : codec->output_width;
    *width = right - *left;
    jpeg_crop_scanline(codec, left, width);
}

static void read_part(struct decompressor *self, const struct part *part, uint8_t *row, uint8_t *rgb) {
    j_decompress_ptr codec = &self->codec;
    boolean four_inks = codec->jpeg_color_space == JCS_CMYK || codec->jpeg_color_space == JCS_YCCK;
    codec->out_color_space = four_inks ? JCS_CMYK : JCS_RGB;
    codec->scale_num = 1;
    codec->scale_denom = part->denominator;
    codec->dct_method = part->fast ? JDCT_IFAST : JDCT_ISLOW;
    codec->do_block_smoothing = FALSE; // it would look at the neighbours of blocks that are not decoded
    jpeg_start_decompress(codec);
    JDIMENSION left, width;
    crop(codec, part, &left, &width);
    jpeg_skip_scanlines(codec, part->top);

    size_t row_bytes = (size_t)part->width * 3;
    const uint8_t *first = row + (size_t)(part->left - left) * (four_inks ? 4 : 3);
    for (uint32_t y = 0; y < part->height; y++, rgb += row_bytes) {
        if (jpeg_read_scanlines(codec, &row, 1) != 1) fail(&self->errors, CORRUPT);
        if (four_inks) {
            cmyk_to_rgb(first, rgb, part->width);
        } else {
            memcpy(rgb, first, row_bytes);
        }
    }
}

// Decodes `part` of the opened image into `rgb` (part.width * part.height * 3 bytes), and no row below it. `row` is scratch
// memory for a row of the image at this scale, four bytes a pixel.
int regatta_jpeg_decode(struct decompressor *self, const struct part *part, uint8_t *row, uint8_t *rgb) {
    if (setjmp(self->errors.failed)) return give_up(self);
    read_part(self, part, row, rgb);
    jpeg_abort_decompress(&self->codec);
    return DONE;
}

// ---- encoding ----

struct encoder {
    struct jpeg_compress_struct codec;
    struct errors errors;
    uint8_t *bytes;
    unsigned long length;
};

// Sampling factors of luma, those of chroma being 1; 0 is grayscale.
struct kind {
    int32_t quality, horizontal, vertical, progressive;
};

static int encode(struct encoder *self, const uint8_t *rgb, uint32_t width, uint32_t height, const struct kind *kind) {
    j_compress_ptr codec = &self->codec;
    codec->err = install(&self->errors);
    if (setjmp(self->errors.failed)) return self->errors.status;
    jpeg_create_compress(codec);
    jpeg_mem_dest(codec, &self->bytes, &self->length);
    codec->image_width = width;
    codec->image_height = height;
    codec->input_components = 3;
    codec->in_color_space = JCS_RGB;
    jpeg_c_set_int_param(codec, JINT_COMPRESS_PROFILE, JCP_FASTEST); // libjpeg-turbo's baseline rather than mozjpeg's search
    jpeg_set_defaults(codec);
    jpeg_set_quality(codec, kind->quality, TRUE);
    if (kind->horizontal == 0) {
        jpeg_set_colorspace(codec, JCS_GRAYSCALE);
    } else {
        codec->comp_info[0].h_samp_factor = kind->horizontal;
        codec->comp_info[0].v_samp_factor = kind->vertical;
    }
    if (kind->progressive) jpeg_simple_progression(codec);
    codec->optimize_coding = TRUE;
    jpeg_start_compress(codec, TRUE);
    while (codec->next_scanline < height) {
        JSAMPROW row = (JSAMPROW)(rgb + (size_t)codec->next_scanline * width * 3);
        jpeg_write_scanlines(codec, &row, 1);
    }
    jpeg_finish_compress(codec);
    return DONE;
}

// Sets `bytes`, which regatta_jpeg_free_bytes frees, and `length`; on failure copies the reason to `message` (JMSG_LENGTH_MAX
// bytes) instead.
int regatta_jpeg_encode(const uint8_t *rgb, uint32_t width, uint32_t height, const struct kind *kind, uint8_t **bytes,
                        size_t *length, char *message) {
    struct encoder self;
    memset(&self, 0, sizeof self);
    int status = encode(&self, rgb, width, height, kind);
    jpeg_destroy_compress(&self.codec);
    if (status == DONE) {
        *bytes = self.bytes;
        *length = self.length;
    } else {
        free(self.bytes);
        memcpy(message, self.errors.message, JMSG_LENGTH_MAX);
    }
    return status;
}

void regatta_jpeg_free_bytes(uint8_t *bytes) { free(bytes); }
