//! The interface to `shim.c`, through which libjpeg-turbo decodes and encodes. All `unsafe` of this crate is here.

use std::alloc::{Layout, handle_alloc_error};
use std::ffi::{CStr, c_char, c_int, c_long};
use std::marker::PhantomData;
use std::ptr::NonNull;

// Links libjpeg.
use mozjpeg_sys as _;

use crate::error::ImageError;
use crate::format::Format;
use crate::region::{MAX_DECODER_BYTES, Region, Size};

/// libjpeg's JMSG_LENGTH_MAX.
const MESSAGE_BYTES: usize = 200;

const DONE: c_int = 0;
const TRUNCATED: c_int = 1;
const UNSUPPORTED: c_int = 3;
const TOO_MUCH_MEMORY: c_int = 4;
const NO_PIXELS: c_int = 5;

/// `struct decompressor` of the shim.
#[repr(C)]
struct RawDecompressor {
    _opaque: [u8; 0],
}

/// `struct part` of the shim.
#[repr(C)]
struct RawPart {
    left: u32,
    top: u32,
    width: u32,
    height: u32,
    denominator: u32,
    fast: u32,
}

/// `struct kind` of the shim: how a JPEG is encoded.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    /// libjpeg's, 1 to 100.
    pub(crate) quality: i32,
    /// Pixels of luma for each one of chroma in a row, 1 to 4; 0 for grayscale.
    pub(crate) horizontal: i32,
    /// The same in a column.
    pub(crate) vertical: i32,
    /// 0 or 1.
    pub(crate) progressive: i32,
}

unsafe extern "C" {
    fn regatta_jpeg_new(max_bytes: c_long) -> *mut RawDecompressor;
    fn regatta_jpeg_free(decompressor: *mut RawDecompressor);
    fn regatta_jpeg_message(decompressor: *const RawDecompressor) -> *const c_char;
    fn regatta_jpeg_open(
        decompressor: *mut RawDecompressor,
        bytes: *const u8,
        length: usize,
        width: *mut u32,
        height: *mut u32,
    ) -> c_int;
    fn regatta_jpeg_close(decompressor: *mut RawDecompressor);
    fn regatta_jpeg_decode(
        decompressor: *mut RawDecompressor,
        part: *const RawPart,
        row: *mut u8,
        rgb: *mut u8,
    ) -> c_int;
    fn regatta_jpeg_encode(
        rgb: *const u8,
        width: u32,
        height: u32,
        kind: *const Kind,
        bytes: *mut *mut u8,
        length: *mut usize,
        message: *mut c_char,
    ) -> c_int;
    fn regatta_jpeg_free_bytes(bytes: *mut u8);
}

/// libjpeg's decompressor, created once and used for many images.
pub(super) struct Decompressor(NonNull<RawDecompressor>);

// SAFETY: the decompressor is heap memory that only its owner reaches; libjpeg keeps nothing that belongs to a thread.
unsafe impl Send for Decompressor {}

/// A part of an image, in pixels of the image at 1/`denominator` of its size.
#[derive(Clone, Copy)]
pub(super) struct Part {
    pub(super) region: Region,
    /// 1, 2, 4 or 8.
    pub(super) denominator: u32,
    /// Whether to use the fast DCT.
    pub(super) fast: bool,
}

/// An image whose header has been read. It borrows the bytes, to which libjpeg keeps a pointer until the image is closed.
pub(super) struct Image<'a> {
    decompressor: &'a mut Decompressor,
    size: Size,
    bytes: PhantomData<&'a [u8]>,
}

impl Decompressor {
    pub(super) fn new() -> Self {
        // SAFETY: takes a number and returns null or an object that is ours.
        let raw = unsafe { regatta_jpeg_new(MAX_DECODER_BYTES as c_long) };
        // The only reason for null is that there is no memory.
        Self(NonNull::new(raw).unwrap_or_else(|| handle_alloc_error(Layout::new::<[usize; 128]>())))
    }

    /// Reads the header of a JPEG.
    pub(super) fn open<'a>(&'a mut self, bytes: &'a [u8]) -> Result<Image<'a>, ImageError> {
        let mut size = Size { width: 0, height: 0 };
        // SAFETY: the pointers are valid for the call, `bytes` for as long as the image lives, which closes on drop.
        let status = unsafe {
            regatta_jpeg_open(
                self.0.as_ptr(),
                bytes.as_ptr(),
                bytes.len(),
                &raw mut size.width,
                &raw mut size.height,
            )
        };
        self.result(status)?;
        Ok(Image { decompressor: self, size, bytes: PhantomData })
    }

    fn result(&self, status: c_int) -> Result<(), ImageError> {
        if status == DONE {
            return Ok(());
        }
        // SAFETY: the message is an array inside the decompressor that libjpeg ended with 0; it is copied at once.
        let message = unsafe { CStr::from_ptr(regatta_jpeg_message(self.0.as_ptr())) };
        Err(error(status, message))
    }
}

impl Drop for Decompressor {
    fn drop(&mut self) {
        // SAFETY: the object came from `regatta_jpeg_new` and is not used again.
        unsafe { regatta_jpeg_free(self.0.as_ptr()) }
    }
}

impl Image<'_> {
    pub(super) fn size(&self) -> Size {
        self.size
    }

    /// Decodes `part`, which must lie inside the scaled image, to RGB. `row` is scratch memory.
    pub(super) fn decode(self, part: Part, row: &mut Vec<u8>, rgb: &mut [u8]) -> Result<(), ImageError> {
        let Part { region, denominator, fast } = part;
        let scaled = Size {
            width: self.size.width.div_ceil(denominator),
            height: self.size.height.div_ceil(denominator),
        };
        assert!(matches!(denominator, 1 | 2 | 4 | 8) && rgb.len() == region.size().bytes(3));
        Region::within(Some(region), scaled)?;
        row.resize(scaled.width as usize * 4, 0);
        let Region { left, top, width, height } = region;
        let part = RawPart { left, top, width, height, denominator, fast: fast.into() };
        // SAFETY: the image is open. The part lies inside the scaled image, whose size libjpeg rounds up as above; a row of it
        // has at most four bytes a pixel and fits `row`, the part's pixels fill `rgb`.
        let status = unsafe {
            regatta_jpeg_decode(
                self.decompressor.0.as_ptr(),
                &raw const part,
                row.as_mut_ptr(),
                rgb.as_mut_ptr(),
            )
        };
        self.decompressor.result(status)
    }
}

impl Drop for Image<'_> {
    fn drop(&mut self) {
        // SAFETY: the decompressor is alive; closing twice does nothing.
        unsafe { regatta_jpeg_close(self.decompressor.0.as_ptr()) }
    }
}

/// Encodes RGB bytes with optimised Huffman tables.
pub(crate) fn encode(rgb: &[u8], size: Size, kind: Kind) -> Result<Vec<u8>, ImageError> {
    assert_eq!(rgb.len(), size.bytes(3), "pixels of an image of {}x{}", size.width, size.height);
    let (mut bytes, mut length) = (std::ptr::null_mut(), 0);
    let mut message: [c_char; MESSAGE_BYTES] = [0; MESSAGE_BYTES];
    // SAFETY: `rgb` has the pixels of `size`; the message has the length that the shim copies; the others are valid to write.
    let status = unsafe {
        regatta_jpeg_encode(
            rgb.as_ptr(),
            size.width,
            size.height,
            &raw const kind,
            &raw mut bytes,
            &raw mut length,
            message.as_mut_ptr(),
        )
    };
    if status != DONE {
        // SAFETY: the message is an array that libjpeg ended with 0.
        let message = unsafe { CStr::from_ptr(message.as_ptr()) }.to_string_lossy().into_owned();
        return Err(ImageError::NotEncodable { format: Format::Jpeg, message });
    }
    // SAFETY: on success `bytes` are `length` bytes that are ours until they are freed, which happens once.
    unsafe {
        let encoded = std::slice::from_raw_parts(bytes, length).to_vec();
        regatta_jpeg_free_bytes(bytes);
        Ok(encoded)
    }
}

/// The error of a status of the shim.
fn error(status: c_int, message: &CStr) -> ImageError {
    let message = message.to_string_lossy();
    match status {
        TRUNCATED => ImageError::Truncated(Format::Jpeg),
        UNSUPPORTED => ImageError::Unsupported(format!("a JPEG of another kind ({message})")),
        TOO_MUCH_MEMORY => ImageError::TooMuchMemory(Format::Jpeg),
        NO_PIXELS => ImageError::NoPixels(Size { width: 0, height: 0 }),
        _ => ImageError::Corrupt { format: Format::Jpeg, message: message.into_owned() },
    }
}
